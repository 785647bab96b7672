// Products with weights of every layout, and their decoding, every table against the reference: codes, scales, offsets
// and groups in all combinations that a matrix may have, sizes around the edges of tiles, blocks and stretches.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "tensor/dtype.h"
#include "tensor/weight_matrix.h"

namespace glimmer::kernels {
namespace {

using enum WeightCodes;

constexpr float kTable[16] = {-7.5F, -6, -4.25F, -3, -2, -1.5F, -1, -0.5F, 0, 0.25F, 1, 1.5F, 2.75F, 4, 6, 9};
constexpr WeightCodes kAllCodes[] = {kF32, kBF16, kF16, kF8E4M3, kU2, kU3, kU4, kU5, kU6, kU8, kTable4};
constexpr WeightScales kScalars[] = {WeightScales::kF32, WeightScales::kF16, WeightScales::kBF16, WeightScales::kE8M0,
                                     WeightScales::kF8E4M3};
constexpr WeightScales kSupers[] = {WeightScales::kSuperI8, WeightScales::kSuperU8, WeightScales::kSuperU4};
constexpr int64_t kColumns[] = {1, 5, 15, 17, 32, 64, 96, 250, 256, 257, 288, 512, 768};

bool is_whole_bytes(WeightCodes codes) { return codes <= kF8E4M3 || codes == kU8; }

// Bytes that end where no memory follows, so that reading on is fatal.
class GuardedBytes {
 public:
  explicit GuardedBytes(int64_t count) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (static_cast<size_t>(count) + page - 1) / page * page + page;
    void* base = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(base);
    mprotect(base_ + size_ - page, page, PROT_NONE);
    data_ = base_ + size_ - page - count;
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, size_); }
  std::byte* data() const { return data_; }

 private:
  std::byte* base_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A matrix of random codes and finite random scales. Rows are `padding` bytes longer than needed.
class RandomWeights {
 public:
  RandomWeights(const WeightLayout& layout, int64_t rows, int64_t columns, int64_t padding, std::mt19937& rng)
      : layout_(layout),
        code_row_bytes_(weight_code_row_bytes(layout, columns) + padding),
        scale_row_bytes_(weight_scale_row_bytes(layout, columns) + padding),
        codes_(rows * code_row_bytes_ - padding),
        scales_(rows * scale_row_bytes_ - padding),
        rng_(rng) {
    for (int64_t row = 0; row < rows; ++row) {
      fill_codes(codes_.data() + row * code_row_bytes_, columns);
      if (!is_float_layout(layout)) fill_scales(scales_.data() + row * scale_row_bytes_, columns);
    }
    weights = {.layout = layout,
               .columns = columns,
               .codes = codes_.data(),
               .code_row_bytes = code_row_bytes_,
               .scales = is_float_layout(layout) ? nullptr : scales_.data(),
               .scale_row_bytes = is_float_layout(layout) ? 0 : scale_row_bytes_};
  }

  Weights weights;

 private:
  float random() { return static_cast<float>(rng_() >> 8) / (1 << 23) - 1.0F; }

  template <typename T>
  static std::byte* put(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof value);
    return at + sizeof value;
  }

  uint8_t random_f8() {
    const auto code = static_cast<uint8_t>(rng_());
    return (code & 0x7F) == 0x7F ? 0x38 : code;
  }

  void fill_codes(std::byte* at, int64_t columns) {
    for (int64_t i = 0; i < columns && layout_.codes <= kF8E4M3; ++i) {
      if (layout_.codes == kF32) at = put(at, random());
      if (layout_.codes == kBF16) at = put(at, f32_to_bf16(random()));
      if (layout_.codes == kF16) at = put(at, f32_to_f16(random()));
      if (layout_.codes == kF8E4M3) at = put(at, random_f8());
    }
    if (layout_.codes <= kF8E4M3) return;
    for (int64_t i = 0; i < weight_code_row_bytes(layout_, columns); ++i) at[i] = static_cast<std::byte>(rng_());
  }

