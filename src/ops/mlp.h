// Gated feed-forward networks (SwiGLU): down_proj(silu(gate_proj(x)) * up_proj(x)), one or many at a time.
#pragma once

#include <span>

#include "ops/linear.h"

namespace glimmer {

// Where a matrix is cut, all of the same role are: gate_proj and up_proj alike.
struct MlpWeights {
  LinearWeight gate_proj;  // [intermediate, hidden_size]
  LinearWeight up_proj;    // [intermediate, hidden_size]
  LinearWeight down_proj;  // [hidden_size, intermediate]
};

// As kernels read them, without biases.
int64_t size_bytes(const MlpWeights& weights);

// One network over some rows of x.
struct MlpCall {
  const MlpWeights* weights = nullptr;
  const int32_t* tokens = nullptr;  // the `count` rows of x to read; null: all
  int64_t count = 0;
  float* out = nullptr;    // [count, rows of down_proj that are ours] f32
  int64_t out_stride = 0;  // 0: dense
};

// Of weights that are cut, the rows between gate_proj and down_proj are gathered from all ranks of the context's group.
// Runs all calls, which must be independent, on x [rows, hidden_size] f32. A call of no rows is legal. CHECKs sizes.
void mlps(Context& ctx, std::span<const MlpCall> calls, ConstTensorView x);

}  // namespace glimmer
