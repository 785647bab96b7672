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

  // `chunk_tokens` is the most that run() takes at once. Memory for activations grows with it.
  Forward(const Model& model, Context& context, int64_t chunk_tokens = kDefaultChunkTokens);
  ~Forward();

  // Runs the new tokens of some sequences, each at the positions that follow what its cache holds, and appends them to
  // it. Each sequence has at least one, all together chunk_tokens at most; caches differ, their types do not.
  // A sequence's logits do not depend on what else is in the batch, nor on how its tokens were divided among calls.
  // Throws kInvalid for an id outside [0, vocab_size) and kLimit when a sequence would outgrow
  // max_position_embeddings, and kCancelled when the context is cancelled; the caches then hold what they held.
  void run(std::span<const SequenceTokens> sequences);
  // The same of one sequence, and its logits.
  ConstTensorView run(std::span<const int32_t> tokens, KvCache& kv, LogitsFor logits_for = LogitsFor::kLastToken);

  // Of the batch that ran last, in its order: of the last logits_rows tokens of each sequence (empty where none wants
  // any); and of any of its tokens, so that not all logits of many tokens are in memory at once. Each is valid until
  // the next call of these and run().
  ConstTensorView logits();                                        // [sum of logits_rows, vocab_size] f32
  ConstTensorView logits_of_tokens(int64_t first, int64_t count);  // [count, vocab_size] f32

  // A cache in the device's memory, of the context's type, for one sequence as long as the model's context.
  KvCache make_cache() const;

  // Bytes that one decode step at position `position` reads: active weights and the KV cache of this type.
  int64_t active_bytes(int64_t position, KvType type) const;

  const Model& model() const { return model_; }
  Context& context() { return context_; }
  int64_t chunk_tokens() const { return chunk_tokens_; }

 private:
  void begin(std::span<const SequenceTokens> sequences);
  ConstTensorView logits_of(TensorView hidden);

  const Model& model_;
  Context& context_;
  int64_t chunk_tokens_;
  std::vector<float> inv_freq_;
  std::unique_ptr<PassMemory> memory_;
  Batch batch_;                       // that runs, or ran last
  std::vector<int64_t> logits_rows_;  // of its rows, those that want logits
};

}  // namespace glimmer
