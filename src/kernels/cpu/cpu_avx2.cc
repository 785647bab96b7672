// AVX2 with FMA (x86-64-v3). Weights are widened to float32 on the way into the multiply-add.
#include <immintrin.h>

#include "kernels/cpu/supported.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

struct Simd {
  using V = __m256;
  using I = __m256i;
  struct Table {
    V low, high;
  };
  static constexpr int64_t kWidth = 8;
  template <typename Converted, typename LookedUp>
  using NibbleCodes = Converted;
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
  static void store(float* x, V v) { _mm256_storeu_ps(x, v); }
  static void store_first(float* x, V v, int64_t count) { _mm256_maskstore_ps(x, mask(count), v); }
  static V first(V v, int64_t count) { return _mm256_and_ps(v, _mm256_castsi256_ps(mask(count))); }
  static float first_lane(V v) { return _mm256_cvtss_f32(v); }
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
  static void deinterleave(V& a, V& b) {
    const auto in_order = [](V x) {
      return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), _MM_SHUFFLE(3, 1, 2, 0)));
    };
    const V evens = in_order(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
    b = in_order(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
    a = evens;
  }

  static I widen(__m128i x) { return _mm256_cvtepu8_epi32(x); }
  static V to_float(I x) { return _mm256_cvtepi32_ps(x); }
  static I either(I a, I b) { return _mm256_or_si256(a, b); }
  static I low_half(I x, int part) { return part < 2 ? _mm256_and_si256(x, _mm256_set1_epi32(15)) : x; }
  static I shift_left_4(I x) { return _mm256_slli_epi32(x, 4); }
  static I shift_right_4(I x) { return _mm256_srli_epi32(x, 4); }
  static I sign_extend_byte(I x) { return _mm256_srai_epi32(_mm256_slli_epi32(x, 24), 24); }

  static __m128i bytes(const uint8_t* x) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)); }
  // Gathered in registers: stores followed by a wider load would wait for each other.
  static uint64_t gather(const uint8_t* x, int64_t count) {
    uint64_t lanes = 0;
    for (int64_t i = count - 1; i >= 0; --i) lanes = lanes << 8 | x[i];
    return lanes;
  }
  static __m128i bytes_first(const uint8_t* x, int64_t count) {
    return count == 8 ? bytes(x) : _mm_cvtsi64_si128(static_cast<int64_t>(gather(x, count)));
  }
  static __m128i halves(const uint8_t* x) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x)); }
  static __m128i halves_first(const uint8_t* x, int64_t count) {
    if (count == 8) return halves(x);
    if (count < 4) return _mm_cvtsi64_si128(static_cast<int64_t>(gather(x, 2 * count)));
    const __m128i high = _mm_cvtsi64_si128(static_cast<int64_t>(gather(x + 8, 2 * (count - 4))));
    return _mm_unpacklo_epi64(bytes(x), high);
  }
  static V bf16(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
  static V f16(__m128i x) { return _mm256_cvtph_ps(x); }
  // As f16 the bits are 2^-8 of the value, subnormal ones too. What would be 480 is NaN.
  static __m256i f8_as_f16(__m128i x) {
    const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(x), 7);
    const __m256i number = _mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<int16_t>(0xBF80)));
    const __m256i largest = _mm256_set1_epi16(0x3F80);
    const __m256i is_nan = _mm256_cmpeq_epi16(_mm256_and_si256(number, largest), largest);
    return _mm256_or_si256(number, _mm256_and_si256(is_nan, _mm256_set1_epi16(0x7E00)));
  }
  static V f8e4m3(__m128i x) { return mul(f16(_mm256_castsi256_si128(f8_as_f16(x))), broadcast(256.0F)); }
  static void f8e4m3_pair(const uint8_t* at, V& first_values, V& second_values) {
    const __m256i x = f8_as_f16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    first_values = mul(f16(_mm256_castsi256_si128(x)), broadcast(256.0F));
    second_values = mul(f16(_mm256_extracti128_si256(x, 1)), broadcast(256.0F));
  }
  // 0 is the subnormal 2^-127, and 255 NaN rather than infinity.
  static V e8m0(I x) {
    const I odd =
        _mm256_or_si256(_mm256_cmpeq_epi32(x, _mm256_setzero_si256()), _mm256_cmpeq_epi32(x, _mm256_set1_epi32(255)));
    const I bit = _mm256_and_si256(odd, _mm256_set1_epi32(0x400000));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_slli_epi32(x, 23), bit));
  }

  static I plane4(const uint8_t* at, int part) {
    const I x = widen(bytes(at + part % 2 * 8));
    return part < 2 ? x : shift_right_4(x);
  }
  static I plane2(const uint8_t* at, int part) {
    return _mm256_and_si256(_mm256_srli_epi32(widen(bytes(at)), 2 * part), _mm256_set1_epi32(3));
  }
  static I add_plane1(I x, const uint8_t* at, int part, int value) {
    // The bit of code 8 part + lane is shifted down to the value's; to have it above, part 0 reads from a byte before.
    int32_t bits;
    __builtin_memcpy(&bits, part == 0 ? at - 1 : at, sizeof bits);
    const int first = (part == 0 ? 8 : 8 * part) - __builtin_ctz(static_cast<unsigned>(value));
    const I shift = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
    const I shifted = _mm256_srlv_epi32(_mm256_set1_epi32(bits), shift);
    return _mm256_or_si256(x, _mm256_and_si256(shifted, _mm256_set1_epi32(value)));
  }

  static Table table(const float* values) { return {load(values), load(values + 8)}; }
  static V look_up(Table table, I index) {
    const V in_high = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index), _mm256_permutevar8x32_ps(table.high, index),
                            in_high);
  }
};

#include "kernels/cpu/body.inc"

}  // namespace

extern const KernelTable kAvx2Table = {
    .name = "avx2",
    .requires_cpu = "AVX2, FMA, F16C and BMI2",
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
