// Products of the reference with activations of each type: against sums in double with bounds that follow from the
// definitions, and to the bit where nothing is rounded or the order of the sums shows.
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

using enum WeightCodes;

constexpr float kTable[16] = {-7.5F, -6, -4.25F, -3, -2, -1.5F, -1, -0.5F, 0, 0.25F, 1, 1.5F, 2.75F, 4, 6, 9};

const KernelTable& ref() { return table_by_name("ref"); }

std::vector<float> random(int64_t count, std::mt19937& rng) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng() >> 8) / (1 << 23) - 1.0F;
  return values;
}

// A matrix and its memory.
struct Panels {
  WeightMatrix matrix;
  std::vector<std::byte> memory;

  // `codes`: unpacked rows, one after the other; the same for their scale records.
  Panels(const WeightLayout& layout, int64_t rows, int64_t columns, const void* codes, const void* scales = nullptr)
      : matrix(weight_matrix_of(layout, rows, columns)), memory(static_cast<size_t>(size_bytes(matrix))) {
    const int64_t code_stride = columns * std::max<int64_t>(8, weight_code_bits(layout.codes)) / 8;
    const int64_t scale_stride = weight_scale_row_bytes(layout, columns);
    for (int64_t row = 0; row < rows; row += kPanelRows) {
      pack_panel(matrix, std::min(kPanelRows, rows - row), static_cast<const std::byte*>(codes) + row * code_stride,
                 code_stride, static_cast<const std::byte*>(scales) + row * scale_stride, scale_stride,
                 memory.data() + row / kPanelRows * matrix.panel_bytes);
    }
    matrix.data = memory.data();
  }

  std::vector<float> row(int64_t n) const {
    std::vector<float> values(static_cast<size_t>(matrix.columns));
    decode_weight_columns(matrix, n, 0, matrix.columns, values.data());
    return values;
  }
};

template <typename T>
void put(std::vector<std::byte>& out, T value) {
  const auto* at = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), at, at + sizeof value);
}

// Random codes, all that there are; random scales, some 0.
Panels random_integers(const WeightLayout& layout, int64_t rows, int64_t columns, std::mt19937& rng) {
  std::vector<uint8_t> codes(static_cast<size_t>(rows * columns));
  for (uint8_t& code : codes) code = static_cast<uint8_t>(rng() & ((1U << weight_code_bits(layout.codes)) - 1));
  std::vector<std::byte> scales;
  const auto scalar = [&] { put(scales, f32_to_f16(rng() % 16 == 0 ? 0 : random(1, rng)[0])); };
  for (int64_t row = 0; row < rows; ++row) {
    const bool super = layout.scales >= WeightScales::kSuperI8;
    for (int64_t column = 0; column < columns; column += super ? 256 : layout.group) {
      scalar();
      if (layout.scales != WeightScales::kSuperI8 && layout.offsets == WeightOffsets::kStored) scalar();
      const int64_t bytes = super ? 256 / layout.group * (layout.scales == WeightScales::kSuperU8 ? 2 : 1)
                                  : (layout.offsets == WeightOffsets::kCode8 ? 1 : 0);
      for (int64_t i = 0; i < bytes; ++i) put(scales, static_cast<uint8_t>(rng()));
    }
  }
  return {layout, rows, columns, codes.data(), scales.data()};
}

