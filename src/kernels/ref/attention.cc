#include "kernels/ref/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kv_codes.h"
#include "tensor/dtype.h"

namespace glimmer::kernels::ref {
namespace {

double value_at(KvType type, const std::byte* base, int64_t index) {
  if (type == KvType::kF32) return reinterpret_cast<const float*>(base)[index];
  return bf16_to_f32(reinterpret_cast<const uint16_t*>(base)[index]);
}

}  // namespace

void decode_kv(const KvDecode& a) {
  const int64_t groups = kv_groups(a.dim);
  for (int64_t i = 0; i < a.rows * a.dim; ++i) {
    const float scale = a.scales[i / a.dim * groups + i % a.dim / kKvGroup];
    a.out[i] = f32_to_bf16(kv_code_value(a.type, static_cast<uint8_t>(a.codes[i])) * scale);
  }
}

void attention_queries(const AttentionQueries& a) {
  auto* packed = reinterpret_cast<float*>(a.packed);
  for (int64_t row = 0; row < a.rows; ++row) {
    std::copy_n(a.q + row / a.heads * a.token_stride + row % a.heads * a.head_stride, a.qk_dim, packed);
    packed += a.qk_dim;
  }
}

// What the block gives is rounded to f32 before it is folded, as if attention_fold did it.
void attention_block(const AttentionBlock& a) {
  double p[kAttentionBlock];
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* q = reinterpret_cast<const float*>(a.queries) + row * a.qk_dim;
    double largest = std::numeric_limits<float>::lowest();
    for (int64_t key = 0; key < a.visible[row]; ++key) {
      double dot = 0;
      for (int64_t d = 0; d < a.qk_dim; ++d) dot += q[d] * value_at(a.type, a.k, key * a.k_stride + d);
      p[key] = a.scale * dot;
      largest = std::max(largest, p[key]);
    }
    const auto max = static_cast<float>(largest);
    double sum = 0;
    for (int64_t key = 0; key < a.visible[row]; ++key) sum += p[key] = std::exp(p[key] - max);

    AttentionState state = a.state;
    if (!a.fold) {
      state.max[row] = max;
      state.sum[row] = 0;
      std::fill_n(state.out + row * state.out_stride, a.v_dim, 0.0F);
    }
    const float most = std::max(state.max[row], max);
    const double into = std::exp(static_cast<double>(state.max[row]) - most);
    const double other = std::exp(static_cast<double>(max) - most);
    state.max[row] = most;
    state.sum[row] = static_cast<float>(state.sum[row] * into + static_cast<float>(sum) * other);
    for (int64_t d = 0; d < a.v_dim; ++d) {
      double out = 0;
      for (int64_t key = 0; key < a.visible[row]; ++key) out += p[key] * value_at(a.type, a.v, key * a.v_stride + d);
      float& to = state.out[row * state.out_stride + d];
      to = static_cast<float>(to * into + static_cast<float>(out) * other);
    }
  }
}

void attention_fold(const AttentionFold& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float most = std::max(a.into.max[row], a.other.max[row]);
    const double into = std::exp(static_cast<double>(a.into.max[row]) - most);
    const double other = std::exp(static_cast<double>(a.other.max[row]) - most);
    a.into.max[row] = most;
    a.into.sum[row] = static_cast<float>(a.into.sum[row] * into + a.other.sum[row] * other);
    float* out = a.into.out + row * a.into.out_stride;
    const float* from = a.other.out + row * a.other.out_stride;
    for (int64_t d = 0; d < a.v_dim; ++d) out[d] = static_cast<float>(out[d] * into + from[d] * other);
  }
}

}  // namespace glimmer::kernels::ref
