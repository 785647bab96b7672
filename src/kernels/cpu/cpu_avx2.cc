// AVX2 with FMA (x86-64-v3): the whole table.
#include <immintrin.h>

#include "kernels/cpu/supported.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace avx2 {
namespace {

#include "kernels/cpu/simd_avx2.inc"

}  // namespace

#include "kernels/cpu/body.inc"

// Sums of 8-bit products need two instructions of 16 bits each here: they are no faster than floats.
ActivationType fast_activations(const WeightLayout&) { return ActivationType::kF32; }

}  // namespace avx2

extern const KernelTable kAvx2Table = {
    .name = "avx2",
    .requires_cpu = "AVX2, FMA, F16C and BMI2",
    .supported = cpu_has_avx2,
    .fast_activations = avx2::fast_activations,
    .encode_activations = nullptr,  // takes floats only
    .linear = avx2::linear_f32,
    .decode_rows = avx2::decode_rows,
    .attention_queries = avx2::attention_queries,
    .attention_block = avx2::attention_block,
    .attention_fold = avx2::attention_fold,
    .rms_norm = avx2::rms_norm,
    .silu_mul = avx2::silu_mul,
    .add_scaled = avx2::add_scaled,
    .rope = avx2::rope,
};

}  // namespace glimmer::kernels