std::vector<WeightLayout> int8_layouts(int64_t columns) {
  std::vector<WeightLayout> layouts;
  for (const WeightCodes codes : {kU2, kU3, kU4, kU5, kU6, kU8, kTable4}) {
    const auto add = [&](WeightScales scales, WeightOffsets offsets, int64_t group, float zero_point) {
      const WeightLayout layout = {.codes = codes,
                                   .scales = scales,
                                   .offsets = offsets,
                                   .group = group,
                                   .zero_point = codes == kTable4 ? 0 : zero_point,
                                   .tensor_scale = layouts.size() % 3 == 2 ? 0.71F : 1.0F,
                                   .table = codes == kTable4 ? kTable : nullptr};
      if (has_int8_weights(layout) && weight_layout_fits(layout, columns)) layouts.push_back(layout);
    };
    const auto half = static_cast<float>(1 << (weight_code_bits(codes) - 1));
    for (const int64_t group : {int64_t{16}, int64_t{32}, int64_t{64}, int64_t{128}, int64_t{256}, columns}) {
      add(WeightScales::kF16, WeightOffsets::kZeroPoint, group, half);
      add(WeightScales::kF16, WeightOffsets::kStored, group, 0);
      add(WeightScales::kF16, WeightOffsets::kCode8, group, 0);
    }
    for (const int64_t group : {16, 32}) {
      add(WeightScales::kSuperI8, WeightOffsets::kZeroPoint, group, half);
      add(WeightScales::kSuperU8, WeightOffsets::kStored, group, 0);
      add(WeightScales::kSuperU4, WeightOffsets::kStored, group, 0);
    }
  }
  return layouts;
}

std::string to_string(const WeightMatrix& m) {
  const WeightLayout& l = m.layout;
  return fmt::format("codes {} scales {} offsets {} group {}, {} x {}", static_cast<int>(l.codes),
                     static_cast<int>(l.scales), static_cast<int>(l.offsets), l.group, m.rows, m.columns);
}

// x [T, K] in a type.
struct Encoded {
  std::vector<std::byte> memory;
  EncodedRows x;

  Encoded(ActivationType type, const std::vector<float>& values, int64_t T, int64_t K) {
    x.type = type;
    if (type == ActivationType::kF32) {
      x.data = reinterpret_cast<const std::byte*>(values.data());
      x.row_bytes = K * static_cast<int64_t>(sizeof(float));
      return;
    }
    x.row_bytes = activation_row_bytes(type, K);
    memory.assign(static_cast<size_t>(T * x.row_bytes), std::byte{0xA5});
    ref().encode_activations(type, values.data(), K, T, K, 0, K, memory.data(), x.row_bytes);
    x.data = memory.data();
  }
};

std::vector<float> product(const EncodedRows& x, int64_t T, const WeightMatrix& w, const float* bias = nullptr) {
  std::vector<float> y(static_cast<size_t>(T * w.rows));
  ref().linear({.x = x, .w = w, .bias = bias, .y = y.data(), .y_stride = w.rows, .T = T}, 0, panel_count(w));
  return y;
}

// ---- kInt8 ----

// The step of each stretch of 256 columns of a row: its largest possible weight / 127.
std::vector<double> steps(const WeightMatrix& w, int64_t row) {
  std::vector<double> list;
  const WeightLayout& layout = w.layout;
  const bool table = layout.codes == kTable4;
  const double low = table ? *std::min_element(kTable, kTable + 16) : 0;
  const double high = table ? *std::max_element(kTable, kTable + 16) : (1 << weight_code_bits(layout.codes)) - 1;
  for (int64_t begin = 0; begin < w.columns; begin += 256) {
    double most = 0;
    for (int64_t column = begin; column < std::min(begin + 256, w.columns); ++column) {
      float scale = 0;
      float offset = 0;
      weight_scale(w, row, column / layout.group, &scale, &offset);
      most = std::max({most, std::abs(scale * low + offset), std::abs(scale * high + offset)});
    }
    list.push_back(most / 127);
  }
  return list;
}

// How far a weight may be from its value, in steps: half a step, what A and B round in 2^-8 of a step, and f32. Of kU4
// around 8, A is rounded in 2^-3 of a step and makes another half for the largest code.
double weight_error(const WeightLayout& layout) {
  const WeightCodes codes = layout.codes;
  if (codes == kU4 && layout.offsets == WeightOffsets::kZeroPoint && layout.zero_point == 8) return 1.01;
  const double fixed_point = codes == kU8 || codes == kTable4 ? 1.5 : ((1 << weight_code_bits(codes)) - 1) / 2.0 + 0.5;
  return 0.5 + (fixed_point + 0.01) / 256;
}

