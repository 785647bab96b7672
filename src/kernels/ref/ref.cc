// The reference: scalar, sums in float64, obvious. It defines what every other table must compute.
#include <cmath>

#include "kernels/ref/attention.h"
#include "kernels/ref/linear.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = weight[i] * static_cast<float>(x[i] * factor);
}

void silu_mul(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    out[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up[i]);
  }
}

void weighted_sum(const float* const* rows, const float* weights, int64_t count, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t r = 0; r < count; ++r) sum += static_cast<double>(weights[r]) * rows[r][i];
    out[i] = static_cast<float>(sum);
  }
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
    .fast_activations = ref::fast_activations,
    .encode_activations = ref::encode_activations,
    .linear = ref::linear,
    .decode_rows = ref::decode_rows,
    .decode_kv = ref::decode_kv,
    .takes_bf16_queries = [](KvType, int64_t, int64_t) { return false; },
    .round_queries = nullptr,
    .attention_queries = ref::attention_queries,
    .attention_block = ref::attention_block,
    .attention_fold = ref::attention_fold,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .weighted_sum = weighted_sum,
    .rope = rope,
};

}  // namespace glimmer::kernels
