// The reference: scalar, sums in float64, obvious. It defines what every other table must compute.
#include <cmath>
#include <cstring>

#include "kernels/tables.h"
#include "tensor/dtype.h"

namespace glimmer::kernels {
namespace {

float weight_at(const void* w, WeightType type, int64_t i) {
  if (type == WeightType::kF32) return static_cast<const float*>(w)[i];
  return bf16_to_f32(static_cast<const uint16_t*>(w)[i]);
}

void linear(const Linear& a, int64_t n_begin, int64_t n_end) {
  for (int64_t t = 0; t < a.T; ++t) {
    for (int64_t n = n_begin; n < n_end; ++n) {
      double sum = a.bias != nullptr ? a.bias[n] : 0.0;
      for (int64_t k = 0; k < a.K; ++k) {
        sum += static_cast<double>(a.x[t * a.x_stride + k]) * weight_at(a.w, a.type, n * a.w_stride + k);
      }
      a.y[t * a.y_stride + n] = static_cast<float>(sum);
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
    .weighted_sum = weighted_sum,
    .rms_norm = rms_norm,
    .softmax = softmax,
    .silu_mul = silu_mul,
    .add_scaled = add_scaled,
    .rope = rope,
};

}  // namespace glimmer::kernels
