// Rotary position embedding.
#pragma once

#include <span>

#include "ops/context.h"

namespace glimmer {

enum class RopePairing { kHalfSplit, kInterleaved };  // pairs (i, i + dim/2), or (2i, 2i + 1)

// cos and sin of position * inv_freq, in float32 as transformers computes them, one row per token.
struct RopeTable {
  const float* cos = nullptr;  // [tokens, rotary_dim / 2]
  const float* sin = nullptr;
  int64_t rotary_dim = 0;
  RopePairing pairing = RopePairing::kHalfSplit;

  // The table from row `token` on.
  RopeTable from(int64_t token) const {
    const int64_t skipped = token * (rotary_dim / 2);
    return {.cos = cos + skipped, .sin = sin + skipped, .rotary_dim = rotary_dim, .pairing = pairing};
  }
};

// Fills cos, sin [positions.size(), inv_freq.size()]; both are multiplied by attention_factor.
struct FillRopeCall {
  std::span<const float> inv_freq;
  float attention_factor = 1;
  std::span<const int32_t> positions;
  float* cos = nullptr;
  float* sin = nullptr;
};
void fill_rope(Context& ctx, const FillRopeCall& call);

// Rotates the first rotary_dim values of each head: token t, head h at x + t * token_stride + h * head_stride.
struct RopeCall {
  RopeTable table;
  float* x = nullptr;
  int64_t tokens = 0;
  int64_t heads = 0;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
};
void rope(Context& ctx, const RopeCall& call);

}  // namespace glimmer
