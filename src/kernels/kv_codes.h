// Quantisation of the KV cache to 8 bits, one row at a time. kernel_table.h, KvType, defines it.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace glimmer::kernels {

inline int64_t kv_groups(int64_t dim) { return (dim + kKvGroup - 1) / kKvGroup; }

// x [dim] to codes [dim] and scales [kv_groups(dim)], for kInt8 and kF8E4M3.
void encode_kv_row(KvType type, const float* x, int64_t dim, std::byte* codes, float* scales);

float kv_code_value(KvType type, uint8_t code);  // without its scale

}  // namespace glimmer::kernels