  std::byte* put_scalar(std::byte* at) {
    switch (layout_.scales) {
      case WeightScales::kF32:
        return put(at, random());
      case WeightScales::kF16:
        return put(at, f32_to_f16(random()));
      case WeightScales::kBF16:
        return put(at, f32_to_bf16(random()));
      case WeightScales::kE8M0:
        return put(at, static_cast<uint8_t>(120 + rng_() % 12));
      default:
        return put(at, random_f8());
    }
  }

  void fill_scales(std::byte* at, int64_t columns) {
    if (std::ranges::count(kSupers, layout_.scales) != 0) {
      const bool signed_scales = layout_.scales == WeightScales::kSuperI8;
      const int64_t parts = 256 / layout_.group * (layout_.scales == WeightScales::kSuperU8 ? 2 : 1);
      for (int64_t column = 0; column < columns; column += 256) {
        at = put(at, f32_to_f16(random()));
        if (!signed_scales) at = put(at, f32_to_f16(random()));
        for (int64_t i = 0; i < parts; ++i) at = put(at, static_cast<uint8_t>(rng_()));
      }
      return;
    }
    for (int64_t column = 0; column < columns; column += layout_.group) {
      at = put_scalar(at);
      if (layout_.offsets == WeightOffsets::kStored) at = put_scalar(at);
      if (layout_.offsets == WeightOffsets::kCode8) at = put(at, static_cast<uint8_t>(rng_()));
    }
  }

  WeightLayout layout_;
  int64_t code_row_bytes_;
  int64_t scale_row_bytes_;
  GuardedBytes codes_;
  GuardedBytes scales_;
  std::mt19937& rng_;
};

std::string to_string(const WeightLayout& layout, int64_t columns) {
  return fmt::format("codes {} scales {} offsets {} group {} zero point {} columns {}", static_cast<int>(layout.codes),
                     static_cast<int>(layout.scales), static_cast<int>(layout.offsets), layout.group, layout.zero_point,
                     columns);
}

// Every layout with these codes that a row of `columns` may have.
std::vector<WeightLayout> layouts_of(WeightCodes codes, int64_t columns) {
  std::vector<WeightLayout> layouts;
  const auto add = [&](WeightScales scales, WeightOffsets offsets, int64_t group, float zero_point) {
    const WeightLayout layout = {.codes = codes,
                                 .scales = scales,
                                 .offsets = offsets,
                                 .group = group,
                                 .zero_point = zero_point,
                                 .tensor_scale = layouts.size() % 3 == 2 ? 0.71F : 1.0F,
                                 .table = codes == kTable4 ? kTable : nullptr};
    if (!is_whole_bytes(codes) && columns % 32 != 0) return;
    if (weight_layout_fits(layout, columns)) layouts.push_back(layout);
  };
  add(WeightScales::kNone, WeightOffsets::kZeroPoint, 0, 0);
  for (const WeightScales scales : kScalars) {
    if (codes <= kF16 && scales != WeightScales::kF16) continue;  // no type has floats with scales: one kind will do
    for (const int64_t group : {int64_t{16}, int64_t{32}, int64_t{64}, int64_t{128}, int64_t{256}, columns}) {
      add(scales, WeightOffsets::kZeroPoint, group, 0);
      add(scales, WeightOffsets::kZeroPoint, group, 8);
      add(scales, WeightOffsets::kStored, group, 0);
      add(scales, WeightOffsets::kCode8, group, 0);
    }
  }
  for (const int64_t group : {16, 32}) {
    add(WeightScales::kSuperI8, WeightOffsets::kZeroPoint, group, 0);
    add(WeightScales::kSuperI8, WeightOffsets::kZeroPoint, group, 32);
    add(WeightScales::kSuperU8, WeightOffsets::kStored, group, 0);
    add(WeightScales::kSuperU4, WeightOffsets::kStored, group, 0);
  }
  return layouts;
}

