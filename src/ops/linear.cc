#include "ops/linear.h"

#include <algorithm>
#include <vector>

#include "ops/encode.h"

namespace glimmer {
namespace {

using kernels::ActivationType;

int64_t x_stride_of(const LinearCall& call) { return call.x_stride != 0 ? call.x_stride : call.weight->in_features(); }

// Tokens of one task: their activations stay in the second-level cache while panels pass by.
constexpr int64_t kTokensAtOnce = 512;

// Panels that a thread takes at once: enough to stream some side by side, few enough that tasks even out. A power of
// two, as kernels take them in blocks of 2, 4 or 8.
int64_t panels_per_task(int64_t panels, int threads) {
  constexpr int64_t kMost = 8;
  constexpr int64_t kTasksAThread = 6;
  int64_t at_once = kMost;
  while (at_once > 1 && panels < at_once * kTasksAThread * threads) at_once /= 2;
  return at_once;
}

void observe(Context& ctx, std::span<const LinearCall> calls) {
  for (const LinearCall& call : calls) {
    if (call.tokens == 0) continue;
    ctx.linear_observer()({call.weight->name, call.x, call.tokens, call.weight->in_features(), x_stride_of(call)});
  }
}

// The input of `call` among those to encode: one that is there already, or a new one at the end. Calls that share an
// input lie near each other.
size_t input_of(const LinearCall& call, ActivationType type, std::vector<EncodeCall>& inputs) {
  constexpr size_t kNear = 4;
  const int64_t stride = x_stride_of(call);
  const int64_t columns = call.weight->in_features();
  for (size_t i = inputs.size(); i > 0 && i + kNear > inputs.size(); --i) {
    const EncodeCall& input = inputs[i - 1];
    if (input.type == type && input.x == call.x && input.x_stride == stride && input.tokens == call.tokens &&
        input.columns == columns) {
      return i - 1;
    }
  }
  inputs.push_back({.type = type, .x = call.x, .x_stride = stride, .tokens = call.tokens, .columns = columns});
  return inputs.size() - 1;
}

// The calls with their inputs as kernels take them, each distinct input encoded once.
std::vector<EncodedLinearCall> encode_inputs(Context& ctx, std::span<const LinearCall> calls) {
  std::vector<EncodedLinearCall> encoded;
  std::vector<EncodeCall> inputs;
  std::vector<size_t> input_of_call(calls.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    const LinearCall& call = calls[i];
    const ActivationType type = ctx.activation_type(call.weight->weight.layout);
    encoded.push_back({.weight = call.weight,
                       .x = {.type = type,
                             .data = reinterpret_cast<const std::byte*>(call.x),
                             .row_bytes = x_stride_of(call) * static_cast<int64_t>(sizeof(float))},
                       .y = call.y,
                       .tokens = call.tokens,
                       .y_stride = call.y_stride});
    if (type != ActivationType::kF32) input_of_call[i] = input_of(call, type, inputs);
  }
  if (inputs.empty()) return encoded;
  const auto bytes_of = [](const EncodeCall& input) { return encoded_bytes(input.type, input.columns, input.tokens); };
  int64_t total_bytes = 0;
  for (const EncodeCall& input : inputs) total_bytes += bytes_of(input);
  std::byte* memory = ctx.shared_scratch(total_bytes);
  for (EncodeCall& input : inputs) {
    input.out = memory;
    memory += bytes_of(input);
  }
  encode(ctx, inputs);
  for (size_t i = 0; i < calls.size(); ++i) {
    if (encoded[i].x.type == ActivationType::kF32) continue;
    const EncodeCall& input = inputs[input_of_call[i]];
    encoded[i].x.data = input.out;
    encoded[i].x.row_bytes = input.row_bytes();
  }
  return encoded;
}

// Panels [panel_begin, panel_end) for tokens [first, first + tokens).
void run_panels(Context& ctx, const EncodedLinearCall& call, int64_t first, int64_t tokens, int64_t panel_begin,
                int64_t panel_end) {
  const int64_t y_stride = call.y_stride != 0 ? call.y_stride : call.weight->out_features();
  ctx.kernels().linear({.x = {call.x.type, call.x.data + first * call.x.row_bytes, call.x.row_bytes},
                        .w = call.weight->weight,
                        .bias = call.weight->bias,
                        .y = call.y + first * y_stride,
                        .y_stride = y_stride,
                        .T = tokens},
                       panel_begin, panel_end);
}

}  // namespace

LinearWeight rows_of(const LinearWeight& weight, int64_t first_row, int64_t rows) {
  return {.weight = slice(weight.weight, first_row, rows),
          .bias = weight.bias == nullptr ? nullptr : weight.bias + first_row,
          .name = weight.name};
}

void decode_rows(Context& ctx, const WeightMatrix& weight, int64_t row_begin, int64_t row_end, float* out) {
  ctx.kernels().decode_rows(weight, row_begin, row_end, out, weight.columns);
}

void linear(Context& ctx, std::span<const EncodedLinearCall> calls) {
  int64_t panels = 0;
  for (const EncodedLinearCall& call : calls) {
    if (call.tokens > 0) panels += panel_count(call.weight->weight);
  }
  const int64_t at_once = panels_per_task(panels, ctx.pool().threads());
  const auto ranges_of = [&](const EncodedLinearCall& call) {
    return (panel_count(call.weight->weight) + at_once - 1) / at_once;
  };
  std::vector<int64_t> first_task;  // of each call
  int64_t tasks = 0;
  for (const EncodedLinearCall& call : calls) {
    first_task.push_back(tasks);
    tasks += ranges_of(call) * ((call.tokens + kTokensAtOnce - 1) / kTokensAtOnce);
  }
  ctx.pool().parallel_for(tasks, 1, [&](int64_t task, int64_t, int) {
    const auto after = std::upper_bound(first_task.begin(), first_task.end(), task);
    const EncodedLinearCall& call = calls[static_cast<size_t>(after - first_task.begin()) - 1];
    const int64_t index = task - *(after - 1);
    const int64_t first = index / ranges_of(call) * kTokensAtOnce;
    const int64_t begin = index % ranges_of(call) * at_once;
    run_panels(ctx, call, first, std::min(kTokensAtOnce, call.tokens - first), begin,
               std::min(begin + at_once, panel_count(call.weight->weight)));
  });
}

void linear(Context& ctx, std::span<const LinearCall> calls) {
  if (ctx.linear_observer()) observe(ctx, calls);
  linear(ctx, encode_inputs(ctx, calls));
}

void linear(Context& ctx, const LinearWeight& weight, ConstTensorView x, TensorView y) {
  const int64_t tokens = x.shape[0];
  GLIMMER_CHECK(x.shape == Shape({tokens, weight.in_features()}) && y.shape == Shape({tokens, weight.out_features()}),
                "linear {}: x {}, y {}", Shape({weight.out_features(), weight.in_features()}).to_string(),
                x.shape.to_string(), y.shape.to_string());
  linear(ctx, {{.weight = &weight, .x = x.as<float>(), .y = y.as<float>(), .tokens = tokens}});
}

}  // namespace glimmer
