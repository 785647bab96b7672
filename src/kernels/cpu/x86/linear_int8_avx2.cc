// Products with activations of 8 bits for AVX2, and how these are made. Definition: kernel_table.h, kInt8Groups.
//
// A product gives sums of two in 16 bits. They are added up in 16 bits for as many lines as cannot overflow, then in
// 32; with groups of 32 and codes of 4 bits that is a whole group.
#include <immintrin.h>

#include <utility>

#include "kernels/activations.h"
#include "kernels/cpu/x86/avx2.h"

namespace glimmer::kernels::avx2 {
namespace {

#include "kernels/cpu/x86/simd_avx2.inc"

// Signed bytes are made unsigned for the product, and x takes their signs.
constexpr bool kTakesSigned = true;

// sums: of the run of lines at hand in 16 bits, and of all before in 32.
template <typename Codes, int kIndex, int kCount>
[[gnu::always_inline]] inline void add_products(I weights, I x, I (&sums)[2]) {
  if constexpr (Codes::kSigned) {
    x = _mm256_sign_epi8(x, weights);
    weights = _mm256_abs_epi8(weights);
  }
  const I products = _mm256_maddubs_epi16(weights, x);
  sums[0] = kIndex % Codes::kRun == 0 ? products : _mm256_add_epi16(sums[0], products);
  asm("" : "+x"(sums[0]));  // or the compiler makes all products first, and stores them
  if constexpr ((kIndex + 1) % Codes::kRun == 0 || kIndex + 1 == kCount) {
    const I wide = _mm256_madd_epi16(sums[0], _mm256_set1_epi16(1));
    sums[1] = kIndex < Codes::kRun ? wide : _mm256_add_epi32(sums[1], wide);
  }
}

[[gnu::always_inline]] inline I sum_of(const I (&sums)[2]) { return sums[1]; }

#include "kernels/cpu/x86/linear_int8_groups.inc"

float largest_magnitude(const float* x, int64_t columns, bool& finite) {
  const V magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  const V infinity = Simd::broadcast(__builtin_inff());
  V most = Simd::zero();
  V good = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  for (int64_t i = 0; i < columns; i += kW) {
    const V value = columns - i >= kW ? Simd::load(x + i) : Simd::load_first(x + i, columns - i);
    const V size = _mm256_and_ps(value, magnitude);
    good = _mm256_and_ps(good, _mm256_cmp_ps(size, infinity, _CMP_LT_OQ));
    most = Simd::max(size, most);
  }
  finite = _mm256_movemask_ps(good) == 0xFF;
  return Simd::max_lane(most);
}

// 16 codes and their sum.
float encode_sixteen(const float* x, int64_t columns, float inverse, uint8_t* codes) {
  I words[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t left = columns - i * kW;
    const V value = left >= kW ? Simd::load(x + i * kW) : left > 0 ? Simd::load_first(x + i * kW, left) : Simd::zero();
    words[i] = _mm256_cvtps_epi32(Simd::mul(value, Simd::broadcast(inverse)));
  }
  const I packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(words[0], words[1]), _MM_SHUFFLE(3, 1, 2, 0));
  const __m128i low = _mm256_castsi256_si128(packed);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm_packs_epi16(low, _mm256_extracti128_si256(packed, 1)));
  return Simd::sum(Simd::to_float(_mm256_add_epi32(words[0], words[1])));
}

void encode_block(const float* x, int64_t columns, uint8_t* codes, float* scale, float* sums) {
  bool finite;
  const float largest = largest_magnitude(x, columns, finite);
  const bool some = finite && !(largest < 1e-30F);
  *scale = !finite ? __builtin_nanf("") : some ? largest / 127.0F : 0.0F;
  for (int64_t i = 0; i < kActivationBlock; i += kSumColumns) {
    sums[i / kSumColumns] = encode_sixteen(x + i, some ? columns - i : 0, some ? 127.0F / largest : 0.0F, codes + i);
  }
}

}  // namespace

void encode_int8_groups(const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin, int64_t end,
                        std::byte* out, int64_t row_bytes) {
  const int64_t padded = (K + kActivationBlock - 1) / kActivationBlock * kActivationBlock;
  for (int64_t t = 0; t < T; ++t) {
    auto* codes = reinterpret_cast<uint8_t*>(out + t * row_bytes);
    auto* scales = reinterpret_cast<float*>(codes + padded);
    float* sums = scales + padded / kActivationBlock;
    for (int64_t k = begin; k < end; k += kActivationBlock) {
      encode_block(x + t * x_stride + k, end - k < kActivationBlock ? end - k : kActivationBlock, codes + k,
                   scales + k / kActivationBlock, sums + k / kSumColumns);
    }
  }
}

void linear_int8_groups(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  multiply_layout(a, panel_begin, panel_end);
}

}  // namespace glimmer::kernels::avx2
