// Functions of the avx2 table that have a file of their own.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::avx2 {

// linear_int8_avx2.cc
void linear_int8(const Linear& args, int64_t panel_begin, int64_t panel_end);  // x of kInt8
void encode_activations(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes);

}  // namespace glimmer::kernels::avx2
