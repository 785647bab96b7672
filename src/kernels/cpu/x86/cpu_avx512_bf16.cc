// AVX-512 with BF16: the table. What it does not do itself is AVX-512's. Nothing here needs more than the baseline.
#include "kernels/cpu/x86/avx512.h"
#include "kernels/cpu/x86/avx512_bf16.h"
#include "kernels/cpu/x86/supported.h"
#include "kernels/cpu/x86/tables.h"

namespace glimmer::kernels {

extern const KernelTable kAvx512Bf16Table = {
    .name = "avx512_bf16",
    .requires_cpu = "AVX-512 F, BW, CD, DQ, VL, VNNI and BF16",
    .supported = cpu_has_avx512_bf16,
    .fast_activations = avx512::fast_activations,
    .encode_activations = avx512::encode_activations,
    .linear = avx512::linear,
    .decode_rows = avx512::decode_rows,
    .decode_kv = avx512::decode_kv,
    .takes_bf16_queries = avx512_bf16::takes_bf16_queries,
    .round_queries = avx512_bf16::round_queries,
    .attention_queries = avx512_bf16::attention_queries,
    .attention_block = avx512_bf16::attention_block,
    .attention_fold = avx512::attention_fold,
    .rms_norm = avx512::rms_norm,
    .silu_mul = avx512::silu_mul,
    .weighted_sum = avx512::weighted_sum,
    .rope = avx512::rope,
};

}  // namespace glimmer::kernels
