// AVX-512 (x86-64-v4). Weights are widened to float32 on the way into the multiply-add.
#include <immintrin.h>

#include "kernels/cpu/supported.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

struct Simd {
  using V = __m512;
  using I = __m512i;
  using Table = __m512;
  static constexpr int64_t kWidth = 16;
  template <typename Converted, typename LookedUp>
  using NibbleCodes = LookedUp;
  // 4 x 6 accumulators, 6 weights and 1 activation fit the 32 registers.
  static constexpr int kTileTokens = 4;
  static constexpr int kTileRows = 6;
  static constexpr int kRowsForOneToken = 8;

  static __mmask16 mask(int64_t count) { return static_cast<__mmask16>((1U << count) - 1); }
  static V zero() { return _mm512_setzero_ps(); }
  static V broadcast(float x) { return _mm512_set1_ps(x); }
  static V load(const float* x) { return _mm512_loadu_ps(x); }
  static V load_first(const float* x, int64_t count) { return _mm512_maskz_loadu_ps(mask(count), x); }
  static void store(float* x, V v) { _mm512_storeu_ps(x, v); }
  static void store_first(float* x, V v, int64_t count) { _mm512_mask_storeu_ps(x, mask(count), v); }
  static V first(V v, int64_t count) { return _mm512_maskz_mov_ps(mask(count), v); }
  static float first_lane(V v) { return _mm512_cvtss_f32(v); }
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
  static void deinterleave(V& a, V& b) {
    const I even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const V evens = _mm512_permutex2var_ps(a, even, b);
    b = _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b);
    a = evens;
  }

  static I widen(__m128i x) { return _mm512_cvtepu8_epi32(x); }
  static V to_float(I x) { return _mm512_cvtepi32_ps(x); }
  static I either(I a, I b) { return _mm512_or_si512(a, b); }
  static I low_half(I x, int part) { return part == 0 ? _mm512_and_si512(x, _mm512_set1_epi32(15)) : x; }
  static I shift_left_4(I x) { return _mm512_slli_epi32(x, 4); }
  static I shift_right_4(I x) { return _mm512_srli_epi32(x, 4); }
  static I sign_extend_byte(I x) { return _mm512_srai_epi32(_mm512_slli_epi32(x, 24), 24); }

  static __m128i bytes(const uint8_t* x) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x)); }
  static __m128i bytes_first(const uint8_t* x, int64_t count) { return _mm_maskz_loadu_epi8(mask(count), x); }
  static __m256i halves(const uint8_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }
  static __m256i halves_first(const uint8_t* x, int64_t count) { return _mm256_maskz_loadu_epi16(mask(count), x); }
  static V bf16(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
  static V f16(__m256i x) { return _mm512_cvtph_ps(x); }
  // As f16 the bits are 2^-8 of the value, subnormal ones too. What would be 480 is NaN.
  static __m512i f8_as_f16(__m256i x) {
    const __m512i shifted = _mm512_slli_epi16(_mm512_cvtepi8_epi16(x), 7);
    const __m512i number = _mm512_and_si512(shifted, _mm512_set1_epi16(static_cast<int16_t>(0xBF80)));
    const __m512i largest = _mm512_set1_epi16(0x3F80);
    const __mmask32 is_nan = _mm512_cmpeq_epi16_mask(_mm512_and_si512(number, largest), largest);
    return _mm512_mask_mov_epi16(number, is_nan, _mm512_set1_epi16(0x7E00));
  }
  static V f8e4m3(__m128i x) {
    return mul(f16(_mm512_castsi512_si256(f8_as_f16(_mm256_castsi128_si256(x)))), broadcast(256.0F));
  }
  static void f8e4m3_pair(const uint8_t* at, V& first_values, V& second_values) {
    const __m512i x = f8_as_f16(halves(at));
    first_values = mul(f16(_mm512_castsi512_si256(x)), broadcast(256.0F));
    second_values = mul(f16(_mm512_extracti64x4_epi64(x, 1)), broadcast(256.0F));
  }
  // 0 is the subnormal 2^-127, and 255 NaN rather than infinity.
  static V e8m0(I x) {
    const __mmask16 odd =
        _mm512_cmpeq_epi32_mask(x, _mm512_setzero_si512()) | _mm512_cmpeq_epi32_mask(x, _mm512_set1_epi32(255));
    const I shifted = _mm512_slli_epi32(x, 23);
    return _mm512_castsi512_ps(_mm512_mask_or_epi32(shifted, odd, shifted, _mm512_set1_epi32(0x400000)));
  }

  static I plane4(const uint8_t* at, int part) {
    const I x = widen(bytes(at));
    return part == 0 ? x : shift_right_4(x);
  }
  static I plane2(const uint8_t* at, int part) {
    int64_t low;
    __builtin_memcpy(&low, at, sizeof low);
    const I first = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
    const I shift = part == 0 ? first : _mm512_add_epi32(first, _mm512_set1_epi32(4));
    return _mm512_and_si512(_mm512_srlv_epi32(widen(_mm_set1_epi64x(low)), shift), _mm512_set1_epi32(3));
  }
  static I add_plane1(I x, const uint8_t* at, int part, int value) {
    __mmask16 set;
    __builtin_memcpy(&set, at + 2 * part, sizeof set);
    return _mm512_mask_or_epi32(x, set, x, _mm512_set1_epi32(value));
  }

  static Table table(const float* values) { return load(values); }
  static V look_up(Table table, I index) { return _mm512_permutexvar_ps(index, table); }
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
