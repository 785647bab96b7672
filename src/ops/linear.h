// Matrix products with weights.
#pragma once

#include <initializer_list>
#include <span>

#include "ops/context.h"
#include "tensor/weight_matrix.h"

namespace glimmer {

struct LinearWeight {
  WeightMatrix weight;          // [out_features, in_features], in any layout
  const float* bias = nullptr;  // [out_features] or null
  std::string_view name;        // of the checkpoint's tensor that it is, or is rows of; "" if it has none

  bool empty() const { return weight.empty(); }
  int64_t out_features() const { return weight.rows; }
  int64_t in_features() const { return weight.columns; }
};

// Rows [row_begin, row_end) of `weight` as f32, dense in `out`. On the calling thread.
void decode_rows(Context& ctx, const WeightMatrix& weight, int64_t row_begin, int64_t row_end, float* out);

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

// The same with the transposes of the weights, without their biases:
//   y = x W    x [tokens, out_features] f32    y [tokens, in_features] f32, out
// Each weight is widened as a whole, by one thread: meant for many small matrices, as the heads of MLA are.
void linear_transposed(Context& ctx, std::span<const LinearCall> calls);

// y = x W^T + b.   x [tokens, in_features] f32, y [tokens, out_features] f32. CHECKs shapes.
void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y);

}  // namespace glimmer
