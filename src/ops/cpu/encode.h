// Converts activations to the type that a matmul kernel reads (kernel_table.h).
#pragma once

#include <span>

#include "ops/cpu/device.h"

namespace glimmer::cpu {

// f32 rows and their destination.
struct EncodeCall {
  kernels::ActivationType type = kernels::ActivationType::kBF16;  // not kF32, which needs no encoding
  const float* x = nullptr;                                       // [tokens, columns], rows x_stride apart
  int64_t x_stride = 0;
  int64_t tokens = 0;
  int64_t columns = 0;
  std::byte* out = nullptr;  // encoded_bytes(), aligned to 64

  int64_t row_bytes() const { return kernels::activation_row_bytes(type, columns); }
};

// Size of that many rows, including the padding that kernels may read beyond the last; a multiple of 64.
int64_t encoded_bytes(kernels::ActivationType type, int64_t columns, int64_t tokens);

// Runs all calls as one parallel loop; small ones run on the calling thread alone.
void encode(Pass& ctx, std::span<const EncodeCall> calls);

}  // namespace glimmer::cpu
