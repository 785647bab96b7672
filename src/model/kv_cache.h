// The keys and values of one sequence's past, float32, layer by layer.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "tensor/tensor.h"

namespace glimmer {

// GQA: a row a token holds k [num_key_value_heads, head_dim], then v the same.
// MLA: a row a token holds the normed latent [kv_lora_rank], then the rotated k_pe [qk_rope_head_dim]; v is a view of
// it.
class KvCache {
 public:
  explicit KvCache(const ModelConfig& config);

  int64_t size_tokens() const { return size_tokens_; }
  int64_t row_values() const { return row_values_; }
  float* row(int64_t layer, int64_t token) { return layers_[layer].as<float>() + token * row_values_; }
  const float* row(int64_t layer, int64_t token) const { return layers_[layer].as<float>() + token * row_values_; }

  // Makes room for `tokens` in all, keeping what is there. Throws kLimit when memory is out.
  void reserve(int64_t tokens);
  void append(int64_t tokens) { size_tokens_ += tokens; }   // after the forward pass wrote their rows
  void truncate(int64_t tokens) { size_tokens_ = tokens; }  // forgets all but the first `tokens`

 private:
  int64_t row_values_ = 0;
  int64_t size_tokens_ = 0;
  int64_t capacity_tokens_ = 0;
  std::vector<Buffer> layers_;
};

}  // namespace glimmer
