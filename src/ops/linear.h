// Matrix products with weights.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
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

struct LinearWeight {
  WeightMatrix weight;  // [out_features, in_features], in any layout
  const NodePanels* nodes =
      nullptr;                  // if not null, this says where panels are, and weight.data only that there are any
  const float* bias = nullptr;  // [out_features] or null
  std::string_view name;        // of the checkpoint's tensor that it is, or is rows of; "" if it has none

  bool empty() const { return weight.empty(); }
  int64_t out_features() const { return weight.rows; }
  int64_t in_features() const { return weight.columns; }
};

// Panels [panel_begin, panel_end) of `weight` as a matrix. CHECKs that they lie on one node.
WeightMatrix panels_of(const LinearWeight& weight, int64_t panel_begin, int64_t panel_end);
// How nodes share its panels: node i < node_count() has some of them, in their order.
struct PanelRange {
  int64_t begin = 0;
  int64_t end = 0;
};
int node_count(const LinearWeight& weight);
PanelRange panels_of_node(const LinearWeight& weight, int node);

// Rows [row_begin, row_end) of `weight` as f32, dense in `out`. On the calling thread.
void decode_rows(Context& ctx, const WeightMatrix& weight, int64_t row_begin, int64_t row_end, float* out);

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

// Outputs of one product, kOutputColumns of them for some tokens.
inline constexpr int64_t kOutputColumns = 256;
struct OutputBlock {
  size_t call = 0;  // index
  int64_t first_token = 0;
  int64_t tokens = 0;
  int64_t first_column = 0;
  int64_t columns = 0;  // kOutputColumns, or what is left
  float* y = nullptr;   // [tokens, columns], dense, to do with as one likes
};
using TakeOutput = std::function<void(const OutputBlock& block)>;

// The same products, whose outputs are given to `take` where they are made, on several threads at once; `y` is not
// looked at. For outputs that are read once, in another type: as f32 in memory many tokens' would be written and read
// for nothing.
void linear(Context& ctx, std::span<const LinearCall> calls, const TakeOutput& take);
void linear(Context& ctx, std::span<const EncodedLinearCall> calls, const TakeOutput& take);

// y = x W^T + b.   x [tokens, in_features] f32, y [tokens, out_features] f32. CHECKs shapes.
void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y);

}  // namespace glimmer
