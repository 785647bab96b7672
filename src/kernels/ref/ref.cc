// The reference: scalar, sums in float64, obvious. It defines what every other table must compute.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/tables.h"
#include "tensor/weight_matrix.h"

namespace glimmer::kernels {
namespace {

void decode_rows(const Weights& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    decode_weight_columns(w.layout, w.codes + row * w.code_row_bytes, w.scales + row * w.scale_row_bytes, 0, w.columns,
                          out + (row - row_begin) * out_stride);
  }
}

// Rows of weights are widened a part at a time, for some tokens at once: a kernel allocates nothing.
void linear(const Linear& a, int64_t n_begin, int64_t n_end) {
  constexpr int64_t kColumns = 1024;
  constexpr int64_t kTokens = 16;
  float weights[kColumns];
  for (int64_t n = n_begin; n < n_end; ++n) {
    const std::byte* codes = a.w.codes + n * a.w.code_row_bytes;
    const std::byte* scales = a.w.scales + n * a.w.scale_row_bytes;
    for (int64_t t0 = 0; t0 < a.T; t0 += kTokens) {
      const int64_t tokens = std::min(kTokens, a.T - t0);
      double sums[kTokens];
      std::fill_n(sums, tokens, a.bias != nullptr ? a.bias[n] : 0.0);
      for (int64_t k0 = 0; k0 < a.w.columns; k0 += kColumns) {
        const int64_t k1 = std::min(k0 + kColumns, a.w.columns);
        decode_weight_columns(a.w.layout, codes, scales, k0, k1, weights);
        for (int64_t t = 0; t < tokens; ++t) {
          const float* x = a.x + (t0 + t) * a.x_stride;
          for (int64_t k = k0; k < k1; ++k) sums[t] += static_cast<double>(x[k]) * weights[k - k0];
        }
      }
      for (int64_t t = 0; t < tokens; ++t) a.y[(t0 + t) * a.y_stride + n] = static_cast<float>(sums[t]);
    }
  }
}

void weighted_sum(const WeightedSum& a) {
  for (int64_t t = 0; t < a.T; ++t) {
    const int64_t count = a.first_count + t / a.rows_a_step;
    for (int64_t d = 0; d < a.D; ++d) {
      double sum = 0;
      for (int64_t j = 0; j < count; ++j) sum += static_cast<double>(a.p[t * a.p_stride + j]) * a.v[j * a.v_stride + d];
      a.y[t * a.y_stride + d] = static_cast<float>(sum);
    }
  }
}

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = weight[i] * static_cast<float>(x[i] * factor);
}

void softmax(float* x, float scale, int64_t n) {
  double largest = -INFINITY;
  for (int64_t i = 0; i < n; ++i) largest = std::fmax(largest, static_cast<double>(scale) * x[i]);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(scale) * x[i] - largest);
  for (int64_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(std::exp(static_cast<double>(scale) * x[i] - largest) / sum);
}

void silu_mul(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    out[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up[i]);
  }
}

void add_scaled(const float* x, float factor, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] += factor * x[i];
}

void rope(const Rope& a) {
  for (int64_t i = 0; i < a.pairs; ++i) {
    float& first = a.x[i * a.step];
    float& second = a.x[i * a.step + a.second_offset];
    const float rotated = first * a.cos[i] - second * a.sin[i];
    second = second * a.cos[i] + first * a.sin[i];
    first = rotated;
  }
}

}  // namespace

extern const KernelTable kRefTable = {
    .name = "ref",
    .requires_cpu = "any",
    .supported = [] { return true; },
    .linear = linear,
    .decode_rows = decode_rows,
    .weighted_sum = weighted_sum,
    .rms_norm = rms_norm,
    .softmax = softmax,
    .silu_mul = silu_mul,
    .add_scaled = add_scaled,
    .rope = rope,
};

}  // namespace glimmer::kernels
