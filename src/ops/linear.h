// Matmuls with weights: y = x W^T + b.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "base/range.h"
#include "ops/context.h"
#include "tensor/weight_matrix.h"

namespace glimmer {

// A matrix distributed over NUMA nodes (share_panels in base/topology.h): node i holds panels [first[i], first[i + 1]),
// contiguous from data[i] on.
struct NodePanels {
  std::vector<int64_t> first;
  std::vector<const std::byte*> data;
};

struct PanelRange {
  int64_t begin = 0;
  int64_t end = 0;
};

struct LinearWeight {
  WeightMatrix weight;  // [out_features, in_features], in any layout
  // If set, panels are distributed over NUMA nodes; use panels_of(), never weight.data.
  const NodePanels* nodes = nullptr;
  const float* bias = nullptr;  // [out_features] or null
  // If set, this is rows cut->own() of a matrix whose output rows the ranks of a group divide.
  const RowCut* cut = nullptr;
  std::string_view name;  // checkpoint tensor that this is, or is rows of; "" if none

  bool empty() const { return weight.empty(); }
  int64_t out_features() const { return weight.rows; }  // ours
  int64_t first_row() const { return cut == nullptr ? 0 : cut->own().begin; }
  int64_t whole_rows() const { return cut == nullptr ? weight.rows : cut->rows; }
  int64_t in_features() const { return weight.columns; }
};

int64_t size_bytes(const LinearWeight& weight);  // as kernels read it, without the bias

// One of several independent matmuls.
//   x [tokens, in_features] f32    y [tokens, out_features] f32, out
// Strides are in values; 0: dense.
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

// Runs all calls as one parallel loop. A call with no tokens is legal and does nothing. CHECKs sizes and strides. In
// fast precision the device may round x to a smaller type first, in the same way whatever the number of tokens.
void linear(Context& ctx, std::span<const LinearCall> calls);
inline void linear(Context& ctx, std::initializer_list<LinearCall> calls) {
  linear(ctx, std::span<const LinearCall>(calls.begin(), calls.size()));
}

// A single matmul.   x [tokens, in_features] f32, y [tokens, whole_rows] f32. CHECKs shapes. Of a weight that is cut
// only our columns of y are written: gather_columns (ops/gather.h) brings the others.
void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y);

// For operations that contain matmuls: whether the probe wants the input of any of these, and handing it over.
bool wants_inputs(const Context& ctx, std::span<const LinearCall> calls);
void record_inputs(Context& ctx, std::span<const LinearCall> calls);

}  // namespace glimmer
