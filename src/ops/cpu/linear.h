// Matmuls as used by other CPU operations: inputs may already be encoded, and outputs may be consumed by the thread
// that computes them.
#pragma once

#include <functional>
#include <span>

#include "ops/cpu/device.h"
#include "ops/linear.h"

namespace glimmer::cpu {

// Panels [panel_begin, panel_end) of `weight` as a matrix. CHECKs that they are on one NUMA node.
WeightMatrix panels_of(const LinearWeight& weight, int64_t panel_begin, int64_t panel_end);
// Distribution of its panels over NUMA nodes: node i < node_count() holds panels_of_node(i).
int node_count(const LinearWeight& weight);
PanelRange panels_of_node(const LinearWeight& weight, int node);

// Rows [row_begin, row_end) of `weight` as f32, dense in `out`. On the calling thread.
void decode_rows(Pass& ctx, const WeightMatrix& weight, int64_t row_begin, int64_t row_end, float* out);

// In fast precision x is first encoded to the type that each weight's kernel takes (Pass::activation_type), once for
// all calls that share it.
void linear(Pass& ctx, std::span<const LinearCall> calls);

// A matmul whose input is already in the type that its kernel takes.
struct EncodedLinearCall {
  const LinearWeight* weight = nullptr;
  kernels::EncodedRows x;  // [tokens, in_features]
  float* y = nullptr;      // [tokens, out_features]
  int64_t tokens = 0;
  int64_t y_stride = 0;
};
void linear(Pass& ctx, std::span<const EncodedLinearCall> calls);

// A block of one matmul's outputs: up to kOutputColumns columns of some tokens. 256 columns are one kInt8Block, so a
// block can be encoded for the next matmul by itself.
inline constexpr int64_t kOutputColumns = 256;
struct OutputBlock {
  size_t call = 0;  // index
  int64_t first_token = 0;
  int64_t tokens = 0;
  int64_t first_column = 0;
  int64_t columns = 0;  // kOutputColumns, or the remainder
  float* y = nullptr;   // [tokens, columns], dense; the callback may overwrite it
};
using TakeOutput = std::function<void(const OutputBlock& block)>;

// As above, but each output block is passed to `take` by the thread that computed it, concurrently; `y` is ignored.
// Avoids a round trip through memory when the output is re-encoded at once.
void linear(Pass& ctx, std::span<const LinearCall> calls, const TakeOutput& take);
void linear(Pass& ctx, std::span<const EncodedLinearCall> calls, const TakeOutput& take);

}  // namespace glimmer::cpu
