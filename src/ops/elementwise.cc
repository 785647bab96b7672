#include "ops/elementwise.h"

#include "ops/op_table.h"

namespace glimmer {

void embed(Context& ctx, const WeightMatrix& embed_tokens, std::span<const int32_t> tokens, TensorView hidden) {
  GLIMMER_CHECK(hidden.shape == Shape({static_cast<int64_t>(tokens.size()), embed_tokens.columns}),
                "embed: {} tokens, hidden {}", tokens.size(), hidden.shape.to_string());
  for (const int32_t id : tokens) GLIMMER_CHECK(id >= 0 && id < embed_tokens.rows, "token id {}", id);
  ctx.device().ops().embed(ctx, {.embed_tokens = &embed_tokens, .tokens = tokens, .hidden = hidden});
}

void gather_rows(Context& ctx, ConstTensorView x, std::span<const int64_t> rows, TensorView out) {
  GLIMMER_CHECK(out.shape == Shape({static_cast<int64_t>(rows.size()), x.shape[1]}),
                "gather_rows: x {}, {} rows, out {}", x.shape.to_string(), rows.size(), out.shape.to_string());
  for (const int64_t row : rows) GLIMMER_CHECK(row >= 0 && row < x.shape[0], "row {} of {}", row, x.shape[0]);
  ctx.device().ops().gather_rows(ctx, {.x = x, .rows = rows, .out = out});
}

void rms_norm(Context& ctx, const RmsNormCall& call) {
  GLIMMER_CHECK(
      call.x_token_stride >= call.size * call.per_token && call.out_token_stride >= call.size * call.per_token,
      "rms_norm: {} vectors of {}, rows {} and {} apart", call.per_token, call.size, call.x_token_stride,
      call.out_token_stride);
  ctx.device().ops().rms_norm(ctx, call);
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

void add_residual(Context& ctx, ConstTensorView x, TensorView hidden) {
  GLIMMER_CHECK(x.shape == hidden.shape, "add_residual: x {}, hidden {}", x.shape.to_string(),
                hidden.shape.to_string());
  ctx.device().ops().add(ctx, {.x = x, .hidden = hidden});
}

}  // namespace glimmer
