// The forward pass: tokens in, logits out, keys and values appended to the cache.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/kv_cache.h"
#include "model/model.h"
#include "ops/batch.h"
#include "ops/context.h"

namespace glimmer {

struct PassMemory;

// For the last token of a sequence, or for all tokens.
enum class LogitsFor { kLastToken, kAllTokens, kNone };

// New tokens of one sequence, the cache of those before them, and how many of the last want logits.
struct SequenceTokens {
  std::span<const int32_t> tokens;
  KvCache* kv = nullptr;
  int64_t logits_rows = 1;
};

class Forward {
 public:
  // Larger chunks read weights less often, but activations take more memory and cancelling takes longer.
  static constexpr int64_t kDefaultChunkTokens = 1024;

  // `chunk_tokens` is the most that run() takes at once. Memory for activations grows with it. Of a model that ranks
  // share, `world` are all of them, and the context's group those of our stage; each rank runs each batch.
  Forward(const Model& model, Context& context, int64_t chunk_tokens = kDefaultChunkTokens,
          comm::Group& world = comm::solo());
  ~Forward();

  // Runs the new tokens of some sequences, each at the positions that follow what its cache holds, and appends them to
  // it. Each sequence has at least one, all together chunk_tokens at most; caches differ, their types do not.
  // A sequence's logits do not depend on what else is in the batch, nor on how its tokens were divided among calls.
  // Throws kInvalid for an id outside [0, vocab_size) and kLimit when a sequence would outgrow
  // max_position_embeddings, and kCancelled when the context is cancelled; the caches then hold what they held.
  void run(std::span<const SequenceTokens> sequences);
  // The two steps of it, for ranks that share a model: checks the sequences, makes room in their caches and describes
  // the batch, valid until the next call; and runs a batch, described here or by another rank, on this rank's share of
  // the pages. Caches are not appended to.
  const Batch& describe(std::span<const SequenceTokens> sequences);
  void run(const Batch& batch, const KvMemory& kv);
  // The same of one sequence, and its logits.
  ConstTensorView run(std::span<const int32_t> tokens, KvCache& kv, LogitsFor logits_for = LogitsFor::kLastToken);

  // Of the batch that ran last, in its order: of the last logits_rows tokens of each sequence (empty where none wants
  // any); and of any of its tokens, so that not all logits of many tokens are in memory at once. Each is valid until
  // the next call of these and run(). On ranks of the last stage, all of them.
  ConstTensorView logits();                                        // [sum of logits_rows, vocab_size] f32
  ConstTensorView logits_of_tokens(int64_t first, int64_t count);  // [count, vocab_size] f32
  ConstTensorView logits_of_rows(std::span<const int64_t> rows);   // of the batch, ascending
  std::span<const int64_t> logits_rows() const { return logits_rows_; }
  const Batch& batch() const { return *ran_; }

  // A cache in the device's memory, of the context's type, for one sequence as long as the model's context.
  KvCache make_cache() const;

  // Bytes that one decode step at position `position` reads here: active weights and the KV cache of this type.
  int64_t active_bytes(int64_t position, KvType type) const;

  const Model& model() const { return model_; }
  Context& context() { return context_; }
  int64_t chunk_tokens() const { return chunk_tokens_; }

 private:
  ConstTensorView logits_of(TensorView hidden);
  void receive_hidden(TensorView hidden);
  void send_hidden(TensorView hidden);

  const Model& model_;
  Context& context_;
  comm::Group& world_;
  int64_t chunk_tokens_;
  std::vector<float> inv_freq_;
  std::unique_ptr<PassMemory> memory_;
  Batch batch_;                       // of run(sequences)
  const Batch* ran_ = &batch_;        // that runs, or ran last
  std::vector<int64_t> logits_rows_;  // of batch_, those that want logits
};

}  // namespace glimmer
