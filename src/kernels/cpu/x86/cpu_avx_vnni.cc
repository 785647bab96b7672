// AVX-VNNI: the table. What it does not do itself is AVX2's. Nothing here needs more than the baseline.
#include "kernels/cpu/x86/avx2.h"
#include "kernels/cpu/x86/avx_vnni.h"
#include "kernels/cpu/x86/supported.h"
#include "kernels/cpu/x86/tables.h"

namespace glimmer::kernels {
namespace {

void linear(const Linear& args, int64_t panel_begin, int64_t panel_end) {
  if (args.x.type == ActivationType::kF32) return avx2::linear_f32(args, panel_begin, panel_end);
  avx_vnni::linear_int8_groups(args, panel_begin, panel_end);
}

}  // namespace

extern const KernelTable kAvxVnniTable = {
    .name = "avx_vnni",
    .requires_cpu = "AVX2, FMA, F16C, BMI2 and AVX-VNNI",
    .supported = cpu_has_avx_vnni,
    .fast_activations = avx2::fast_activations,
    .encode_activations = avx2::encode_activations,
    .linear = linear,
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