TEST(RefInt8, EachWeightIsRoundedToTheGridOfItsStretch) {
  std::mt19937 rng(1);
  for (const int64_t K : {96, 300, 512}) {
    std::vector<float> one_hot(static_cast<size_t>(K * K));
    for (int64_t k = 0; k < K; ++k) one_hot[k * K + k] = k % 2 == 0 ? 1.0F : -1.0F;
    const Encoded x(ActivationType::kInt8, one_hot, K, K);
    for (const WeightLayout& layout : int8_layouts(K)) {
      const Panels panels = random_integers(layout, 3, K, rng);
      const std::vector<float> y = product(x.x, K, panels.matrix);
      for (int64_t n = 0; n < 3; ++n) {
        const std::vector<float> w = panels.row(n);
        const std::vector<double> step = steps(panels.matrix, n);
        for (int64_t k = 0; k < K; ++k) {
          const double got = (k % 2 == 0 ? 1 : -1) * static_cast<double>(y[k * 3 + n]);
          const double bound = step[k / 256] * weight_error(layout) + 1e-6 * std::abs(w[k]);
          ASSERT_NEAR(got, w[k], bound) << to_string(panels.matrix) << ": row " << n << " column " << k;
        }
      }
    }
  }
}

TEST(RefInt8, ProductsAreNearSumsInDouble) {
  constexpr int64_t kTokens = 19, kRows = 18;
  std::mt19937 rng(2);
  for (const int64_t K : {32, 300, 768}) {
    const std::vector<float> values = random(kTokens * K, rng);
    const std::vector<float> bias = random(kRows, rng);
    const Encoded x(ActivationType::kInt8, values, kTokens, K);
    for (const WeightLayout& layout : int8_layouts(K)) {
      const Panels panels = random_integers(layout, kRows, K, rng);
      const std::vector<float> y = product(x.x, kTokens, panels.matrix, bias.data());
      for (int64_t n = 0; n < kRows; ++n) {
        const std::vector<float> w = panels.row(n);
        const std::vector<double> step = steps(panels.matrix, n);
        for (int64_t t = 0; t < kTokens; ++t) {
          double want = bias[n];
          double bound = 1e-6 * std::abs(bias[n]);
          for (int64_t k = 0; k < K; ++k) {
            const double a = values[t * K + k];
            const double a_error = 0.501 / 127;  // |x| <= 1
            const double w_error = step[k / 256] * weight_error(layout);
            want += a * w[k];
            bound += std::abs(a) * w_error + (std::abs(w[k]) + w_error) * a_error + 1e-6 * std::abs(a * w[k]);
          }
          ASSERT_NEAR(y[t * kRows + n], want, bound) << to_string(panels.matrix) << ": " << t << ", " << n;
        }
      }
    }
  }
}

// Where the grids of both sides are integers, nothing is rounded.
TEST(RefInt8, IntegersAreExact) {
  constexpr int64_t kTokens = 3, kRows = 20;
  constexpr float kIntegers[16] = {-127, -100, -64, -31, -16, -7, -2, -1, 0, 1, 3, 9, 27, 81, 126, 127};
  std::mt19937 rng(3);
  for (const int64_t K : {32, 128, 320, 640}) {
    std::vector<float> x(static_cast<size_t>(kTokens * K));
    for (int64_t i = 0; i < kTokens * K; ++i) {
      x[i] = i % K % 128 == 0 ? 127.0F : static_cast<float>(static_cast<int>(rng() % 255) - 127);
    }
    std::vector<uint8_t> codes(static_cast<size_t>(kRows * K));
    for (uint8_t& code : codes) code = rng() % 16;
    std::vector<float> scales(kRows);
    for (float& scale : scales) scale = std::ldexp(rng() % 2 == 0 ? 1.0F : -1.0F, static_cast<int>(rng() % 20) - 10);
    const WeightLayout layout = {.codes = kTable4, .scales = WeightScales::kF32, .group = K, .table = kIntegers};
    const Panels panels(layout, kRows, K, codes.data(), scales.data());
    const std::vector<float> y = product(Encoded(ActivationType::kInt8, x, kTokens, K).x, kTokens, panels.matrix);
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t n = 0; n < kRows; ++n) {
        float sum = 0;
        for (int64_t k = 0; k < K; ++k) sum += kIntegers[codes[n * K + k]] * x[t * K + k];
        EXPECT_EQ(y[t * kRows + n], sum * scales[n]) << K << ": " << t << ", " << n;
      }
    }
  }
}

