// Element types as checkpoints name them, the block types of GGUF among them, and the conversions of the small floats.
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
  kF8E8M0,  // a power of two: 2^(code - 127), 0xFF is NaN
  // Blocks of ggml: some values and their scales, together. Distributed Llama's Q40 and Q80 are Q4_0 and Q8_0.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
};

// How many values are stored together, in how many bytes: {1, 4} for F32, {256, 144} for Q4_K.
struct DTypeBlock {
  int64_t values = 1;
  int64_t bytes = 0;
};
DTypeBlock dtype_block(DType dtype);
inline bool is_block_dtype(DType dtype) { return dtype_block(dtype).values != 1; }

size_t dtype_size_bytes(DType dtype);            // of one value; CHECKs that it is no block type
size_t dtype_bytes(DType dtype, int64_t count);  // of `count` values; CHECKs that they are whole blocks

// The spelling of safetensors and of ggml: "F32", "BF16", "F8_E4M3", "I64", "BOOL", ..., "Q4_K".
std::string_view dtype_name(DType dtype);
// A type that safetensors has: no block type.
std::optional<DType> parse_dtype(std::string_view name);
std::string_view known_dtype_names();  // "F64, F32, ..." for error messages, block types left out

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
uint8_t f32_to_f8e4m3(float value);  // nearest, ties to even; beyond 448 saturates; NaN stays NaN

inline float f8e8m0_to_f32(uint8_t bits) {
  if (bits == 0) return 0x1p-127F;
  return std::bit_cast<float>(bits == 0xFF ? 0x7FC00000U : static_cast<uint32_t>(bits) << 23);
}

}  // namespace glimmer
