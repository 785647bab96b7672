#include "ops/elementwise.h"

#include <algorithm>
#include <array>

#include "ops/linear.h"

namespace glimmer {
namespace {

// Values a thread takes at once: below that, starting a thread costs more than it saves.
constexpr int64_t kGrainValues = 16384;

int64_t rows_per_task(int64_t row_values) {
  return std::max<int64_t>(1, kGrainValues / std::max<int64_t>(1, row_values));
}

}  // namespace

void embed(Context& ctx, const WeightMatrix& embed_tokens, std::span<const int32_t> tokens, TensorView hidden) {
  const int64_t hidden_size = embed_tokens.columns;
  GLIMMER_CHECK(hidden.shape == Shape({static_cast<int64_t>(tokens.size()), hidden_size}),
                "embed: {} tokens, hidden {}", tokens.size(), hidden.shape.to_string());
  for (const int32_t id : tokens) GLIMMER_CHECK(id >= 0 && id < embed_tokens.rows, "token id {}", id);
  float* out = hidden.as<float>();
  ctx.pool().parallel_for(hidden.shape[0], rows_per_task(hidden_size), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      decode_rows(ctx, embed_tokens, tokens[t], tokens[t] + 1, out + t * hidden_size);
    }
  });
}

void rms_norm(Context& ctx, const RmsNormCall& call) {
  ctx.pool().parallel_for(call.tokens, rows_per_task(call.size * call.per_token), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < call.per_token; ++i) {
        ctx.kernels().rms_norm(call.x + t * call.x_token_stride + i * call.size, call.weight,
                               static_cast<float>(call.eps), call.size,
                               call.out + t * call.out_token_stride + i * call.size);
      }
    }
  });
}

void rms_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, double eps, TensorView out) {
  GLIMMER_CHECK(x.shape == out.shape && weight.shape == Shape({x.shape[1]}), "rms_norm: x {}, weight {}, out {}",
                x.shape.to_string(), weight.shape.to_string(), out.shape.to_string());
  rms_norm(ctx, {.x = x.as<float>(),
                 .out = out.as<float>(),
                 .weight = weight.as<float>(),
                 .size = x.shape[1],
                 .tokens = x.shape[0],
                 .x_token_stride = x.shape[1],
                 .out_token_stride = x.shape[1],
                 .eps = eps});
}

void silu_mul(Context& ctx, ConstTensorView gate, ConstTensorView up, TensorView out) {
  GLIMMER_CHECK(gate.shape == up.shape && gate.shape == out.shape, "silu_mul: gate {}, up {}, out {}",
                gate.shape.to_string(), up.shape.to_string(), out.shape.to_string());
  const int64_t count = gate.shape.element_count();
  ctx.pool().parallel_for(count, kGrainValues, [&](int64_t begin, int64_t end, int) {
    ctx.kernels().silu_mul(gate.as<float>() + begin, up.as<float>() + begin, end - begin, out.as<float>() + begin);
  });
}

void add_residual(Context& ctx, ConstTensorView x, TensorView hidden) {
  GLIMMER_CHECK(x.shape == hidden.shape, "add_residual: x {}, hidden {}", x.shape.to_string(),
                hidden.shape.to_string());
  ctx.pool().parallel_for(x.shape.element_count(), kGrainValues, [&](int64_t begin, int64_t end, int) {
    float* sum = hidden.as<float>() + begin;
    const std::array<const float*, 2> rows = {sum, x.as<float>() + begin};
    constexpr std::array kWeights = {1.0F, 1.0F};
    ctx.kernels().weighted_sum(rows.data(), kWeights.data(), 2, end - begin, sum);
  });
}

}  // namespace glimmer
