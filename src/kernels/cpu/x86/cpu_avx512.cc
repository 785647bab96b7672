// AVX-512 (x86-64-v4): the table, and all of it but products with integers.
#include <immintrin.h>

#include "kernels/activations.h"
#include "kernels/cpu/x86/avx512.h"
#include "kernels/cpu/x86/supported.h"
#include "kernels/cpu/x86/tables.h"

namespace glimmer::kernels {
namespace avx512 {
namespace {

#include "kernels/cpu/x86/simd_avx512.inc"

}  // namespace

#include "kernels/cpu/body.inc"

ActivationType fast_activations(const WeightLayout& layout) {
  return has_int8_weights(layout) ? ActivationType::kInt8 : ActivationType::kF32;
}

void linear(const Linear& args, int64_t panel_begin, int64_t panel_end) {
  if (args.x.type == ActivationType::kF32) return linear_f32(args, panel_begin, panel_end);
  linear_int8(args, panel_begin, panel_end);
}

}  // namespace avx512

extern const KernelTable kAvx512Table = {
    .name = "avx512",
    .requires_cpu = "AVX-512 F, BW, CD, DQ, VL and VNNI",
    .supported = cpu_has_avx512,
    .fast_activations = avx512::fast_activations,
    .encode_activations = avx512::encode_activations,
    .linear = avx512::linear,
    .decode_rows = avx512::decode_rows,
    .decode_kv = avx512::decode_kv,
    .takes_bf16_queries = [](KvType, int64_t, int64_t) { return false; },
    .round_queries = nullptr,
    .attention_queries = avx512::attention_queries,
    .attention_block = avx512::attention_block,
    .attention_fold = avx512::attention_fold,
    .rms_norm = avx512::rms_norm,
    .silu_mul = avx512::silu_mul,
    .weighted_sum = avx512::weighted_sum,
    .rope = avx512::rope,
};

}  // namespace glimmer::kernels
