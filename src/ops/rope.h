// Rotary position embedding.
#pragma once

#include "ops/context.h"

namespace glimmer {

enum class RopePairing { kHalfSplit, kInterleaved };  // pairs (i, i + dim/2), or (2i, 2i + 1)

// cos and sin of position * inv_freq, in float32 as transformers computes them, for a run of positions.
struct RopeTable {
  const float* cos = nullptr;  // [tokens, rotary_dim / 2]
  const float* sin = nullptr;
  int64_t rotary_dim = 0;
  RopePairing pairing = RopePairing::kHalfSplit;

  // That of the tokens from `token` on.
  RopeTable from(int64_t token) const {
    const int64_t skipped = token * (rotary_dim / 2);
    return {.cos = cos + skipped, .sin = sin + skipped, .rotary_dim = rotary_dim, .pairing = pairing};
  }
};

// Fills cos, sin [tokens, inv_freq.size()] for positions first_position .. first_position + tokens - 1; both are
// multiplied by attention_factor.
void fill_rope(std::span<const float> inv_freq, float attention_factor, int64_t first_position, int64_t tokens,
               float* cos, float* sin);

// Rotates the first rotary_dim values of each head: token t, head h at x + t * token_stride + h * head_stride.
struct RopeCall {
  float* x = nullptr;
  int64_t tokens = 0;
  int64_t heads = 0;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  // Where the rotated values go, laid out in the same way with strides of its own; null: back to x.
  float* out = nullptr;
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
};
void rope(Context& ctx, const RopeTable& table, const RopeCall& call);
// The same on the calling thread alone.
void rope_here(const Context& ctx, const RopeTable& table, const RopeCall& call);

}  // namespace glimmer
