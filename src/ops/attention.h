// Causal scaled dot-product attention of new tokens over the KV cache.
#pragma once

#include "ops/context.h"
#include "ops/kv_memory.h"

namespace glimmer {

// Stores the keys and values of the new tokens: bf16 rounds to nearest, ties to even; 8-bit types are quantised with
// scales.
struct StoreKvCall {
  const float* k = nullptr;  // [rows, kv_heads, qk_dim], rows k_stride values apart
  int64_t k_stride = 0;
  const float* v = nullptr;  // [rows, kv_heads, v_dim]; null where values lie in keys
  int64_t v_stride = 0;
  const Batch* batch = nullptr;
  KvLayer kv;
};
void store_kv(Context& ctx, const StoreKvCall& call);

// Query head h reads key and value head h / (heads / kv_heads). The t-th new token of a sequence sees its keys
// 0 .. past_tokens + t, all of which are in the cache already.
//   out[row][h] = sum over j of softmax_j(scale * q[row][h] . k[j]) v[j]
// A row's result does not depend on the other rows, nor on the number of threads.
struct AttentionCall {
  const float* q = nullptr;  // [rows, heads, qk_dim], strides in values
  int64_t q_token_stride = 0;
  int64_t q_head_stride = 0;
  float* out = nullptr;  // [rows, heads, v_dim]
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
  int64_t heads = 0;
  float scale = 0;
  const Batch* batch = nullptr;
  KvLayer kv;
};
void attention(Context& ctx, const AttentionCall& call);

}  // namespace glimmer
