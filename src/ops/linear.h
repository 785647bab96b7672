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

// Rows [first_row, first_row + rows) of `weight`: a view. CHECKs that first_row begins a panel (a multiple of 16);
// where it may not, WeightBinder::linear_parts binds the rows as matrices of their own.
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

// Runs all calls as one parallel loop. A call with no tokens is legal and does nothing. In fast precision x is first
// brought to the type that each weight's kernel takes (Context::activation_type), once for all calls that read it.
void linear(Context& ctx, std::span<const LinearCall> calls);
inline void linear(Context& ctx, std::initializer_list<LinearCall> calls) {
  linear(ctx, std::span<const LinearCall>(calls.begin(), calls.size()));
}

// The same of inputs that are in the type that their kernels take already.
struct EncodedLinearCall {
  const LinearWeight* weight = nullptr;
  kernels::Activations x;  // [tokens, in_features]
  float* y = nullptr;      // [tokens, out_features]
  int64_t tokens = 0;
  int64_t y_stride = 0;
};
void linear(Context& ctx, std::span<const EncodedLinearCall> calls);

// y = x W^T + b.   x [tokens, in_features] f32, y [tokens, out_features] f32. CHECKs shapes.
void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y);

}  // namespace glimmer