TEST(RefInt8, ActivationsAreEncodedAsDefined) {
  constexpr int64_t kTokens = 5;
  std::mt19937 rng(4);
  for (const int64_t K : {1, 63, 64, 255, 256, 300, 600}) {
    const int64_t stride = K + 3;
    const int64_t blocks = (K + 255) / 256;
    const int64_t padded = (K + 63) / 64 * 64;
    std::vector<float> x = random(kTokens * stride, rng);
    for (int64_t k = 0; k < K; ++k) x[stride + k] *= 1e-31F;  // the second row counts as 0
    const int64_t row_bytes = activation_row_bytes(ActivationType::kInt8, K);
    std::vector<std::byte> out(static_cast<size_t>(kTokens * row_bytes), std::byte{0xA5});
    const int64_t middle = std::min<int64_t>(K, 256);
    ref().encode_activations(ActivationType::kInt8, x.data(), stride, kTokens, K, middle, K, out.data(), row_bytes);
    ref().encode_activations(ActivationType::kInt8, x.data(), stride, kTokens, K, 0, middle, out.data(), row_bytes);
    for (int64_t t = 0; t < kTokens; ++t) {
      const auto* codes = reinterpret_cast<const int8_t*>(&out[t * row_bytes]);
      const auto* scales = reinterpret_cast<const float*>(codes + padded);
      const auto* sums = reinterpret_cast<const int32_t*>(scales + blocks);
      for (int64_t block = 0; block < blocks; ++block) {
        float most = 0;
        for (int64_t k = 256 * block; k < std::min(256 * block + 256, K); ++k) {
          most = std::max(most, std::abs(x[t * stride + k]));
        }
        EXPECT_EQ(scales[block], t == 1 ? 0 : most / 127);
        int sum = 0;
        for (int64_t k = 256 * block; k < std::min(256 * block + 256, padded); ++k) {
          const float inverse = t == 1 ? 0 : 127 / most;
          const float value = k < K ? x[t * stride + k] * inverse : 0;
          EXPECT_LE(std::abs(static_cast<float>(codes[k]) - value), 0.5F);
          sum += codes[k];
        }
        EXPECT_EQ(sums[block], sum);
      }
    }
  }
}

TEST(RefInt8, HalvesGoToEvenCodes) {
  std::vector<float> x(128, 0.0F);
  const float values[] = {127, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F};
  const int8_t want[] = {127, 0, 2, 2, 0, -2, -2};
  std::copy(std::begin(values), std::end(values), x.begin());
  const Encoded encoded(ActivationType::kInt8, x, 1, 128);
  EXPECT_EQ(std::memcmp(encoded.x.data, want, sizeof want), 0);
}

TEST(RefInt8, WhatIsNotFiniteMakesItsOwnResultsNan) {
  constexpr int64_t kK = 320, kTokens = 3, kRows = 17;
  std::mt19937 rng(5);
  std::vector<float> x = random(kTokens * kK, rng);
  x[kK + 200] = INFINITY;
  x[2 * kK + 319] = NAN;
  std::vector<uint8_t> codes(kRows * kK, 9);
  std::vector<float> scales(kRows, 0.5F);
  scales[16] = NAN;
  const WeightLayout layout = {.codes = kU4, .scales = WeightScales::kF32, .group = kK, .zero_point = 8};
  const Panels panels(layout, kRows, kK, codes.data(), scales.data());
  const std::vector<float> y = product(Encoded(ActivationType::kInt8, x, kTokens, kK).x, kTokens, panels.matrix);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t n = 0; n < kRows; ++n) EXPECT_EQ(std::isnan(y[t * kRows + n]), t > 0 || n == 16) << t << ", " << n;
  }
}

