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

kernels::Weights kernel_weights(const WeightMatrix& weight) {
  return {.layout = weight.layout,
          .columns = weight.columns,
          .codes = weight.code_data,
          .code_row_bytes = weight.code_row_bytes,
          .scales = weight.scale_data,
          .scale_row_bytes = weight.scale_row_bytes};
}

kernels::Linear arguments_of(const LinearCall& call) {
  const LinearWeight& weight = *call.weight;
  return {
      .x = call.x,
      .x_stride = call.x_stride != 0 ? call.x_stride : weight.in_features(),
      .w = kernel_weights(weight.weight),
      .bias = weight.bias,
      .y = call.y,
      .y_stride = call.y_stride != 0 ? call.y_stride : weight.out_features(),
      .T = call.tokens,
  };
}

void run_task(Context& ctx, const LinearCall& call, int64_t task) {
  const int64_t begin = task * kRowsPerTask;
  ctx.kernels().linear(arguments_of(call), begin, std::min(begin + kRowsPerTask, call.weight->out_features()));
}

}  // namespace

LinearWeight rows_of(const LinearWeight& weight, int64_t first_row, int64_t rows) {
  return {.weight = weight.weight.slice(first_row, rows),
          .bias = weight.bias == nullptr ? nullptr : weight.bias + first_row,
          .name = weight.name};
}

void decode_rows(Context& ctx, const WeightMatrix& weight, int64_t row_begin, int64_t row_end, float* out) {
  ctx.kernels().decode_rows(kernel_weights(weight), row_begin, row_end, out, weight.columns);
}

void linear(Context& ctx, std::span<const LinearCall> calls) {
  if (ctx.linear_observer()) {
    for (const LinearCall& call : calls) {
      const int64_t columns = call.weight->in_features();
      const int64_t stride = call.x_stride != 0 ? call.x_stride : columns;
      if (call.tokens > 0) ctx.linear_observer()({call.weight->name, call.x, call.tokens, columns, stride});
    }
  }
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

void linear_transposed(Context& ctx, std::span<const LinearCall> calls) {
  int64_t largest = 0;
  for (const LinearCall& call : calls) {
    largest = std::max(largest, call.weight->out_features() * call.weight->in_features());
  }
  ctx.reserve_scratch(largest);
  ctx.pool().parallel_for(static_cast<int64_t>(calls.size()), 1, [&](int64_t begin, int64_t end, int worker) {
    float* wide = ctx.scratch(worker);
    for (int64_t i = begin; i < end; ++i) {
      const LinearCall& call = calls[static_cast<size_t>(i)];
      if (call.tokens == 0) continue;
      const WeightMatrix& weight = call.weight->weight;
      decode_rows(ctx, weight, 0, weight.rows, wide);
      ctx.kernels().weighted_sum({.p = call.x,
                                  .p_stride = call.x_stride != 0 ? call.x_stride : weight.rows,
                                  .v = wide,
                                  .v_stride = weight.columns,
                                  .y = call.y,
                                  .y_stride = call.y_stride != 0 ? call.y_stride : weight.columns,
                                  .T = call.tokens,
                                  .D = weight.columns,
                                  .first_count = weight.rows,
                                  .rows_a_step = call.tokens});
    }
  });
}

void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y) {
  const int64_t tokens = x.shape[0];
  GLIMMER_CHECK(x.shape == Shape({tokens, weight.in_features()}) && y.shape == Shape({tokens, weight.out_features()}),
                "linear {}: x {}, y {}", Shape({weight.out_features(), weight.in_features()}).to_string(),
                x.shape.to_string(), y.shape.to_string());
  linear(ctx, {{.weight = &weight, .x = x.as<float>(), .y = y.as<float>(), .tokens = tokens}});
}

}  // namespace glimmer
