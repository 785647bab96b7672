// AVX-512 (x86-64-v4). Weights are widened to float32 on the way into the multiply-add.
#include <immintrin.h>

#include "kernels/cpu/supported.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

struct Simd {
  using V = __m512;
  static constexpr int64_t kWidth = 16;
  // 4 x 6 accumulators, 6 weights and 1 activation fit the 32 registers.
  static constexpr int kTileTokens = 4;
  static constexpr int kTileRows = 6;
  static constexpr int kRowsForOneToken = 8;

  static __mmask16 mask(int64_t count) { return static_cast<__mmask16>((1U << count) - 1); }
  static V zero() { return _mm512_setzero_ps(); }
  static V broadcast(float x) { return _mm512_set1_ps(x); }
  static V load(const float* x) { return _mm512_loadu_ps(x); }
  static V load_first(const float* x, int64_t count) { return _mm512_maskz_loadu_ps(mask(count), x); }
  static V widen(__m256i bits) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)); }
  static V load_bf16(const uint16_t* x) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))); }
  static V load_bf16_first(const uint16_t* x, int64_t count) { return widen(_mm256_maskz_loadu_epi16(mask(count), x)); }
  static void store(float* x, V v) { _mm512_storeu_ps(x, v); }
  static void store_first(float* x, V v, int64_t count) { _mm512_mask_storeu_ps(x, mask(count), v); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static float sum(V v) { return _mm512_reduce_add_ps(v); }
  static float max_lane(V v) { return _mm512_reduce_max_ps(v); }
  static V round(V v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static V scale_by_power_of_2(V x, V n) { return _mm512_scalef_ps(x, n); }
  static V zero_where_less(V value, V x, V bound) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), value);
  }
};

#include "kernels/cpu/body.inc"

}  // namespace

extern const KernelTable kAvx512Table = {
    .name = "avx512",
    .requires_cpu = "AVX-512 F, BW, CD, DQ, VL",
    .supported = cpu_has_avx512,
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
