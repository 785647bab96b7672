// Matrix products with weights.
#pragma once

#include <initializer_list>
#include <span>

#include "ops/context.h"

namespace glimmer {

struct LinearWeight {
  ConstTensorView weight;       // [out_features, in_features] f32 or bf16
  const float* bias = nullptr;  // [out_features] or null

  bool empty() const { return weight.empty(); }
  int64_t out_features() const { return weight.shape[0]; }
  int64_t in_features() const { return weight.shape[1]; }
};

// Rows [first_row, first_row + rows) of `weight`: a view.
LinearWeight rows_of(const LinearWeight& weight, int64_t first_row, int64_t rows);

// One product of several that do not depend on one another.
//   x [tokens, in_features] f32    y [tokens, out_features] f32, out
// Rows may lie further apart than they are long: strides in values, 0 for dense.
struct LinearCall {
  const LinearWeight* weight = nullptr;
  const float* x = nullptr;
  float* y = nullptr;
  int64_t tokens = 0;
  int64_t x_stride = 0;
  int64_t y_stride = 0;
};

// Runs all calls as one parallel loop. A call with no tokens is legal and does nothing.
void linear(Context& ctx, std::span<const LinearCall> calls);
inline void linear(Context& ctx, std::initializer_list<LinearCall> calls) {
  linear(ctx, std::span<const LinearCall>(calls.begin(), calls.size()));
}

// y = x W^T + b.   x [tokens, in_features] f32, y [tokens, out_features] f32. CHECKs shapes.
void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y);

}  // namespace glimmer
