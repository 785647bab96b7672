// Products with activations of 8 bits for AVX-VNNI, which multiplies four bytes a lane and adds them up in 32 bits.
// Definition: kernel_table.h, kInt8Groups.
#include <immintrin.h>

#include <utility>

#include "kernels/activations.h"
#include "kernels/cpu/x86/avx_vnni.h"

namespace glimmer::kernels::avx_vnni {
namespace {

#include "kernels/cpu/x86/simd_avx2.inc"

constexpr bool kTakesSigned = false;

// Lines take turns between two sums: one would wait for itself.
template <typename Codes, int kIndex, int kCount>
[[gnu::always_inline]] inline void add_products(I weights, I x, I (&sums)[2]) {
  I& sum = sums[kIndex % 2];
  sum = _mm256_dpbusd_avx_epi32(kIndex < 2 ? _mm256_setzero_si256() : sum, weights, x);
  asm("" : "+x"(sum));  // or the compiler moves sums between registers and memory
}

[[gnu::always_inline]] inline I sum_of(const I (&sums)[2]) { return _mm256_add_epi32(sums[0], sums[1]); }

#include "kernels/cpu/x86/linear_int8_groups.inc"

}  // namespace

void linear_int8_groups(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  multiply_layout(a, panel_begin, panel_end);
}

}  // namespace glimmer::kernels::avx_vnni