class LayoutParity : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
  static const KernelTable& reference() { return table_by_name("ref"); }

  std::vector<float> random(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(rng_() >> 8) / (1 << 23) - 1.0F;
    return values;
  }

  std::mt19937 rng_{11};
};

// |weight| + |offset| of each weight: what rounding errors are measured by.
std::vector<float> magnitudes(const Weights& w, int64_t rows) {
  std::vector<float> values(static_cast<size_t>(rows * w.columns));
  table_by_name("ref").decode_rows(w, 0, rows, values.data(), w.columns);
  for (int64_t i = 0; i < rows * w.columns; ++i) {
    float scale = 0;
    float offset = 0;
    if (w.scales != nullptr) {
      const std::byte* scale_row = w.scales + i / w.columns * w.scale_row_bytes;
      decode_weight_scales(w.layout, scale_row, i % w.columns / w.layout.group, 1, &scale, &offset);
    }
    float& value = values[static_cast<size_t>(i)];
    value = std::abs(value) + std::abs(offset);
  }
  return values;
}

constexpr int64_t kRows = 49;
constexpr int64_t kTokens = 33;

// One product of all rows and tokens is near the reference's, and products of fewer of either are the same to the bit.
class LinearCheck {
 public:
  LinearCheck(const KernelTable& table, const Weights& w, const std::vector<float>& x, const std::vector<float>& bias)
      : table_(table), w_(w), x_(x), bias_(bias), whole_(product(table, kTokens, 0, kRows)) {}

  std::string first_difference_from_reference() const {
    const std::vector<float> want = product(table_by_name("ref"), kTokens, 0, kRows);
    const std::vector<float> magnitude = magnitudes(w_, kRows);
    const double unit = 0x1p-24 * (static_cast<double>(w_.columns) / 8 + 10);  // |x| <= 1
    for (int64_t n = 0; n < kRows; ++n) {
      const auto row = magnitude.begin() + n * w_.columns;
      const double bound = unit * std::accumulate(row, row + w_.columns, 1.0);
      for (int64_t t = 0; t < kTokens; ++t) {
        const float got = whole_[t * kRows + n];
        if (!(std::abs(got - want[t * kRows + n]) <= bound)) {
          return fmt::format("token {} row {}: got {}, want {}", t, n, got, want[t * kRows + n]);
        }
      }
    }
    return "";
  }

  std::string first_dependence_on_batch() const {
    for (const int64_t T : {1, 2, 3, 4, 5, 9}) {
      for (const int64_t N : {1, 3, 7, 8, 13, 49}) {
        const int64_t begin = N > 5 ? 2 : 0;
        const std::vector<float> got = product(table_, T, begin, N);
        for (int64_t t = 0; t < T; ++t) {
          for (int64_t n = 0; n < kRows; ++n) {
            const float want = n >= begin && n < N ? whole_[t * kRows + n] : kUntouched;
            if (std::memcmp(&got[t * kRows + n], &want, sizeof want) != 0) {
              return fmt::format("{} tokens, rows {} to {}: token {} row {}: got {}, want {}", T, begin, N, t, n,
                                 got[t * kRows + n], want);
            }
          }
        }
      }
    }
    return "";
  }

  int64_t x_stride() const { return w_.columns + 3; }

 private:
  static constexpr float kUntouched = 12345.0F;

  std::vector<float> product(const KernelTable& table, int64_t T, int64_t n_begin, int64_t n_end) const {
    std::vector<float> y(static_cast<size_t>(T * kRows), kUntouched);
    table.linear({.x = x_.data(),
                  .x_stride = x_stride(),
                  .w = w_,
                  .bias = bias_.empty() ? nullptr : bias_.data(),
                  .y = y.data(),
                  .y_stride = kRows,
                  .T = T},
                 n_begin, n_end);
    return y;
  }

  const KernelTable& table_;
  const Weights& w_;
  const std::vector<float>& x_;
  const std::vector<float>& bias_;
  std::vector<float> whole_;
};

