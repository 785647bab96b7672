// Causal scaled dot-product attention of new tokens over the KV cache, and the layout of that cache.
#pragma once

#include <span>

#include "kernels/kv_codes.h"
#include "ops/context.h"

namespace glimmer {

// One layer's keys and values of kAttentionBlock tokens: for each key head its keys [kAttentionBlock, qk_dim] and then
// its values [kAttentionBlock, v_dim]. Where values are the first v_dim columns of the keys (MLA), there are only keys.
// Quantised types append their scales: the keys', then the values', f32 [kAttentionBlock, kv_groups(dim)].
struct KvLayout {
  KvType type = KvType::kF32;
  int64_t kv_heads = 0;
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  bool values_in_keys = false;

  bool has_codes() const { return type == KvType::kInt8 || type == KvType::kF8E4M3; }
  int64_t value_bytes() const { return type == KvType::kF32 ? 4 : has_codes() ? 1 : 2; }
  int64_t row_values() const { return values_in_keys ? qk_dim : qk_dim + v_dim; }  // of a token and key head
  int64_t k_groups() const { return has_codes() ? kernels::kv_groups(qk_dim) : 0; }
  int64_t v_groups() const { return has_codes() && !values_in_keys ? kernels::kv_groups(v_dim) : 0; }
  int64_t row_bytes() const { return row_values() * value_bytes() + (k_groups() + v_groups()) * 4; }
  int64_t head_bytes() const { return kernels::kAttentionBlock * row_bytes(); }
  int64_t block_bytes() const { return kv_heads * head_bytes(); }
  int64_t v_stride() const { return values_in_keys ? qk_dim : v_dim; }
  int64_t v_offset_bytes() const { return values_in_keys ? 0 : kernels::kAttentionBlock * qk_dim * value_bytes(); }
  int64_t k_scales_offset_bytes() const { return kernels::kAttentionBlock * row_values() * value_bytes(); }
  int64_t v_scales_offset_bytes() const { return k_scales_offset_bytes() + kernels::kAttentionBlock * k_groups() * 4; }
};

// One sequence's keys and values of a layer: those of tokens [b * kAttentionBlock, ...) lie offset_bytes after
// blocks[b]. Memory beyond the stored tokens is uninitialised.
struct KvBlocks {
  KvLayout layout;
  std::byte* const* blocks = nullptr;
  int64_t offset_bytes = 0;

  std::byte* head(int64_t block, int64_t kv_head) const {
    return blocks[block] + offset_bytes + kv_head * layout.head_bytes();
  }
};

// The new tokens of one sequence: rows [first_row, first_row + tokens) of the batch, at positions from past_tokens on.
struct AttentionSequence {
  KvBlocks kv;
  int64_t first_row = 0;
  int64_t tokens = 0;
  int64_t past_tokens = 0;
};

// Stores the keys and values of the new tokens: bf16 rounds to nearest, ties to even; 8-bit types are quantised with
// scales.
//   k [rows, kv_heads, qk_dim] f32, rows k_stride values apart; v [rows, kv_heads, v_dim], null with values_in_keys
struct KvRows {
  const float* k = nullptr;
  int64_t k_stride = 0;
  const float* v = nullptr;
  int64_t v_stride = 0;
};
void store_kv(Context& ctx, const KvRows& rows, std::span<const AttentionSequence> sequences);

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
  std::span<const AttentionSequence> sequences;  // all of one layout
};
void attention(Context& ctx, const AttentionCall& call);

}  // namespace glimmer
