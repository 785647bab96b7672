// The functions of the avx512 table, for those who point to them too: the avx512_bf16 and amx
// tables.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::avx512 {

// cpu_avx512.cc; what they do is said in kernel_table.h
void linear_f32(const Linear& args, int64_t panel_begin, int64_t panel_end);  // x of kF32
void linear(const Linear& args, int64_t panel_begin, int64_t panel_end);
ActivationType fast_activations(const WeightLayout& layout);
void decode_rows(const WeightMatrix& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride);
void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out);
void silu_mul(const float* gate, const float* up, int64_t n, float* out);
void weighted_sum(const float* const* rows, const float* weights, int64_t count, int64_t n, float* out);
void rope(const Rope& args);
void decode_kv(const KvDecode& args);
void attention_queries(const AttentionQueries& args);
void attention_block(const AttentionBlock& args);
void attention_fold(const AttentionFold& args);
// AttentionFold's m, a and b for 16 rows; m takes the place of into_max. As attention_block folds.
void attention_fold_factors(float* into_max, const float* other_max, float* into, float* other);

// linear_int8_avx512.cc
void linear_int8(const Linear& args, int64_t panel_begin, int64_t panel_end);  // x of kInt8
void encode_activations(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes);

}  // namespace glimmer::kernels::avx512
