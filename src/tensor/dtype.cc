#include "tensor/dtype.h"

#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "base/check.h"
#include "base/name_table.h"

namespace glimmer {
namespace {

struct Row {
  DType dtype;
  std::string_view name;
  int64_t block_bytes;
  int64_t block_values = 1;
};

constexpr std::array<Row, 29> kRows = {{
    {DType::kF64, "F64", 8},
    {DType::kF32, "F32", 4},
    {DType::kF16, "F16", 2},
    {DType::kBF16, "BF16", 2},
    {DType::kF8E4M3, "F8_E4M3", 1},
    {DType::kF8E5M2, "F8_E5M2", 1},
    {DType::kI64, "I64", 8},
    {DType::kU64, "U64", 8},
    {DType::kI32, "I32", 4},
    {DType::kU32, "U32", 4},
    {DType::kI16, "I16", 2},
    {DType::kU16, "U16", 2},
    {DType::kI8, "I8", 1},
    {DType::kU8, "U8", 1},
    {DType::kBool, "BOOL", 1},
    {DType::kF8E8M0, "F8_E8M0", 1},
    {DType::kQ4_0, "Q4_0", 18, 32},
    {DType::kQ4_1, "Q4_1", 20, 32},
    {DType::kQ5_0, "Q5_0", 22, 32},
    {DType::kQ5_1, "Q5_1", 24, 32},
    {DType::kQ8_0, "Q8_0", 34, 32},
    {DType::kQ2_K, "Q2_K", 84, 256},
    {DType::kQ3_K, "Q3_K", 110, 256},
    {DType::kQ4_K, "Q4_K", 144, 256},
    {DType::kQ5_K, "Q5_K", 176, 256},
    {DType::kQ6_K, "Q6_K", 210, 256},
    {DType::kIQ4_NL, "IQ4_NL", 18, 32},
    {DType::kIQ4_XS, "IQ4_XS", 136, 256},
    {DType::kMXFP4, "MXFP4", 17, 32},
}};

const Row& row_of(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  GLIMMER_CHECK(index < kRows.size() && kRows[index].dtype == dtype, "dtype {}", index);
  return kRows[index];
}

}  // namespace

DTypeBlock dtype_block(DType dtype) {
  const Row& row = row_of(dtype);
  return {row.block_values, row.block_bytes};
}

size_t dtype_size_bytes(DType dtype) {
  GLIMMER_CHECK(!is_block_dtype(dtype), "a value of {} has no bytes of its own", dtype_name(dtype));
  return static_cast<size_t>(row_of(dtype).block_bytes);
}

size_t dtype_bytes(DType dtype, int64_t count) {
  const DTypeBlock block = dtype_block(dtype);
  GLIMMER_CHECK(count % block.values == 0, "{} values of {}", count, dtype_name(dtype));
  return static_cast<size_t>(count / block.values * block.bytes);
}

std::string_view dtype_name(DType dtype) { return row_of(dtype).name; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name && row.block_values == 1) return row.dtype;
  }
  return std::nullopt;
}

std::string_view known_dtype_names() {
  static const std::string names =
      list_names(kRows, [](const Row& row) { return row.block_values == 1 ? row.name : ""; });
  return names;
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 0x1F;
  const uint32_t mantissa = bits & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return sign | 0x7E00;   // NaN
  if (magnitude >= 0x477FF000) return sign | 0x7C00;  // at least 65520 rounds to infinity
  if (magnitude < 0x38800000) {                       // below 2^-14: a multiple of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24F;
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(scaled)));
  }
  const uint32_t rounded = magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | rounded >> 13);
}

float f8e4m3_to_f32(uint8_t bits) {
  const uint32_t exponent = bits >> 3 & 0xF;
  const uint32_t mantissa = bits & 7;
  float magnitude;
  if (exponent == 0) {
    magnitude = static_cast<float>(mantissa) * 0x1p-9F;
  } else if (exponent == 15 && mantissa == 7) {
    magnitude = std::numeric_limits<float>::quiet_NaN();
  } else {
    magnitude = std::bit_cast<float>((exponent + 120) << 23 | mantissa << 20);
  }
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

uint8_t f32_to_f8e4m3(float value) {
  const auto sign = static_cast<uint8_t>(std::bit_cast<uint32_t>(value) >> 24 & 0x80);
  const float magnitude = std::abs(value);
  if (std::isnan(magnitude)) return sign | 0x7F;
  if (magnitude >= 448) return sign | 0x7E;
  if (magnitude < 0x1p-6F) {  // subnormal: a multiple of 2^-9, and what rounds up to the least normal is code 8
    return static_cast<uint8_t>(sign | static_cast<uint8_t>(std::nearbyint(magnitude * 0x1p9F)));
  }
  const auto bits = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = bits + 0x7FFFF + (bits >> 20 & 1);
  return static_cast<uint8_t>(sign | ((rounded >> 20) - (120 << 3)));
}

}  // namespace glimmer