TEST(RefInt8, IsForIntegersAndTablesWithoutOffsets) {
  WeightLayout layout = {.codes = kTable4, .scales = WeightScales::kF16, .group = 32, .table = kTable};
  EXPECT_TRUE(has_int8_weights(layout));
  layout.offsets = WeightOffsets::kStored;
  EXPECT_FALSE(has_int8_weights(layout));
  EXPECT_EQ(ref().fast_activations(layout), ActivationType::kF32);
  layout.codes = kU5;
  EXPECT_EQ(ref().fast_activations(layout), ActivationType::kInt8);
  layout.codes = kF8E4M3;
  EXPECT_EQ(ref().fast_activations(layout), ActivationType::kF32);
  EXPECT_EQ(ref().fast_activations({.codes = kBF16}), ActivationType::kF32);
}

// ---- kBF16 ----

std::vector<uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (const float value : values) bits.push_back(f32_to_bf16(value));
  return bits;
}

TEST(RefBf16, ProductsAreNearSumsInDouble) {
  constexpr int64_t kTokens = 19, kRows = 18;
  std::mt19937 rng(6);
  for (const int64_t K : {1, 31, 300, 1500}) {
    const std::vector<float> values = random(kTokens * K, rng);
    const std::vector<float> bias = random(kRows, rng);
    const std::vector<uint16_t> w = to_bf16(random(kRows * K, rng));
    const Panels panels({.codes = kBF16}, kRows, K, w.data());
    const Encoded x(ActivationType::kBF16, values, kTokens, K);
    const std::vector<float> y = product(x.x, kTokens, panels.matrix, bias.data());
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t n = 0; n < kRows; ++n) {
        double want = bias[n];
        double magnitude = std::abs(bias[n]);
        for (int64_t k = 0; k < K; ++k) {
          const double term = static_cast<double>(bf16_to_f32(f32_to_bf16(values[t * K + k]))) *
                              static_cast<double>(bf16_to_f32(w[n * K + k]));
          want += term;
          magnitude += std::abs(term);
        }
        // A term is rounded at most 16 times in its chain and once with each block's sum.
        EXPECT_NEAR(y[t * kRows + n], want, magnitude * 0x1p-24 * (19.0 + static_cast<double>(K) / 32)) << K;
      }
    }
  }
}

// 2^24 swallows ones that are added one by one, but not the 16 of the odd columns together.
TEST(RefBf16, EvenAndOddColumnsOf32AreSummedApart) {
  const std::vector<float> ones(96, 1.0F);
  std::vector<float> w = ones;
  w[0] = 0x1p24F;
  const std::vector<uint16_t> bits = to_bf16(w);
  const Panels panels({.codes = kBF16}, 1, 96, bits.data());
  const float y = product(Encoded(ActivationType::kBF16, ones, 1, 96).x, 1, panels.matrix)[0];
  EXPECT_EQ(y, 0x1p24F + 16 + 32 + 32);
}

TEST(RefBf16, SubnormalNumbersCountAsZero) {
  const auto y = [](float x, float w) {
    const uint16_t bits = f32_to_bf16(w);
    return product(Encoded(ActivationType::kBF16, {x}, 1, 1).x, 1, Panels({.codes = kBF16}, 1, 1, &bits).matrix)[0];
  };
  EXPECT_EQ(y(0x1p-126F, 0x1p100F), 0x1p-26F);
  EXPECT_EQ(y(0x1p-127F, 0x1p100F), 0);
  EXPECT_EQ(y(0x1p100F, -0x1p-127F), 0);
  EXPECT_EQ(y(0x1p-63F, 0x1p-63F), 0x1p-126F);
  EXPECT_EQ(y(0x1p-63F, 0x1p-64F), 0);
}

