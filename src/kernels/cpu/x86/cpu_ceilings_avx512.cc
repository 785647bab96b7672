#include <immintrin.h>

#include "kernels/cpu/x86/ceilings.h"

namespace glimmer::kernels::avx512 {
namespace {

constexpr int64_t kAhead = 1024;  // bytes, of each stream

template <int kStreams>
uint64_t read_streams(const std::byte* data, int64_t stream_bytes) {
  __m512i sums[8] = {};
  for (int64_t at = 0; at < stream_bytes; at += 64) {
#pragma GCC unroll 16
    for (int s = 0; s < kStreams; ++s) {
      const std::byte* line = data + s * stream_bytes + at;
      _mm_prefetch(reinterpret_cast<const char*>(line + kAhead), _MM_HINT_T0);
      sums[s % 8] = _mm512_add_epi64(sums[s % 8], _mm512_load_si512(line));
    }
  }
#pragma GCC unroll 8
  for (int i = 1; i < 8; ++i) sums[0] = _mm512_add_epi64(sums[0], sums[i]);
  alignas(64) uint64_t parts[8];
  _mm512_store_si512(parts, sums[0]);
  uint64_t sum = 0;
  for (const uint64_t part : parts) sum += part;
  return sum;
}

}  // namespace

uint64_t read_ceiling(const std::byte* data, int64_t stream_bytes, int streams) {
  if (streams == 1) return read_streams<1>(data, stream_bytes);
  if (streams == 4) return read_streams<4>(data, stream_bytes);
  if (streams == 8) return read_streams<8>(data, stream_bytes);
  return read_streams<16>(data, stream_bytes);
}

void float_ceiling(int64_t rounds) {
  __m512 sums[24];
#pragma GCC unroll 24
  for (auto& sum : sums) {
    sum = _mm512_set1_ps(1.0F);
    asm volatile("" : "+v"(sum));  // else equal sums would be made but once
  }
  __m512 a = _mm512_set1_ps(0.999F);
  __m512 b = _mm512_set1_ps(0.001F);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, a, b);
    asm volatile("" : "+v"(a), "+v"(b));
  }
#pragma GCC unroll 24
  for (auto& sum : sums) asm volatile("" : : "v"(sum));
}

__attribute__((target("avx512vnni"))) void integer_ceiling(int64_t rounds) {
  __m512i sums[24];
#pragma GCC unroll 24
  for (auto& sum : sums) {
    sum = _mm512_setzero_si512();
    asm volatile("" : "+v"(sum));  // else equal sums would be made but once
  }
  __m512i a = _mm512_set1_epi8(3);
  __m512i b = _mm512_set1_epi8(5);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
    asm volatile("" : "+v"(a), "+v"(b));
  }
#pragma GCC unroll 24
  for (auto& sum : sums) asm volatile("" : : "v"(sum));
}

__attribute__((target("avx512bf16"))) void bf16_ceiling(int64_t rounds) {
  __m512 sums[24];
#pragma GCC unroll 24
  for (auto& sum : sums) {
    sum = _mm512_setzero_ps();
    asm volatile("" : "+v"(sum));  // else equal sums would be made but once
  }
  const __m512i value = _mm512_set1_epi32(0x3C003C00);
  auto a = reinterpret_cast<__m512bh>(value);
  auto b = reinterpret_cast<__m512bh>(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
    asm volatile("" : "+v"(a), "+v"(b));
  }
#pragma GCC unroll 24
  for (auto& sum : sums) asm volatile("" : : "v"(sum));
}

}  // namespace glimmer::kernels::avx512
