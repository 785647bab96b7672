// Matmuls with weights.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "ops/context.h"
#include "tensor/weight_matrix.h"

namespace glimmer {

// Where the panels of a matrix lie that the memory of several nodes shares (share_panels of base/topology.h): node i
// has panels [first[i], first[i + 1]), one after the other from data[i] on.
struct NodePanels {
  std::vector<int64_t> first;
  std::vector<const std::byte*> data;
};

struct PanelRange {
  int64_t begin = 0;
  int64_t end = 0;
};

struct LinearWeight {
  WeightMatrix weight;                // [out_features, in_features], in any layout
  const NodePanels* nodes = nullptr;  // if set, panels are distributed over memory nodes: weight.data is not read
  const float* bias = nullptr;        // [out_features] or null
  std::string_view name;              // of the checkpoint's tensor that it is, or is rows of; "" if it has none

  bool empty() const { return weight.empty(); }
  int64_t out_features() const { return weight.rows; }
  int64_t in_features() const { return weight.columns; }
};

// One matmul of several that do not depend on one another: y = x W^T + b.
//   x [tokens, in_features] f32    y [tokens, out_features] f32, out
// Rows may lie further apart than they are long: strides in values, 0 for dense.
struct LinearCall {
  const LinearWeight* weight = nullptr;
  const float* x = nullptr;
  float* y = nullptr;
  int64_t tokens = 0;
  int64_t x_stride = 0;
  int64_t y_stride = 0;

  int64_t x_row_values() const { return x_stride != 0 ? x_stride : weight->in_features(); }
  int64_t y_row_values() const { return y_stride != 0 ? y_stride : weight->out_features(); }
};

// Runs all calls as one. A call with no tokens is legal and does nothing. CHECKs sizes and strides. In fast precision
// the device may round x to a smaller type first; it does so in one way, whatever the number of tokens.
void linear(Context& ctx, std::span<const LinearCall> calls);
inline void linear(Context& ctx, std::initializer_list<LinearCall> calls) {
  linear(ctx, std::span<const LinearCall>(calls.begin(), calls.size()));
}

// The same of one matmul.   x [tokens, in_features] f32, y [tokens, out_features] f32. CHECKs shapes.
void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y);

// Tells the linear observer, if there is one, what each call reads. For operations that contain matmuls.
void observe_inputs(Context& ctx, std::span<const LinearCall> calls);

}  // namespace glimmer
