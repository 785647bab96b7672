// What the avx512_bf16 table does by itself; the rest it shares with avx512. For the amx table too.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::avx512_bf16 {

// attention_avx512_bf16.cc
bool takes_bf16_queries(KvType type, int64_t qk_dim, int64_t v_dim);
void round_queries(const float* x, int64_t x_stride, int64_t rows, int64_t columns, uint16_t* out, int64_t out_stride);
void attention_queries(const AttentionQueries& args);
void attention_block(const AttentionBlock& args);

}  // namespace glimmer::kernels::avx512_bf16
