// Causal scaled dot-product attention of new tokens over the keys and values so far.
#pragma once

#include "ops/context.h"

namespace glimmer {

// Query head h reads key and value head h / (heads / kv_heads). Token t sees keys 0 .. past_tokens + t.
//   out[t][h] = sum over j of softmax_j(scale * q[t][h] . k[j]) v[j]
// Strides in values. Every key and value of the new tokens is in place already.
// It serves GQA, MLA expanded (a key and a value a head) and MLA absorbed (one key for all heads, its value a part of
// it).
struct AttentionCall {
  const float* q = nullptr;  // [tokens, heads, qk_dim]
  int64_t q_token_stride = 0;
  int64_t q_head_stride = 0;
  const float* k = nullptr;  // [past_tokens + tokens, kv_heads, qk_dim]
  int64_t k_token_stride = 0;
  int64_t k_head_stride = 0;
  const float* v = nullptr;  // [past_tokens + tokens, kv_heads, v_dim]
  int64_t v_token_stride = 0;
  int64_t v_head_stride = 0;
  float* out = nullptr;  // [tokens, heads, v_dim]
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
  int64_t tokens = 0;
  int64_t past_tokens = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  float scale = 0;
};
void attention(Context& ctx, const AttentionCall& call);

}  // namespace glimmer