TEST(RefBf16, ActivationsAreRoundedAndFilledUp) {
  std::vector<float> x(130, 1.0F);
  x[0] = 1 + 0x1p-8F;  // halfway: to even
  x[1] = 1 + 3 * 0x1p-8F;
  x[129] = -3;
  const Encoded encoded(ActivationType::kBF16, x, 1, 130);
  std::vector<uint16_t> got(256);
  std::memcpy(got.data(), encoded.x.data, 512);
  EXPECT_EQ(bf16_to_f32(got[0]), 1);
  EXPECT_EQ(bf16_to_f32(got[1]), 1 + 0x1p-6F);
  EXPECT_EQ(bf16_to_f32(got[129]), -3);
  for (int i = 130; i < 256; ++i) EXPECT_EQ(got[i], 0) << i;
}

// ---- all types ----

TEST(RefLinear, FloatsAreSummedInDouble) {
  constexpr int64_t kK = 2100, kTokens = 17;
  std::mt19937 rng(7);
  const std::vector<float> x = random(kTokens * kK, rng);
  const std::vector<float> w = random(2 * kK, rng);
  const float bias[] = {0.5F, -100.0F};
  const Panels panels({.codes = kF32}, 2, kK, w.data());
  const std::vector<float> y = product(Encoded(ActivationType::kF32, x, kTokens, kK).x, kTokens, panels.matrix, bias);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t n = 0; n < 2; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < kK; ++k) sum += static_cast<double>(x[t * kK + k]) * w[n * kK + k];
      EXPECT_EQ(y[2 * t + n], static_cast<float>(sum) + bias[n]);
    }
  }
}

TEST(RefLinear, PanelsAndTokensStandForThemselves) {
  constexpr int64_t kK = 320, kTokens = 37, kRows = 40;
  std::mt19937 rng(8);
  const std::vector<float> values = random(kTokens * kK, rng);
  const WeightLayout layout = {.codes = kU4, .scales = WeightScales::kF16, .group = 32, .zero_point = 8};
  const Panels integers = random_integers(layout, kRows, kK, rng);
  const std::vector<uint16_t> bits = to_bf16(random(kRows * kK, rng));
  const Panels floats({.codes = kBF16}, kRows, kK, bits.data());
  for (const ActivationType type : {ActivationType::kF32, ActivationType::kBF16, ActivationType::kInt8}) {
    const WeightMatrix& w = type == ActivationType::kInt8 ? integers.matrix : floats.matrix;
    const Encoded x(type, values, kTokens, kK);
    const std::vector<float> whole = product(x.x, kTokens, w);
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t panel = 0; panel < 3; ++panel) {
        std::vector<float> y(kRows, 5.0F);
        EncodedRows one = x.x;
        one.data += t * one.row_bytes;
        ref().linear({.x = one, .w = w, .y = y.data(), .y_stride = kRows, .T = 1}, panel, panel + 1);
        for (int64_t n = 0; n < kRows; ++n) EXPECT_EQ(y[n], n / 16 == panel ? whole[t * kRows + n] : 5.0F);
      }
    }
  }
}

TEST(EncodedRows, RowsAreAnOddNumberOfLines) {
  for (const ActivationType type : {ActivationType::kBF16, ActivationType::kInt8}) {
    for (const int64_t K : {1, 128, 129, 2048, 5120}) {
      const int64_t bytes = activation_row_bytes(type, K);
      const int64_t least =
          type == ActivationType::kBF16 ? (K + 127) / 128 * 256 : (K + 63) / 64 * 64 + (K + 255) / 256 * 8;
      EXPECT_EQ(bytes % 128, 64);
      EXPECT_GE(bytes, least);
      EXPECT_LT(bytes, least + 128);
    }
  }
}

}  // namespace
}  // namespace glimmer::kernels
