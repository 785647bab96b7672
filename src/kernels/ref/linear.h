// The reference's functions of weights, for its table. kernel_table.h says what they do.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::ref {

ActivationType fast_activations(const WeightLayout& layout);
void encode_activations(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes);
void linear(const Linear& args, int64_t panel_begin, int64_t panel_end);
void decode_rows(const WeightMatrix& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride);

}  // namespace glimmer::kernels::ref
