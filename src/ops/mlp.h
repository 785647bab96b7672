// Gated feed-forward networks (SwiGLU): down_proj(silu(gate_proj(x)) * up_proj(x)), one or many at a time.
#pragma once

#include <span>

#include "ops/linear.h"

namespace glimmer {

struct MlpWeights {
  LinearWeight gate_proj;  // [intermediate, hidden_size]
  LinearWeight up_proj;    // [intermediate, hidden_size]
  LinearWeight down_proj;  // [hidden_size, intermediate]
};

// One network over some rows of x.
struct MlpCall {
  const MlpWeights* weights = nullptr;
  const int32_t* tokens = nullptr;  // the `count` rows of x to read; null: all
  int64_t count = 0;
  float* out = nullptr;  // [count, hidden_size] f32, dense
};

// Runs all calls, which must be independent, on x [rows, hidden_size] f32. A call of no rows is legal. CHECKs sizes.
void mlps(Context& ctx, std::span<const MlpCall> calls, ConstTensorView x);

}  // namespace glimmer
