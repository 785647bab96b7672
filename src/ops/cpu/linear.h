// Matmuls as the processor's operations use them among each other: of inputs that are encoded already, and with outputs
// that are taken up where they are made.
#pragma once

#include <functional>
#include <span>

#include "ops/cpu/device.h"
#include "ops/linear.h"

namespace glimmer::cpu {

// Panels [panel_begin, panel_end) of `weight` as a matrix. CHECKs that they lie on one node.
WeightMatrix panels_of(const LinearWeight& weight, int64_t panel_begin, int64_t panel_end);
// How nodes share its panels: node i < node_count() has some of them, in their order.
int node_count(const LinearWeight& weight);
PanelRange panels_of_node(const LinearWeight& weight, int node);

// Rows [row_begin, row_end) of `weight` as f32, dense in `out`. On the calling thread.
void decode_rows(Pass& ctx, const WeightMatrix& weight, int64_t row_begin, int64_t row_end, float* out);

// In fast precision x is first brought to the type that each weight's kernel takes (Pass::activation_type), once for
// all calls that read it.
void linear(Pass& ctx, std::span<const LinearCall> calls);

// The same of inputs that are in the type that their kernels take already.
struct EncodedLinearCall {
  const LinearWeight* weight = nullptr;
  kernels::Activations x;  // [tokens, in_features]
  float* y = nullptr;      // [tokens, out_features]
  int64_t tokens = 0;
  int64_t y_stride = 0;
};
void linear(Pass& ctx, std::span<const EncodedLinearCall> calls);

// Outputs of one matmul, kOutputColumns of them for some tokens.
inline constexpr int64_t kOutputColumns = 256;
struct OutputBlock {
  size_t call = 0;  // index
  int64_t first_token = 0;
  int64_t tokens = 0;
  int64_t first_column = 0;
  int64_t columns = 0;  // kOutputColumns, or what is left
  float* y = nullptr;   // [tokens, columns], dense; the callback may overwrite it
};
using TakeOutput = std::function<void(const OutputBlock& block)>;

// The same matmuls, whose outputs are given to `take` where they are made, on several threads at once; `y` is not
// looked at. This avoids a round trip through memory where outputs are encoded at once.
void linear(Pass& ctx, std::span<const LinearCall> calls, const TakeOutput& take);
void linear(Pass& ctx, std::span<const EncodedLinearCall> calls, const TakeOutput& take);

}  // namespace glimmer::cpu
