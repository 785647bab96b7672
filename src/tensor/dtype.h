// Element types as checkpoints name them, and the conversions of the small floats.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace glimmer {

enum class DType {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kU64,
  kI32,
  kU32,
  kI16,
  kU16,
  kI8,
  kU8,
  kBool,
};

size_t dtype_size_bytes(DType dtype);

// The spelling of safetensors: "F32", "BF16", "F8_E4M3", "I64", "BOOL", ...
std::string_view dtype_name(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);
std::string_view known_dtype_names();  // "F64, F32, ..." for error messages

// bfloat16: the upper half of a float32.
inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Rounds to nearest, ties to even; NaN stays a quiet NaN.
inline uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // nearest, ties to even

// OCP 8-bit float, 4 exponent and 3 mantissa bits, bias 7: largest 448, no infinity, 0x7F and 0xFF are NaN.
float f8e4m3_to_f32(uint8_t bits);

}  // namespace glimmer