TEST_P(LayoutParity, Linear) {
  int64_t checked = 0;
  for (const WeightCodes codes : kAllCodes) {
    for (const int64_t columns : kColumns) {
      const std::vector<float> x = random(kTokens * (columns + 3));
      const std::vector<float> bias = columns % 64 == 0 ? std::vector<float>() : random(kRows);
      for (const WeightLayout& layout : layouts_of(codes, columns)) {
        const RandomWeights random_weights(layout, kRows, columns, ++checked % 2 * 4, rng_);
        const LinearCheck check(table(), random_weights.weights, x, bias);
        EXPECT_EQ(check.first_difference_from_reference(), "") << to_string(layout, columns);
        EXPECT_EQ(check.first_dependence_on_batch(), "") << to_string(layout, columns);
      }
    }
  }
  EXPECT_GT(checked, 8000);
}

TEST_P(LayoutParity, LinearOfMoreTokensThanABlock) {
  constexpr int64_t kMany = 141, kSize = 320;
  for (const WeightCodes codes : {kBF16, kU4, kU6, kF8E4M3}) {
    const WeightLayout layout =
        codes == kBF16
            ? WeightLayout{.codes = codes}
            : WeightLayout{
                  .codes = codes, .scales = WeightScales::kF16, .offsets = WeightOffsets::kStored, .group = 32};
    const RandomWeights random_weights(layout, 31, kSize, 0, rng_);
    const std::vector<float> x = random(kMany * kSize);
    std::vector<float> together(kMany * 31);
    std::vector<float> apart(kMany * 31);
    Linear args{.x = x.data(),
                .x_stride = kSize,
                .w = random_weights.weights,
                .y = together.data(),
                .y_stride = 31,
                .T = kMany};
    table().linear(args, 0, 31);
    for (int64_t t = 0; t < kMany; ++t) {
      args.x = x.data() + t * kSize;
      args.y = apart.data() + t * 31;
      args.T = 1;
      table().linear(args, 0, 31);
    }
    EXPECT_EQ(together, apart) << to_string(layout, kSize);
  }
}

TEST_P(LayoutParity, DecodeRows) {
  constexpr int64_t kCount = 5;
  for (const WeightCodes codes : kAllCodes) {
    for (const int64_t columns : kColumns) {
      for (const WeightLayout& layout : layouts_of(codes, columns)) {
        const RandomWeights random_weights(layout, kCount, columns, 0, rng_);
        const Weights& w = random_weights.weights;
        const int64_t stride = columns + 3;
        std::vector<float> got(static_cast<size_t>(kCount * stride), 5.0F);
        std::vector<float> want = got;
        table().decode_rows(w, 1, kCount, got.data(), stride);
        reference().decode_rows(w, 1, kCount, want.data(), stride);
        const std::vector<float> magnitude = magnitudes(w, kCount);
        for (int64_t i = 0; i < kCount * stride; ++i) {
          const bool written = i % stride < columns && i / stride < kCount - 1;
          const float bound = written ? 0x1p-22F * magnitude[(i / stride + 1) * columns + i % stride] : 0.0F;
          if (std::abs(got[i] - want[i]) <= bound) continue;
          ADD_FAILURE() << to_string(layout, columns) << ": row " << 1 + i / stride << " column " << i % stride
                        << ": got " << got[i] << ", want " << want[i];
          break;
        }
      }
    }
  }
}

// Of small codes and small scales there are few enough to try each.

void expect_same_decoding(const KernelTable& table, const Weights& w, int64_t rows, const std::string& what) {
  std::vector<float> got(static_cast<size_t>(rows * w.columns));
  std::vector<float> want = got;
  table.decode_rows(w, 0, rows, got.data(), w.columns);
  table_by_name("ref").decode_rows(w, 0, rows, want.data(), w.columns);
  for (size_t i = 0; i < got.size(); ++i) {
    const bool same = std::isnan(want[i]) ? std::isnan(got[i]) : std::memcmp(&got[i], &want[i], sizeof got[i]) == 0;
    ASSERT_TRUE(same) << what << ": value " << i << ": got " << got[i] << ", want " << want[i];
  }
}

