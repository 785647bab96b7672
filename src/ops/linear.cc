#include "ops/linear.h"

#include <algorithm>

#include "ops/op_table.h"

namespace glimmer {

int64_t size_bytes(const LinearWeight& weight) { return weight.empty() ? 0 : size_bytes(weight.weight); }

bool wants_inputs(const Context& ctx, std::span<const LinearCall> calls) {
  return std::any_of(calls.begin(), calls.end(),
                     [&](const LinearCall& call) { return ctx.wants_input(call.weight->name); });
}

void record_inputs(Context& ctx, std::span<const LinearCall> calls) {
  for (const LinearCall& call : calls) {
    ctx.record_input({call.weight->name, call.x, call.tokens, call.weight->in_features(), call.x_row_values()});
  }
}

void linear(Context& ctx, std::span<const LinearCall> calls) {
  for (const LinearCall& call : calls) {
    GLIMMER_CHECK(call.tokens >= 0 && call.x_row_values() >= call.weight->in_features() &&
                      call.y_row_values() >= call.weight->out_features(),
                  "linear {}: {} tokens, rows {} and {} apart", call.weight->name, call.tokens, call.x_stride,
                  call.y_stride);
  }
  record_inputs(ctx, calls);
  ctx.device().ops().linear(ctx, calls);
}

void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y) {
  const int64_t tokens = x.shape[0];
  GLIMMER_CHECK(x.shape == Shape({tokens, weight.in_features()}) && y.shape == Shape({tokens, weight.whole_rows()}),
                "linear {}: x {}, y {}", Shape({weight.whole_rows(), weight.in_features()}).to_string(),
                x.shape.to_string(), y.shape.to_string());
  linear(ctx, {{.weight = &weight,
                .x = x.as<float>(),
                .y = y.as<float>() + weight.first_row(),
                .tokens = tokens,
                .y_stride = weight.whole_rows()}});
}

}  // namespace glimmer
