// Operations on single tokens: embedding, norms, residuals, gathering rows.
#pragma once

#include <span>

#include "ops/context.h"
#include "tensor/weight_matrix.h"

namespace glimmer {

// hidden[t] = embed_tokens[tokens[t]].   embed_tokens [vocab_size, hidden_size] in any layout, hidden [tokens,
// hidden_size] f32. Ids are CHECKed.
struct EmbedCall {
  const WeightMatrix* embed_tokens = nullptr;
  std::span<const int32_t> tokens;
  TensorView hidden;
};
void embed(Context& ctx, const WeightMatrix& embed_tokens, std::span<const int32_t> tokens, TensorView hidden);

// out[i] = x[rows[i]].   x [any, columns] f32, out [rows, columns] f32, not overlapping. CHECKs shapes and rows.
struct GatherRowsCall {
  ConstTensorView x;
  std::span<const int64_t> rows;
  TensorView out;
};
void gather_rows(Context& ctx, ConstTensorView x, std::span<const int64_t> rows, TensorView out);

// Root-mean-square norm of vectors of `size` values, `per_token` consecutive ones in each token's row.
//   out = weight * x / sqrt(mean(x^2) + eps)                               Source: transformers Glm4MoeRMSNorm
struct RmsNormCall {
  const float* x = nullptr;
  float* out = nullptr;           // may be x
  const float* weight = nullptr;  // [size]
  int64_t size = 0;
  int64_t tokens = 0;
  int64_t per_token = 1;
  int64_t x_token_stride = 0;
  int64_t out_token_stride = 0;
  double eps = 0;
};
void rms_norm(Context& ctx, const RmsNormCall& call);

// x, out [tokens, hidden_size] f32; weight [hidden_size] f32. CHECKs shapes.
void rms_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, double eps, TensorView out);

// hidden += x, both [tokens, hidden_size] f32.
struct AddCall {
  ConstTensorView x;
  TensorView hidden;
};
void add_residual(Context& ctx, ConstTensorView x, TensorView hidden);

}  // namespace glimmer