TEST_P(LayoutParity, DecodesEveryCodeOf16Bits) {
  std::vector<uint16_t> codes(65536);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint16_t>(i);
  for (const WeightCodes kind : {kF16, kBF16}) {
    expect_same_decoding(table(),
                         {.layout = {.codes = kind},
                          .columns = 256,
                          .codes = reinterpret_cast<const std::byte*>(codes.data()),
                          .code_row_bytes = 512},
                         256, kind == kF16 ? "f16" : "bf16");
  }
}

TEST_P(LayoutParity, DecodesEveryCodeOf8Bits) {
  std::vector<uint8_t> codes(256);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i);
  const float scale = 1.0F;
  for (const WeightCodes kind : {kF8E4M3, kU8}) {
    expect_same_decoding(table(),
                         {.layout = {.codes = kind, .scales = WeightScales::kF32, .group = 256},
                          .columns = 256,
                          .codes = reinterpret_cast<const std::byte*>(codes.data()),
                          .scales = reinterpret_cast<const std::byte*>(&scale)},
                         1, kind == kF8E4M3 ? "f8 e4m3" : "u8");
  }
}

TEST_P(LayoutParity, DecodesEveryScaleOf8Bits) {
  const std::vector<uint8_t> codes(256 * 16, 3);
  std::vector<uint8_t> scales(256);
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint8_t>(i);
  for (const WeightScales kind : {WeightScales::kE8M0, WeightScales::kF8E4M3}) {
    for (const int64_t rows : {1, 2, 16, 64}) {
      expect_same_decoding(table(),
                           {.layout = {.codes = kU8, .scales = kind, .group = 16},
                            .columns = 256 * 16 / rows,
                            .codes = reinterpret_cast<const std::byte*>(codes.data()),
                            .code_row_bytes = 256 * 16 / rows,
                            .scales = reinterpret_cast<const std::byte*>(scales.data()),
                            .scale_row_bytes = 256 / rows},
                           rows, kind == WeightScales::kE8M0 ? "scales e8m0" : "scales f8 e4m3");
    }
  }
}

TEST_P(LayoutParity, AnInvalidWeightMakesItsOutputsNanAndNoOthers) {
  constexpr int64_t kSize = 100;
  const std::vector<float> x = random(3 * kSize);
  for (const int64_t bad : {0, 40, 98}) {
    std::vector<uint8_t> codes(2 * kSize, 0x38);
    codes[kSize + bad] = 0xFF;
    const float scales[2] = {1, 1};
    std::vector<float> y(6);
    for (const int64_t T : {1, 3}) {
      table().linear({.x = x.data(),
                      .x_stride = kSize,
                      .w = {.layout = {.codes = kF8E4M3, .scales = WeightScales::kF32, .group = kSize},
                            .columns = kSize,
                            .codes = reinterpret_cast<const std::byte*>(codes.data()),
                            .code_row_bytes = kSize,
                            .scales = reinterpret_cast<const std::byte*>(scales),
                            .scale_row_bytes = 4},
                      .y = y.data(),
                      .y_stride = 2,
                      .T = T},
                     0, 2);
      for (int64_t t = 0; t < T; ++t) {
        EXPECT_TRUE(std::isfinite(y[2 * t])) << bad;
        EXPECT_TRUE(std::isnan(y[2 * t + 1])) << bad;
      }
    }
  }
}

std::vector<const KernelTable*> fast_tables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : all_tables()) {
    if (table->supported() && table->name != "ref") tables.push_back(table);
  }
  return tables;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LayoutParity);
INSTANTIATE_TEST_SUITE_P(Tables, LayoutParity, ::testing::ValuesIn(fast_tables()),
                         [](const auto& test) { return std::string(test.param->name); });

}  // namespace
}  // namespace glimmer::kernels
