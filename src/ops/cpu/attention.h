// Attention as used by other CPU operations: queries may already be rounded to bf16, and outputs may be encoded for the
// next matmul by the thread that computes them.
#pragma once

#include "ops/attention.h"
#include "ops/cpu/device.h"

namespace glimmer::cpu {

// Each head's rows in the type that a matmul reads, [heads, rows, columns], heads head_bytes apart.
struct EncodedHeads {
  kernels::ActivationType type = kernels::ActivationType::kF32;  // to be set to another
  std::byte* data = nullptr;
  int64_t row_bytes = 0;
  int64_t head_bytes = 0;

  std::byte* row(int64_t head, int64_t row) const { return data + head * head_bytes + row * row_bytes; }
};

// As AttentionCall, with these alternatives for queries and outputs.
struct CpuAttentionCall {
  const float* q = nullptr;          // [rows, heads, qk_dim], strides in values
  const uint16_t* q_bf16 = nullptr;  // instead of q: rounded to bf16; only if takes_bf16_queries()
  int64_t q_token_stride = 0;
  int64_t q_head_stride = 0;
  float* out = nullptr;  // [rows, heads, v_dim]; null: write encoded_out instead
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
  EncodedHeads encoded_out;
  int64_t heads = 0;
  float scale = 0;
  const Batch* batch = nullptr;
  KvLayer kv;
};
void attention(Pass& ctx, const CpuAttentionCall& call);

// Whether attention over such keys would round queries to bf16 anyway, so that the caller may do it earlier.
bool takes_bf16_queries(const Pass& ctx, const KvLayout& layout);

}  // namespace glimmer::cpu
