// AVX2 with FMA (x86-64-v3): the table, and all of it but products with integers.
#include <immintrin.h>

#include "kernels/activations.h"
#include "kernels/cpu/x86/avx2.h"
#include "kernels/cpu/x86/supported.h"
#include "kernels/cpu/x86/tables.h"

namespace glimmer::kernels {
namespace avx2 {
namespace {

#include "kernels/cpu/x86/simd_avx2.inc"

}  // namespace

#include "kernels/cpu/body.inc"

ActivationType fast_activations(const WeightLayout& layout) {
  return has_int8_codes(layout) ? ActivationType::kInt8Groups : ActivationType::kF32;
}

void encode_activations(ActivationType, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes) {
  encode_int8_groups(x, x_stride, T, K, begin, end, out, row_bytes);
}

void linear(const Linear& args, int64_t panel_begin, int64_t panel_end) {
  if (args.x.type == ActivationType::kF32) return linear_f32(args, panel_begin, panel_end);
  linear_int8_groups(args, panel_begin, panel_end);
}

}  // namespace avx2

extern const KernelTable kAvx2Table = {
    .name = "avx2",
    .requires_cpu = "AVX2, FMA, F16C and BMI2",
    .supported = cpu_has_avx2,
    .fast_activations = avx2::fast_activations,
    .encode_activations = avx2::encode_activations,
    .linear = avx2::linear,
    .decode_rows = avx2::decode_rows,
    .decode_kv = avx2::decode_kv,
    .takes_bf16_queries = [](KvType, int64_t, int64_t) { return false; },
    .round_queries = nullptr,
    .attention_queries = avx2::attention_queries,
    .attention_block = avx2::attention_block,
    .attention_fold = avx2::attention_fold,
    .rms_norm = avx2::rms_norm,
    .silu_mul = avx2::silu_mul,
    .weighted_sum = avx2::weighted_sum,
    .rope = avx2::rope,
};

}  // namespace glimmer::kernels
