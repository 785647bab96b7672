// The keys and values of one sequence's past, in blocks of tokens that never move.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "ops/attention.h"
#include "tensor/buffer.h"

namespace glimmer {

// GQA: keys [head_dim] and values [head_dim] of num_key_value_heads.
// MLA: one key head, of the normed latent [kv_lora_rank] and the rotated k_pe [qk_rope_head_dim]; the latent is its
// value too.
class KvCache {
 public:
  explicit KvCache(const ModelConfig& config, KvType type = KvType::kF32);

  int64_t size_tokens() const { return size_tokens_; }
  KvType type() const { return layout_.type; }
  // What a token takes in all layers.
  static int64_t bytes_per_token(const ModelConfig& config, KvType type);

  // One layer's blocks, valid until the next reserve().
  KvBlocks layer(int64_t layer) const;

  // Makes room for `tokens` in all, keeping what is there. Throws kLimit when memory is out; it is then as it was.
  void reserve(int64_t tokens);
  void append(int64_t tokens) { size_tokens_ += tokens; }   // after the forward pass wrote their rows
  void truncate(int64_t tokens) { size_tokens_ = tokens; }  // forgets all but the first `tokens`

 private:
  KvLayout layout_;
  int64_t layers_ = 0;
  int64_t size_tokens_ = 0;
  std::vector<Buffer> buffers_;     // a block of all layers each
  std::vector<std::byte*> blocks_;  // where they lie
};

}  // namespace glimmer
