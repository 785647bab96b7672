// Keys and values of 8 bits: every table makes the same bf16 of them, to the bit, as their definition says.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/kv_codes.h"
#include "tensor/dtype.h"

namespace glimmer::kernels {
namespace {

constexpr KvType kTypes[] = {KvType::kInt8, KvType::kF8E4M3};

struct Encoded {
  std::vector<std::byte> codes;
  std::vector<float> scales;
};

Encoded encode(KvType type, const std::vector<float>& x, int64_t rows, int64_t dim) {
  const int64_t groups = kv_groups(dim);
  Encoded out{std::vector<std::byte>(static_cast<size_t>(rows * dim)),
              std::vector<float>(static_cast<size_t>(rows * groups))};
  for (int64_t row = 0; row < rows; ++row) {
    encode_kv_row(type, x.data() + row * dim, dim, out.codes.data() + row * dim, out.scales.data() + row * groups);
  }
  return out;
}

TEST(KvCodes, KeepValuesWithinHalfAStep) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const KvType type : kTypes) {
    for (const int64_t dim : {1, 63, 64, 65, 576}) {
      std::vector<float> x(static_cast<size_t>(dim));
      for (float& value : x) value = normal(random) * std::exp(3 * normal(random));
      const Encoded encoded = encode(type, x, 1, dim);
      for (int64_t i = 0; i < dim; ++i) {
        const float scale = encoded.scales[static_cast<size_t>(i / kKvGroup)];
        const auto code = static_cast<uint8_t>(encoded.codes[static_cast<size_t>(i)]);
        const float decoded = kv_code_value(type, code) * scale;
        const float value = x[static_cast<size_t>(i)];
        // Codes of floats are spaced by an eighth of their power of two, but not below 2^-9.
        const float step = type == KvType::kInt8 ? scale : std::max(std::fabs(value) / 8, scale * 0x1p-9F);
        EXPECT_LE(std::fabs(decoded - value), step * 0.5001F) << "value " << i << " of " << dim;
      }
    }
  }
}

TEST(KvCodes, ZerosAndWhatIsNotFinite) {
  for (const KvType type : kTypes) {
    std::vector<float> x(128, 0.0F);
    x[70] = NAN;
    const Encoded encoded = encode(type, x, 1, 128);
    EXPECT_EQ(encoded.scales[0], 0.0F);
    EXPECT_EQ(encoded.codes[3], std::byte{0});
    EXPECT_TRUE(std::isnan(encoded.scales[1]));  // it shows: nothing becomes a number again
    x[70] = INFINITY;
    EXPECT_FALSE(std::isfinite(encode(type, x, 1, 128).scales[1]));
  }
}

class KvParity : public ::testing::TestWithParam<const KernelTable*> {};

TEST_P(KvParity, MakesTheDefinitionsBf16) {
  const KernelTable& table = *GetParam();
  if (!table.supported()) GTEST_SKIP() << "this processor lacks " << table.requires_cpu;
  std::mt19937 random(1);
  for (const KvType type : kTypes) {
    for (const int64_t dim : {1, 7, 16, 40, 64, 72, 128, 512, 576}) {
      constexpr int64_t kRows = 5;
      const int64_t groups = kv_groups(dim);
      std::vector<std::byte> codes(static_cast<size_t>(kRows * dim));
      for (std::byte& code : codes) {
        do {
          code = static_cast<std::byte>(random());
        } while (type == KvType::kF8E4M3 && (code & std::byte{0x7F}) == std::byte{0x7F});
      }
      std::vector<float> scales(static_cast<size_t>(kRows * groups));
      for (float& scale : scales) scale = std::exp(static_cast<float>(random() % 40) - 30);
      std::vector<uint16_t> out(static_cast<size_t>(kRows * dim) + 1, 0x1234);
      table.decode_kv(
          {.type = type, .codes = codes.data(), .scales = scales.data(), .rows = kRows, .dim = dim, .out = out.data()});
      for (int64_t i = 0; i < kRows * dim; ++i) {
        const float scale = scales[static_cast<size_t>(i / dim * groups + i % dim / kKvGroup)];
        const auto code = static_cast<uint8_t>(codes[static_cast<size_t>(i)]);
        ASSERT_EQ(out[static_cast<size_t>(i)], f32_to_bf16(kv_code_value(type, code) * scale))
            << table.name << ", value " << i << ", dim " << dim << ", code " << int{code};
      }
      EXPECT_EQ(out.back(), 0x1234);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, KvParity, ::testing::ValuesIn(all_tables().begin(), all_tables().end()),
                         [](const auto& test) { return std::string(test.param->name); });

}  // namespace
}  // namespace glimmer::kernels
