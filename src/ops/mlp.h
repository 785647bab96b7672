// Gated feed-forward networks: down_proj(silu(gate_proj(x)) * up_proj(x)), one or many at a time.
#pragma once

#include <span>
#include <vector>

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
  const int32_t* tokens = nullptr;  // which rows of x, `count` of them; null: all
  int64_t count = 0;
  float* out = nullptr;  // [count, hidden_size] f32, dense
};

// Memory of mlps, reused from call to call.
struct MlpScratch {
  Buffer encoded;   // x in each type that a product reads
  Buffer gathered;  // rows of that, in the order of the calls
  Buffer gate;      // what a product left in f32
  Buffer up;
  Buffer acts;  // what down_proj reads
};

// Runs all calls on x [rows, hidden_size] f32, which do not depend on one another. In fast precision that is two
// parallel loops, of gate_proj, up_proj and the product, and of down_proj; in exact precision, and while someone
// listens to the inputs of products, it goes step by step. Results of a precision are the same, bit for bit.
void mlps(Context& ctx, std::span<const MlpCall> calls, ConstTensorView x, MlpScratch& scratch);

}  // namespace glimmer
