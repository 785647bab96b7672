// Products of kInt8Groups: what activations and sums are, against integers and sums in double. That tables agree to the
// bit is layout_parity_test's.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/activations.h"
#include "kernels/kernel_table.h"
#include "tensor/dtype.h"
#include "tensor/weight_matrix.h"

namespace glimmer::kernels {
namespace {

constexpr float kIntegers[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr float kHalves[16] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, 0, -0.5F, -1, -1.5F, -2, -3, -4, -6};

class Int8Groups : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }

  std::vector<float> random(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(rng_() >> 8) / (1 << 23) - 1.0F;
    return values;
  }

  std::vector<std::byte> encoded(const std::vector<float>& x, int64_t T, int64_t K) const {
    const int64_t row_bytes = activation_row_bytes(ActivationType::kInt8Groups, K);
    std::vector<std::byte> rows(static_cast<size_t>(T * row_bytes), std::byte{0xA5});
    table().encode_activations(ActivationType::kInt8Groups, x.data(), K, T, K, 0, K, rows.data(), row_bytes);
    return rows;
  }

  std::mt19937 rng_{5};
};

template <typename T>
T at(const std::vector<std::byte>& row, int64_t byte) {
  T value;
  std::memcpy(&value, row.data() + byte, sizeof value);
  return value;
}

TEST_P(Int8Groups, ARowIsCodesThenScalesThenSumsOf16Codes) {
  constexpr int64_t kK = 300;
  constexpr int64_t kPadded = 384;
  std::vector<float> x = random(kK);
  std::fill(x.begin() + 128, x.begin() + 256, 0.0F);
  const std::vector<std::byte> row = encoded(x, 1, kK);
  for (int64_t block = 0; block < 3; ++block) {
    float largest = 0;
    for (int64_t k = 128 * block; k < std::min<int64_t>(128 * (block + 1), kK); ++k) {
      largest = std::max(largest, std::abs(x[k]));
    }
    EXPECT_EQ(at<float>(row, kPadded + 4 * block), largest / 127.0F) << block;
    const float inverse = largest == 0 ? 0 : 127.0F / largest;
    for (int64_t first = 128 * block; first < 128 * (block + 1); first += 16) {
      float sum = 0;
      for (int64_t k = first; k < first + 16; ++k) {
        const float code = k < kK ? std::nearbyint(x[k] * inverse) : 0;
        EXPECT_EQ(at<int8_t>(row, k), code) << k;
        sum += code;
      }
      EXPECT_EQ(at<float>(row, kPadded + 12 + first / 4), sum) << first;
    }
  }
}

TEST_P(Int8Groups, WhatIsNotFiniteIsAScaleOfNanAndCodesOf0) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> x = random(256);
    x[130] = bad;
    const std::vector<std::byte> row = encoded(x, 1, 256);
    EXPECT_TRUE(std::isfinite(at<float>(row, 256)));
    EXPECT_TRUE(std::isnan(at<float>(row, 260)));
    for (int64_t k = 128; k < 256; ++k) EXPECT_EQ(at<int8_t>(row, k), 0);
    for (int64_t i = 8; i < 16; ++i) EXPECT_EQ(at<float>(row, 264 + 4 * i), 0.0F);
  }
}

