// The functions of the avx2 table that lie outside cpu_avx2.cc.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::avx2 {

// linear_int8_avx2.cc; what they do is said in kernel_table.h
void linear_int8_groups(const Linear& args, int64_t panel_begin, int64_t panel_end);  // x of kInt8Groups
void encode_int8_groups(const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin, int64_t end,
                        std::byte* out, int64_t row_bytes);

}  // namespace glimmer::kernels::avx2
