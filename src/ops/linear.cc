#include "ops/linear.h"

#include <algorithm>

namespace glimmer {
namespace {

// Weight rows a thread takes at once. Small enough to share a decode step among many threads, large enough that drawing
// a task costs little beside reading the rows.
constexpr int64_t kRowsPerTask = 48;

int64_t tasks_of(const LinearCall& call) {
  return call.tokens == 0 ? 0 : (call.weight->out_features() + kRowsPerTask - 1) / kRowsPerTask;
}

kernels::Linear arguments_of(const LinearCall& call) {
  const LinearWeight& weight = *call.weight;
  const bool bf16 = weight.weight.dtype == DType::kBF16;
  GLIMMER_CHECK(bf16 || weight.weight.dtype == DType::kF32, "weight dtype {}", dtype_name(weight.weight.dtype));
  return {
      .x = call.x,
      .x_stride = call.x_stride != 0 ? call.x_stride : weight.in_features(),
      .w = weight.weight.data,
      .w_stride = weight.in_features(),
      .bias = weight.bias,
      .y = call.y,
      .y_stride = call.y_stride != 0 ? call.y_stride : weight.out_features(),
      .T = call.tokens,
      .K = weight.in_features(),
      .type = bf16 ? kernels::WeightType::kBF16 : kernels::WeightType::kF32,
  };
}

void run_task(Context& ctx, const LinearCall& call, int64_t task) {
  const int64_t begin = task * kRowsPerTask;
  ctx.kernels().linear(arguments_of(call), begin, std::min(begin + kRowsPerTask, call.weight->out_features()));
}

}  // namespace

LinearWeight rows_of(const LinearWeight& weight, int64_t first_row, int64_t rows) {
  GLIMMER_CHECK(first_row >= 0 && rows >= 0 && first_row + rows <= weight.out_features(), "rows {} to {} of {}",
                first_row, first_row + rows, weight.weight.shape.to_string());
  const size_t offset = static_cast<size_t>(first_row * weight.in_features()) * dtype_size_bytes(weight.weight.dtype);
  return {.weight = {static_cast<const std::byte*>(weight.weight.data) + offset,
                     weight.weight.dtype,
                     {rows, weight.in_features()}},
          .bias = weight.bias == nullptr ? nullptr : weight.bias + first_row};
}

void linear(Context& ctx, std::span<const LinearCall> calls) {
  int64_t count = 0;
  for (const LinearCall& call : calls) count += tasks_of(call);
  ctx.pool().parallel_for(count, 1, [&](int64_t begin, int64_t, int) {
    int64_t task = begin;
    for (const LinearCall& call : calls) {
      const int64_t here = tasks_of(call);
      if (task < here) return run_task(ctx, call, task);
      task -= here;
    }
  });
}

void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y) {
  const int64_t tokens = x.shape[0];
  GLIMMER_CHECK(x.shape == Shape({tokens, weight.in_features()}) && y.shape == Shape({tokens, weight.out_features()}),
                "linear {}: x {}, y {}", weight.weight.shape.to_string(), x.shape.to_string(), y.shape.to_string());
  linear(ctx, {{.weight = &weight, .x = x.as<float>(), .y = y.as<float>(), .tokens = tokens}});
}

}  // namespace glimmer
