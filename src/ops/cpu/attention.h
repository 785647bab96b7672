// Attention as the processor's operations use it among each other: with queries that are rounded already, and outputs
// that are encoded where they are made.
#pragma once

#include "ops/attention.h"
#include "ops/cpu/device.h"

namespace glimmer::cpu {

// Rows of each head in the type that a matmul reads, [heads, rows, columns]: a head's begin head_bytes after those of
// the one before.
struct EncodedHeads {
  kernels::ActivationType type = kernels::ActivationType::kF32;  // another
  std::byte* data = nullptr;
  int64_t row_bytes = 0;
  int64_t head_bytes = 0;

  std::byte* row(int64_t head, int64_t row) const { return data + head * head_bytes + row * row_bytes; }
};

// As AttentionCall.
struct CpuAttentionCall {
  const float* q = nullptr;          // [rows, heads, qk_dim], strides in values
  const uint16_t* q_bf16 = nullptr;  // instead of q: rounded to bf16, where takes_bf16_queries()
  int64_t q_token_stride = 0;
  int64_t q_head_stride = 0;
  float* out = nullptr;  // [rows, heads, v_dim]; null: encoded_out has them instead
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
  EncodedHeads encoded_out;
  int64_t heads = 0;
  float scale = 0;
  std::span<const AttentionSequence> sequences;  // of one layout
};
void attention(Pass& ctx, const CpuAttentionCall& call);

// Whether attention over such keys rounds queries to bf16 before anything else, so that the caller may.
bool takes_bf16_queries(const Pass& ctx, const KvLayout& layout);

}  // namespace glimmer::cpu
