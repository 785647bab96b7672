// Scales and offsets as tensors hold them: f32, f16 or bf16, little-endian, aligned or not.
#pragma once

#include <cstring>

#include "base/check.h"
#include "tensor/dtype.h"
#include "tensor/weight_matrix.h"

namespace glimmer {

inline float load_float(DType dtype, const std::byte* data, int64_t index) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, data + 4 * index, sizeof value);
    return value;
  }
  GLIMMER_CHECK(dtype == DType::kBF16 || dtype == DType::kF16, "scales of type {}", dtype_name(dtype));
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, sizeof bits);
  return dtype == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

// Rounds to the type.
inline void store_float(DType dtype, float value, std::byte* data, int64_t index) {
  if (dtype == DType::kF32) {
    std::memcpy(data + 4 * index, &value, sizeof value);
    return;
  }
  GLIMMER_CHECK(dtype == DType::kBF16 || dtype == DType::kF16, "scales of type {}", dtype_name(dtype));
  const uint16_t bits = dtype == DType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
  std::memcpy(data + 2 * index, &bits, sizeof bits);
}

inline float round_float(DType dtype, float value) {
  if (dtype == DType::kBF16) return bf16_to_f32(f32_to_bf16(value));
  if (dtype == DType::kF16) return f16_to_f32(f32_to_f16(value));
  return value;
}

// How a layout writes scales that are stored as `dtype`, bit for bit.
inline WeightScales weight_scales_of(DType dtype) {
  GLIMMER_CHECK(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16, "scales of type {}",
                dtype_name(dtype));
  if (dtype == DType::kF32) return WeightScales::kF32;
  return dtype == DType::kBF16 ? WeightScales::kBF16 : WeightScales::kF16;
}

}  // namespace glimmer
