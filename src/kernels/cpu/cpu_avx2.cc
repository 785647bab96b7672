// AVX2 with FMA (x86-64-v3). Weights are widened to float32 on the way into the multiply-add.
#include <immintrin.h>

#include "kernels/cpu/supported.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

struct Simd {
  using V = __m256;
  static constexpr int64_t kWidth = 8;
  // 3 x 4 accumulators and 3 weights or activations fit the 16 registers.
  static constexpr int kTileTokens = 3;
  static constexpr int kTileRows = 4;
  static constexpr int kRowsForOneToken = 8;

  static __m256i mask(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static V zero() { return _mm256_setzero_ps(); }
  static V broadcast(float x) { return _mm256_set1_ps(x); }
  static V load(const float* x) { return _mm256_loadu_ps(x); }
  static V load_first(const float* x, int64_t count) { return _mm256_maskload_ps(x, mask(count)); }
  static V widen(__m128i bits) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)); }
  static V load_bf16(const uint16_t* x) { return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))); }
  static V load_bf16_first(const uint16_t* x, int64_t count) {
    alignas(16) uint16_t lanes[8] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = x[i];
    return load_bf16(lanes);
  }
  static void store(float* x, V v) { _mm256_storeu_ps(x, v); }
  static void store_first(float* x, V v, int64_t count) { _mm256_maskstore_ps(x, mask(count), v); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V min(V a, V b) { return _mm256_min_ps(a, b); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static float sum(V v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  static float max_lane(V v) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
  static V round(V v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // n in [-126, 127], a whole number
  static V scale_by_power_of_2(V x, V n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }
  static V zero_where_less(V value, V x, V bound) { return _mm256_and_ps(value, _mm256_cmp_ps(x, bound, _CMP_NLT_UQ)); }
};

#include "kernels/cpu/body.inc"

}  // namespace

extern const KernelTable kAvx2Table = {
    .name = "avx2",
    .requires_cpu = "AVX2, FMA and BMI2",
    .supported = cpu_has_avx2,
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
