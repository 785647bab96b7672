// The functions of the avx2 table, for those who point to them too: the avx_vnni table.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::avx2 {

// cpu_avx2.cc; what they do is said in kernel_table.h
ActivationType fast_activations(const WeightLayout& layout);
void encode_activations(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes);
void linear_f32(const Linear& args, int64_t panel_begin, int64_t panel_end);  // x of kF32
void decode_rows(const WeightMatrix& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride);
void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out);
void silu_mul(const float* gate, const float* up, int64_t n, float* out);
void weighted_sum(const float* const* rows, const float* weights, int64_t count, int64_t n, float* out);
void rope(const Rope& args);
void decode_kv(const KvDecode& args);
void attention_queries(const AttentionQueries& args);
void attention_block(const AttentionBlock& args);
void attention_fold(const AttentionFold& args);

// linear_int8_avx2.cc
void linear_int8_groups(const Linear& args, int64_t panel_begin, int64_t panel_end);  // x of kInt8Groups
void encode_int8_groups(const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin, int64_t end,
                        std::byte* out, int64_t row_bytes);

}  // namespace glimmer::kernels::avx2
