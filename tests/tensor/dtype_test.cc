// The small floats, exhaustively where 8 or 16 bits allow.
#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace glimmer {
namespace {

// The value by the definition of a binary float: no infinity unless `has_infinity`.
double by_definition(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const uint32_t mantissa = bits & ((1U << mantissa_bits) - 1);
  const auto exponent = static_cast<int>(bits >> mantissa_bits & ((1U << exponent_bits) - 1));
  const double sign = (bits >> (exponent_bits + mantissa_bits) & 1) != 0 ? -1 : 1;
  const double fraction = mantissa / std::pow(2.0, mantissa_bits);
  return sign * (exponent == 0 ? fraction * std::pow(2.0, 1 - bias) : (1 + fraction) * std::pow(2.0, exponent - bias));
}

TEST(F8E4M3, EveryCode) {
  for (uint32_t code = 0; code < 256; ++code) {
    const float value = f8e4m3_to_f32(static_cast<uint8_t>(code));
    if ((code & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(value)) << code;
    } else {
      EXPECT_EQ(value, by_definition(code, 4, 3)) << code;
      EXPECT_EQ(std::signbit(value), (code & 0x80) != 0) << code;
    }
  }
  EXPECT_EQ(f8e4m3_to_f32(0x7E), 448.0F);
}

TEST(F16, EveryCodeWidensExactlyAndComesBack) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const float value = f16_to_f32(static_cast<uint16_t>(code));
    const uint32_t magnitude = code & 0x7FFF;
    if (magnitude > 0x7C00) {
      EXPECT_TRUE(std::isnan(value)) << code;
      continue;
    }
    if (magnitude == 0x7C00) {
      EXPECT_EQ(std::abs(value), std::numeric_limits<float>::infinity()) << code;
    } else {
      ASSERT_EQ(value, by_definition(code, 5, 10)) << code;
    }
    ASSERT_EQ(f32_to_f16(value), code);
  }
}

TEST(F16, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_f16(1.0F + 0x1p-11F), 0x3C00);      // half way, down to even
  EXPECT_EQ(f32_to_f16(1.0F + 3 * 0x1p-11F), 0x3C02);  // half way, up to even
  EXPECT_EQ(f32_to_f16(65519.0F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(f32_to_f16(0x1p-25F), 0x0000);
  EXPECT_EQ(f32_to_f16(0x1.8p-24F), 0x0002);
}

TEST(Bf16, EveryCodeComesBackAndRoundingIsToNearestEven) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const float value = bf16_to_f32(static_cast<uint16_t>(code));
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_bf16(value), code);
  }
  EXPECT_EQ(f32_to_bf16(1.0F + 0x1p-8F), 0x3F80);
  EXPECT_EQ(f32_to_bf16(1.0F + 3 * 0x1p-8F), 0x3F82);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(DTypeNames, ParseBackAndUnknownOnesDoNot) {
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kBF16, DType::kF8E4M3, DType::kBool, DType::kU8}) {
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
  }
  EXPECT_FALSE(parse_dtype("F4").has_value());
  EXPECT_FALSE(parse_dtype("bf16").has_value());
}

}  // namespace
}  // namespace glimmer
