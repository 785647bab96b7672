#include <immintrin.h>

#include "kernels/cpu/x86/ceilings.h"

namespace glimmer::kernels::avx2 {
namespace {

constexpr int64_t kAhead = 1024;  // bytes, of each stream

template <int kStreams>
uint64_t read_streams(const std::byte* data, int64_t stream_bytes) {
  __m256i sums[8] = {};
  for (int64_t at = 0; at < stream_bytes; at += 64) {
#pragma GCC unroll 16
    for (int s = 0; s < kStreams; ++s) {
      const std::byte* line = data + s * stream_bytes + at;
      _mm_prefetch(reinterpret_cast<const char*>(line + kAhead), _MM_HINT_T0);
      const auto* halves = reinterpret_cast<const __m256i*>(line);
      sums[s % 8] = _mm256_add_epi64(sums[s % 8], _mm256_load_si256(halves));
      sums[s % 8] = _mm256_add_epi64(sums[s % 8], _mm256_load_si256(halves + 1));
    }
  }
  __m256i sum = sums[0];
#pragma GCC unroll 8
  for (int i = 1; i < 8; ++i) sum = _mm256_add_epi64(sum, sums[i]);
  return static_cast<uint64_t>(_mm256_extract_epi64(sum, 0) + _mm256_extract_epi64(sum, 1) +
                               _mm256_extract_epi64(sum, 2) + _mm256_extract_epi64(sum, 3));
}

}  // namespace

uint64_t read_ceiling(const std::byte* data, int64_t stream_bytes, int streams) {
  if (streams == 1) return read_streams<1>(data, stream_bytes);
  if (streams == 4) return read_streams<4>(data, stream_bytes);
  if (streams == 8) return read_streams<8>(data, stream_bytes);
  return read_streams<16>(data, stream_bytes);
}

void float_ceiling(int64_t rounds) {
  __m256 sums[12];
#pragma GCC unroll 24
  for (auto& sum : sums) {
    sum = _mm256_set1_ps(1.0F);
    asm volatile("" : "+x"(sum));  // else equal sums would be made but once
  }
  __m256 a = _mm256_set1_ps(0.999F);
  __m256 b = _mm256_set1_ps(0.001F);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
    asm volatile("" : "+x"(a), "+x"(b));
  }
#pragma GCC unroll 24
  for (auto& sum : sums) asm volatile("" : : "x"(sum));
}

void integer_ceiling(int64_t rounds) {
  __m256i sums[10];
#pragma GCC unroll 24
  for (auto& sum : sums) {
    sum = _mm256_setzero_si256();
    asm volatile("" : "+x"(sum));  // else equal sums would be made but once
  }
  __m256i a = _mm256_set1_epi8(3);
  __m256i b = _mm256_set1_epi8(5);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) {
      asm volatile("" : "+x"(a), "+x"(b));  // so that each product is made
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
#pragma GCC unroll 24
  for (auto& sum : sums) asm volatile("" : : "x"(sum));
}

__attribute__((target("avxvnni"))) void vnni_ceiling(int64_t rounds) {
  __m256i sums[12];
#pragma GCC unroll 24
  for (auto& sum : sums) {
    sum = _mm256_setzero_si256();
    asm volatile("" : "+x"(sum));  // else equal sums would be made but once
  }
  __m256i a = _mm256_set1_epi8(3);
  __m256i b = _mm256_set1_epi8(5);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm256_dpbusd_avx_epi32(sum, a, b);
    asm volatile("" : "+x"(a), "+x"(b));
  }
#pragma GCC unroll 24
  for (auto& sum : sums) asm volatile("" : : "x"(sum));
}

}  // namespace glimmer::kernels::avx2
