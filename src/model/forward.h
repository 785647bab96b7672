// The forward pass: tokens in, logits out, keys and values appended to the cache.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/kv_cache.h"
#include "model/model.h"
#include "ops/context.h"

namespace glimmer {

struct Activations;

enum class LogitsFor { kLastToken, kAllTokens, kNone };

class Forward {
 public:
  static constexpr int64_t kDefaultChunkTokens = 512;

  // Memory for activations grows with `chunk_tokens`, the most that run() takes at once.
  Forward(const Model& model, Context& context, int64_t chunk_tokens = kDefaultChunkTokens);
  ~Forward();

  // Runs `tokens` (1 <= count <= chunk_tokens) at the positions that follow what `kv` holds and appends them to it.
  //   result [1 or tokens, vocab_size] f32 (empty for kNone), valid until the next call
  // Throws kInvalid for an id outside [0, vocab_size) and kLimit when the sequence would outgrow
  // max_position_embeddings; the cache is then as it was.
  ConstTensorView run(std::span<const int32_t> tokens, KvCache& kv, LogitsFor logits_for = LogitsFor::kLastToken);

  // Bytes that one decode step at position `position` reads: active weights and the KV cache.
  int64_t active_bytes(int64_t position) const;

  const Model& model() const { return model_; }
  Context& context() { return context_; }
  int64_t chunk_tokens() const { return chunk_tokens_; }

 private:
  ConstTensorView logits(int64_t tokens, LogitsFor logits_for);

  const Model& model_;
  Context& context_;
  int64_t chunk_tokens_;
  std::vector<float> inv_freq_;
  std::unique_ptr<Activations> activations_;
};

}  // namespace glimmer