TEST_P(Int8Groups, LosesOnlyWhatRoundingXTakes) {
  struct Case {
    WeightLayout layout;
    int64_t columns;
  };
  const auto half = [](WeightCodes codes) { return static_cast<float>(1 << (weight_code_bits(codes) - 1)); };
  std::vector<Case> cases;
  for (const WeightCodes codes :
       {WeightCodes::kU2, WeightCodes::kU3, WeightCodes::kU4, WeightCodes::kU5, WeightCodes::kU6, WeightCodes::kU8}) {
    for (const int64_t group : {16, 32, 64, 128, 256}) {
      cases.push_back({{.codes = codes, .scales = WeightScales::kF16, .group = group, .zero_point = half(codes)}, 768});
      cases.push_back(
          {{.codes = codes, .scales = WeightScales::kF16, .offsets = WeightOffsets::kStored, .group = group}, 512});
    }
  }
  for (const float* values : {kIntegers, kHalves}) {
    cases.push_back({{.codes = WeightCodes::kTable4, .scales = WeightScales::kF16, .group = 32, .table = values}, 512});
  }
  constexpr int64_t kRows = 16;
  constexpr int64_t kTokens = 3;
  for (const auto& [layout, columns] : cases) {
    const std::string what = fmt::format("codes {} group {} offsets {}", static_cast<int>(layout.codes), layout.group,
                                         static_cast<int>(layout.offsets));
    WeightMatrix w = weight_matrix_of(layout, kRows, columns);
    const int64_t record = weight_scale_row_bytes(layout, columns);
    std::vector<uint8_t> codes(static_cast<size_t>(kRows * columns));
    for (uint8_t& code : codes) code = static_cast<uint8_t>(rng_() & ((1U << weight_code_bits(layout.codes)) - 1));
    std::vector<uint16_t> scales(static_cast<size_t>(kRows * record / 2));
    for (uint16_t& scale : scales) scale = f32_to_f16(random(1)[0]);
    std::vector<std::byte> memory(static_cast<size_t>(size_bytes(w)));
    pack_panel(w, kRows, reinterpret_cast<const std::byte*>(codes.data()), columns,
               reinterpret_cast<const std::byte*>(scales.data()), record, memory.data());
    w.data = memory.data();
    const std::vector<float> x = random(kTokens * columns);
    const std::vector<std::byte> rows = encoded(x, kTokens, columns);
    const int64_t row_bytes = activation_row_bytes(ActivationType::kInt8Groups, columns);
    std::vector<float> y(kTokens * kRows);
    table().linear({.x = {ActivationType::kInt8Groups, rows.data(), row_bytes},
                    .w = w,
                    .y = y.data(),
                    .y_stride = kRows,
                    .T = kTokens},
                   0, 1);
    for (int64_t n = 0; n < kRows; ++n) {
      std::vector<float> weights(static_cast<size_t>(columns));
      decode_weight_columns(w, n, 0, columns, weights.data());
      for (int64_t t = 0; t < kTokens; ++t) {
        const auto* x_codes = reinterpret_cast<const int8_t*>(rows.data() + t * row_bytes);
        double sum = 0;
        double magnitude = 0;
        for (int64_t k = 0; k < columns; ++k) {
          float scale = 0;
          float offset = 0;
          weight_scale(w, n, k / layout.group, &scale, &offset);
          float step;
          std::memcpy(&step, rows.data() + t * row_bytes + columns + k / 128 * 4, sizeof step);
          sum += static_cast<double>(weights[k]) * x_codes[k] * step;
          magnitude += (std::abs(weights[k] - offset) + std::abs(offset)) * std::abs(x_codes[k] * step);
        }
        EXPECT_NEAR(y[t * kRows + n], sum, 4e-7 * magnitude) << what << " row " << n << " token " << t;
      }
    }
  }
}

TEST(TableUnit, MakesValuesIntegersOf8Bits) {
  EXPECT_EQ(table_unit(kIntegers), 1);
  EXPECT_EQ(table_unit(kHalves), 2);
  std::vector<float> values(kHalves, kHalves + 16);
  values[3] = 0.75F;
  EXPECT_EQ(table_unit(values.data()), 4);
  values[3] = 0.1F;
  EXPECT_EQ(table_unit(values.data()), 0);
  values[3] = 128;
  EXPECT_EQ(table_unit(values.data()), 0);
  EXPECT_FALSE(has_int8_codes({.codes = WeightCodes::kTable4, .scales = WeightScales::kF16, .table = values.data()}));
  EXPECT_TRUE(has_int8_codes({.codes = WeightCodes::kTable4, .scales = WeightScales::kF16, .table = kHalves}));
  EXPECT_FALSE(has_int8_codes({.codes = WeightCodes::kBF16}));
}

// Those that take this type, and the reference.
std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> list;
  const WeightLayout layout = {.codes = WeightCodes::kU4, .scales = WeightScales::kF16, .group = 32};
  for (const KernelTable* table : all_tables()) {
    const bool takes = table->name == "ref" || table->fast_activations(layout) == ActivationType::kInt8Groups;
    if (table->supported() && takes) list.push_back(table);
  }
  return list;
}

INSTANTIATE_TEST_SUITE_P(Tables, Int8Groups, ::testing::ValuesIn(tables()),
                         [](const auto& test) { return std::string(test.param->name); });

}  // namespace
}  // namespace glimmer::kernels
