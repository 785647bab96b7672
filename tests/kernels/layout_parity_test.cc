// Products with weights of every layout, and their decoding, every table against the reference: codes, scales, offsets
// and groups in all combinations that a matrix may have, sizes around the edges of tiles, blocks and stretches. Memory
// ends where the matrix and the activations do.
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

// A matrix of random codes and finite random scales, packed.
class RandomWeights {
 public:
  RandomWeights(const WeightLayout& layout, int64_t rows, int64_t columns, std::mt19937& rng)
      : matrix(weight_matrix_of(layout, rows, columns)), panels_(size_bytes(matrix)), rng_(rng) {
    const bool whole_bytes = layout.codes <= kF8E4M3;
    const int64_t code_stride = columns * (whole_bytes ? weight_code_bits(layout.codes) / 8 : 1);
    const int64_t scale_stride = weight_scale_row_bytes(layout, columns);
    std::vector<std::byte> codes(static_cast<size_t>(kPanelRows * code_stride));
    std::vector<std::byte> scales(static_cast<size_t>(kPanelRows * scale_stride));
    for (int64_t row = 0; row < rows; row += kPanelRows) {
      for (int64_t i = 0; i < kPanelRows; ++i) {
        fill_codes(codes.data() + i * code_stride, columns);
        if (!is_float_layout(layout)) fill_scales(scales.data() + i * scale_stride, columns);
      }
      pack_panel(matrix, std::min(kPanelRows, rows - row), codes.data(), code_stride, scales.data(), scale_stride,
                 panels_.data() + row / kPanelRows * matrix.panel_bytes);
    }
    matrix.data = panels_.data();
  }

  WeightMatrix matrix;

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
    const WeightCodes codes = matrix.layout.codes;
    const auto mask = (1U << std::min<int64_t>(weight_code_bits(codes), 8)) - 1;
    for (int64_t i = 0; i < columns; ++i) {
      if (codes == kF32) at = put(at, random());
      if (codes == kBF16) at = put(at, f32_to_bf16(random()));
      if (codes == kF16) at = put(at, f32_to_f16(random()));
      if (codes == kF8E4M3) at = put(at, random_f8());
      if (codes > kF8E4M3) at = put(at, static_cast<uint8_t>(rng_() & mask));
    }
  }

  std::byte* put_scalar(std::byte* at) {
    switch (matrix.layout.scales) {
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
    const WeightLayout& layout = matrix.layout;
    if (std::ranges::count(kSupers, layout.scales) != 0) {
      const bool signed_scales = layout.scales == WeightScales::kSuperI8;
      const int64_t parts = 256 / layout.group * (layout.scales == WeightScales::kSuperU8 ? 2 : 1);
      for (int64_t column = 0; column < columns; column += 256) {
        at = put(at, f32_to_f16(random()));
        if (!signed_scales) at = put(at, f32_to_f16(random()));
        for (int64_t i = 0; i < parts; ++i) at = put(at, static_cast<uint8_t>(rng_()));
      }
      return;
    }
    for (int64_t column = 0; column < columns; column += layout.group) {
      at = put_scalar(at);
      if (layout.offsets == WeightOffsets::kStored) at = put_scalar(at);
      if (layout.offsets == WeightOffsets::kCode8) at = put(at, static_cast<uint8_t>(rng_()));
    }
  }

  GuardedBytes panels_;
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
    if (weight_layout_fits(layout, columns)) layouts.push_back(layout);
  };
  add(WeightScales::kNone, WeightOffsets::kZeroPoint, 0, 0);
  for (const WeightScales scales : kScalars) {
    if (codes <= kF16 && scales != WeightScales::kF16) continue;  // no type has floats with scales: one kind will do
    for (const int64_t group : {int64_t{16}, int64_t{32}, int64_t{64}, int64_t{128}, int64_t{256}, columns}) {
      add(scales, WeightOffsets::kZeroPoint, group, 0);
      add(scales, WeightOffsets::kZeroPoint, group, codes == kU8 ? 128 : 8);
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
std::vector<float> magnitudes(const WeightMatrix& w) {
  std::vector<float> values(static_cast<size_t>(w.rows * w.columns));
  table_by_name("ref").decode_rows(w, 0, w.rows, values.data(), w.columns);
  for (int64_t i = 0; i < w.rows * w.columns; ++i) {
    float scale = 0;
    float offset = 0;
    if (!is_float_layout(w.layout)) weight_scale(w, i / w.columns, i % w.columns / w.layout.group, &scale, &offset);
    float& value = values[static_cast<size_t>(i)];
    value = std::abs(value) + std::abs(offset);
  }
  return values;
}

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// x in a type, in memory that ends with it and with the rows that kernels may read beyond.
class Encoded {
 public:
  // Floats are `columns` a row and 3 apart.
  Encoded(const KernelTable& table, ActivationType type, const std::vector<float>& x, int64_t T, int64_t columns)
      : row_bytes_(type == ActivationType::kF32 ? 4 * (columns + 3) : activation_row_bytes(type, columns)),
        bytes_((type == ActivationType::kF32 ? T : T + kRowsReadAtOnce - 1) * row_bytes_ -
               (type == ActivationType::kF32 ? 12 : 0)) {
    value = {.type = type, .data = bytes_.data(), .row_bytes = row_bytes_};
    if (type != ActivationType::kF32) {
      table.encode_activations(type, x.data(), columns, T, columns, 0, columns, bytes_.data(), row_bytes_);
      return;
    }
    for (int64_t t = 0; t < T; ++t) {
      std::memcpy(bytes_.data() + t * row_bytes_, x.data() + t * columns, static_cast<size_t>(4 * columns));
    }
  }
  EncodedRows value;

 private:
  int64_t row_bytes_;
  GuardedBytes bytes_;
};

// The last rows of x, so that the memory after them is guarded whatever T is.
EncodedRows last_tokens(EncodedRows x, int64_t tokens, int64_t T) {
  x.data += (tokens - T) * x.row_bytes;
  return x;
}

constexpr float kUntouched = 12345.0F;

std::vector<float> product(const KernelTable& table, const EncodedRows& x, const WeightMatrix& w,
                           const std::vector<float>& bias, int64_t T, int64_t panel_begin, int64_t panel_end) {
  std::vector<float> y(static_cast<size_t>(T * w.rows), kUntouched);
  table.linear(
      {.x = x, .w = w, .bias = bias.empty() ? nullptr : bias.data(), .y = y.data(), .y_stride = w.rows, .T = T},
      panel_begin, panel_end);
  return y;
}

// The types that a table takes for such weights.
std::vector<ActivationType> types_of(const KernelTable& table, const WeightLayout& layout) {
  const ActivationType fast = table.fast_activations(layout);
  if (fast == ActivationType::kF32) return {fast};
  return {ActivationType::kF32, fast};
}

// One product of all rows and tokens is that of the reference, kF32 within a bound and others to the bit; products of
// fewer of either are the same to the bit.
class LinearCheck {
 public:
  LinearCheck(const KernelTable& table, ActivationType type, const WeightMatrix& w, const std::vector<float>& x,
              const std::vector<float>& bias)
      : table_(table),
        w_(w),
        bias_(bias),
        tokens_(static_cast<int64_t>(x.size()) / w.columns),
        x_(table_by_name("ref"), type, x, tokens_, w.columns),
        whole_(product(table, x_.value, w, bias, tokens_, 0, panel_count(w))) {}

  std::string first_difference_from_reference() const {
    const std::vector<float> want = product(table_by_name("ref"), x_.value, w_, bias_, tokens_, 0, panel_count(w_));
    const bool exact = x_.value.type != ActivationType::kF32;
    const std::vector<float> magnitude = exact ? std::vector<float>() : magnitudes(w_);
    const double unit = 0x1p-24 * (static_cast<double>(w_.columns) / 8 + 10);  // |x| <= 1
    for (int64_t n = 0; n < w_.rows; ++n) {
      double bound = 0;
      if (!exact) {
        const auto row = magnitude.begin() + n * w_.columns;
        bound = unit * std::accumulate(row, row + w_.columns, 1.0);
      }
      for (int64_t t = 0; t < tokens_; ++t) {
        const float got = whole_[t * w_.rows + n];
        const float wanted = want[t * w_.rows + n];
        if (exact ? !same_bits(got, wanted) : !(std::abs(got - wanted) <= bound)) {
          return fmt::format("token {} row {}: got {}, want {}", t, n, got, wanted);
        }
      }
    }
    return "";
  }

  std::string first_dependence_on_batch(std::initializer_list<int64_t> batches) const {
    const int64_t panels = panel_count(w_);
    for (const int64_t T : batches) {
      const int64_t first = tokens_ - T;
      const EncodedRows x = last_tokens(x_.value, tokens_, T);
      for (const auto& [begin, end] : {std::pair{int64_t{0}, panels}, {int64_t{0}, int64_t{1}}, {1, panels - 1}}) {
        const std::vector<float> got = product(table_, x, w_, bias_, T, begin, end);
        for (int64_t i = 0; i < T * w_.rows; ++i) {
          const int64_t t = i / w_.rows;
          const int64_t n = i % w_.rows;
          const bool computed = n / kPanelRows >= begin && n / kPanelRows < end;
          const float want = computed ? whole_[(first + t) * w_.rows + n] : kUntouched;
          if (!same_bits(got[i], want)) {
            return fmt::format("{} tokens, panels {} to {}: token {} row {}: got {}, want {}", T, begin, end, t, n,
                               got[i], want);
          }
        }
      }
    }
    return "";
  }

 private:
  const KernelTable& table_;
  const WeightMatrix& w_;
  const std::vector<float>& bias_;
  int64_t tokens_;
  Encoded x_;
  std::vector<float> whole_;
};

TEST_P(LayoutParity, Linear) {
  constexpr int64_t kRows = 49;
  constexpr int64_t kTokens = 5;
  int64_t checked = 0;
  for (const WeightCodes codes : kAllCodes) {
    for (const int64_t columns : kColumns) {
      const std::vector<float> x = random(kTokens * columns);
      const std::vector<float> bias = columns % 64 == 0 ? std::vector<float>() : random(kRows);
      for (const WeightLayout& layout : layouts_of(codes, columns)) {
        const RandomWeights weights(layout, kRows, columns, rng_);
        for (const ActivationType type : types_of(table(), layout)) {
          const std::string what = fmt::format("{} x {}", to_string(layout, columns), static_cast<int>(type));
          const LinearCheck check(table(), type, weights.matrix, x, bias);
          EXPECT_EQ(check.first_difference_from_reference(), "") << what;
          EXPECT_EQ(check.first_dependence_on_batch({1, 2}), "") << what;
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 8000);
}

TEST_P(LayoutParity, LinearOfAnyBatch) {
  constexpr int64_t kTokens = 267;
  for (const WeightCodes codes : kAllCodes) {
    const bool is_float = codes <= kF16;
    const bool is_whole_bytes = codes <= kF8E4M3 || codes == kU8;
    const WeightLayout layout = {.codes = codes,
                                 .scales = is_float ? WeightScales::kNone : WeightScales::kF16,
                                 .group = is_float ? 0 : 32,
                                 .zero_point = codes == kU4 ? 8.0F : 0.0F,
                                 .table = codes == kTable4 ? kTable : nullptr};
    for (const int64_t columns : {is_whole_bytes ? int64_t{250} : int64_t{224}, int64_t{416}}) {
      const std::vector<float> x = random(kTokens * columns);
      const std::vector<float> bias = random(165);
      const RandomWeights weights(layout, 165, columns, rng_);
      for (const ActivationType type : types_of(table(), layout)) {
        const LinearCheck check(table(), type, weights.matrix, x, bias);
        EXPECT_EQ(check.first_difference_from_reference(), "") << to_string(layout, columns);
        EXPECT_EQ(check.first_dependence_on_batch({1, 2, 3, 4, 7, 8, 12, 13, 16, 17, 33, 64, 65, 97, 141, 265, 267}),
                  "")
            << to_string(layout, columns);
      }
    }
  }
}

// Leaves values that are not numbers where the next call has its own: on the stack, and in vector registers.
[[gnu::noinline]] void poison_stack() {
  volatile float values[200000];
  for (volatile float& value : values) value = NAN;
}

TEST_P(LayoutParity, LinearReadsNothingThatACallLeftBefore) {
  constexpr int64_t kTokens = 130;
  constexpr int64_t kRows = 5 * kPanelRows - 3;
  for (const float zero_point : {0.0F, 8.0F}) {
    const WeightLayout layout = {.codes = kU4, .scales = WeightScales::kF16, .group = 32, .zero_point = zero_point};
    for (const int64_t columns : {96, 256, 800, 4512}) {
      const std::vector<float> x = random(kTokens * columns);
      const RandomWeights weights(layout, kRows, columns, rng_);
      const ActivationType type = table().fast_activations(layout);
      const Encoded all(table(), type, x, kTokens, columns);
      const std::vector<float> want = product(reference(), all.value, weights.matrix, {}, kTokens, 0, 5);
      const double bound = type == ActivationType::kF32 ? 1e-3 : 0;  // exact otherwise
      for (const int64_t T : {1, 4, 15, 16, 17, 31, 32, 33, 127, 128, 129, 130}) {
        for (const int64_t panels : {1, 2, 3, 5}) {
          const EncodedRows last = last_tokens(all.value, kTokens, T);
          poison_stack();
          const std::vector<float> got = product(table(), last, weights.matrix, {}, T, 0, panels);
          int64_t wrong = 0;
          for (int64_t i = 0; i < T * kRows; ++i) {
            if (i % kRows >= panels * kPanelRows) continue;
            const float wanted = want[(kTokens - T) * kRows + i];
            wrong += std::abs(got[i] - wanted) <= bound * (1 + std::abs(wanted)) ? 0 : 1;
          }
          EXPECT_EQ(wrong, 0) << columns << " columns, " << T << " tokens, " << panels << " panels";
        }
      }
    }
  }
}

// Bytes of T rows of x, encoded `part` columns at a time.
std::vector<std::byte> encoded(const KernelTable& table, ActivationType type, const std::vector<float>& x, int64_t T,
                               int64_t part) {
  const int64_t columns = static_cast<int64_t>(x.size()) / T;
  const int64_t row_bytes = activation_row_bytes(type, columns);
  std::vector<std::byte> out(static_cast<size_t>(T * row_bytes));
  for (int64_t begin = 0; begin < columns; begin += part) {
    table.encode_activations(type, x.data(), columns, T, columns, begin, std::min(begin + part, columns), out.data(),
                             row_bytes);
  }
  return out;
}

TEST_P(LayoutParity, EncodesActivations) {
  constexpr int64_t kTokens = 5;
  for (const WeightLayout& layout :
       {WeightLayout{.codes = kU4, .scales = WeightScales::kF16, .group = 32}, WeightLayout{.codes = kBF16}}) {
    const ActivationType type = table().fast_activations(layout);
    if (type == ActivationType::kF32) continue;
    for (const int64_t columns : {1, 7, 63, 64, 127, 128, 129, 255, 256, 257, 300, 1000, 1024}) {
      std::vector<float> x = random(kTokens * columns);
      for (int64_t i = 0; i < columns; ++i) {
        x[columns + i] *= 1e-31F;
        x[2 * columns + i] *= 3e37F;
        x[3 * columns + i] = std::round(x[3 * columns + i] * 4) / 4;  // many ties
      }
      const std::vector<std::byte> want = encoded(reference(), type, x, kTokens, columns);
      EXPECT_TRUE(encoded(table(), type, x, kTokens, columns) == want) << columns << " columns";
      EXPECT_TRUE(encoded(table(), type, x, kTokens, 256) == want) << columns << " columns in parts";
    }
  }
}

TEST_P(LayoutParity, WhatIsNotFiniteMakesTheScaleOfItsColumnsSo) {
  const ActivationType type = table().fast_activations({.codes = kU4, .scales = WeightScales::kF16, .group = 32});
  if (type != ActivationType::kInt8)
    GTEST_SKIP() << "takes other activations than kInt8; Int8Groups has the same test for kInt8Groups";
  constexpr int64_t kColumnsOfX = 300;
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    for (const int64_t at : {0, 200, 299}) {
      std::vector<float> x = random(kColumnsOfX);
      x[at] = bad;
      const std::vector<std::byte> got = encoded(table(), type, x, 1, kColumnsOfX);
      std::vector<float> scales(2);
      std::memcpy(scales.data(), got.data() + 5 * kInt8Pad, 2 * sizeof(float));
      for (int64_t i = 0; i < 2; ++i) {
        EXPECT_EQ(std::isfinite(scales[i]), i != at / kInt8Block) << bad << " at " << at;
      }
    }
  }
}

TEST_P(LayoutParity, DecodeRows) {
  constexpr int64_t kRows = 35;
  for (const WeightCodes codes : kAllCodes) {
    for (const int64_t columns : kColumns) {
      for (const WeightLayout& layout : layouts_of(codes, columns)) {
        const RandomWeights weights(layout, kRows, columns, rng_);
        const WeightMatrix& w = weights.matrix;
        const int64_t stride = columns + 3;
        const std::vector<float> magnitude = magnitudes(w);
        for (const auto& [begin, end] : {std::pair{int64_t{1}, kRows - 1}, {30, 31}, {34, 35}}) {
          std::vector<float> got(static_cast<size_t>((end - begin + 1) * stride), 5.0F);
          std::vector<float> want = got;
          table().decode_rows(w, begin, end, got.data(), stride);
          reference().decode_rows(w, begin, end, want.data(), stride);
          for (int64_t i = 0; i < (end - begin + 1) * stride; ++i) {
            const bool written = i % stride < columns && i / stride < end - begin;
            const float bound = written ? 0x1p-22F * magnitude[(i / stride + begin) * columns + i % stride] : 0.0F;
            if (std::abs(got[i] - want[i]) <= bound) continue;
            ADD_FAILURE() << to_string(layout, columns) << ": row " << begin + i / stride << " column " << i % stride
                          << ": got " << got[i] << ", want " << want[i];
            break;
          }
        }
      }
    }
  }
}

// Of small codes and small scales there are few enough to try each.

// A matrix of given codes and scales; each row has `scale_row_bytes` of these.
class GivenWeights {
 public:
  GivenWeights(const WeightLayout& layout, int64_t rows, int64_t columns, const void* codes, const void* scales)
      : matrix(weight_matrix_of(layout, rows, columns)), panels_(size_bytes(matrix)) {
    const int64_t code_stride = columns * (layout.codes <= kF8E4M3 ? weight_code_bits(layout.codes) / 8 : 1);
    const int64_t scale_stride = weight_scale_row_bytes(layout, columns);
    for (int64_t row = 0; row < rows; row += kPanelRows) {
      pack_panel(matrix, std::min(kPanelRows, rows - row), static_cast<const std::byte*>(codes) + row * code_stride,
                 code_stride, scales == nullptr ? nullptr : static_cast<const std::byte*>(scales) + row * scale_stride,
                 scale_stride, panels_.data() + row / kPanelRows * matrix.panel_bytes);
    }
    matrix.data = panels_.data();
  }
  WeightMatrix matrix;

 private:
  GuardedBytes panels_;
};

void expect_same_decoding(const KernelTable& table, const WeightMatrix& w, const std::string& what) {
  std::vector<float> got(static_cast<size_t>(w.rows * w.columns));
  std::vector<float> want = got;
  table.decode_rows(w, 0, w.rows, got.data(), w.columns);
  table_by_name("ref").decode_rows(w, 0, w.rows, want.data(), w.columns);
  for (size_t i = 0; i < got.size(); ++i) {
    const bool same = std::isnan(want[i]) ? std::isnan(got[i]) : same_bits(got[i], want[i]);
    ASSERT_TRUE(same) << what << ": value " << i << ": got " << got[i] << ", want " << want[i];
  }
}

TEST_P(LayoutParity, DecodesEveryCodeOf16Bits) {
  std::vector<uint16_t> codes(65536);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint16_t>(i);
  for (const WeightCodes kind : {kF16, kBF16}) {
    const GivenWeights weights({.codes = kind}, 256, 256, codes.data(), nullptr);
    expect_same_decoding(table(), weights.matrix, kind == kF16 ? "f16" : "bf16");
  }
}

TEST_P(LayoutParity, DecodesEveryCodeOf8Bits) {
  std::vector<uint8_t> codes(256);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i);
  const float scale = 1.0F;
  for (const WeightCodes kind : {kF8E4M3, kU8}) {
    const GivenWeights weights({.codes = kind, .scales = WeightScales::kF32, .group = 256}, 1, 256, codes.data(),
                               &scale);
    expect_same_decoding(table(), weights.matrix, kind == kF8E4M3 ? "f8 e4m3" : "u8");
  }
}

TEST_P(LayoutParity, DecodesEveryScaleOf8Bits) {
  const std::vector<uint8_t> codes(256 * 16, 3);
  std::vector<uint8_t> scales(256);
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint8_t>(i);
  for (const WeightScales kind : {WeightScales::kE8M0, WeightScales::kF8E4M3}) {
    for (const int64_t rows : {1, 2, 16, 64}) {
      const GivenWeights weights({.codes = kU8, .scales = kind, .group = 16}, rows, 256 * 16 / rows, codes.data(),
                                 scales.data());
      expect_same_decoding(table(), weights.matrix, kind == WeightScales::kE8M0 ? "scales e8m0" : "scales f8 e4m3");
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
    const GivenWeights weights({.codes = kF8E4M3, .scales = WeightScales::kF32, .group = kSize}, 2, kSize, codes.data(),
                               scales);
    for (const int64_t T : {1, 3}) {
      const Encoded encoded(table(), ActivationType::kF32, x, T, kSize);
      const std::vector<float> y = product(table(), encoded.value, weights.matrix, {}, T, 0, 1);
      for (int64_t t = 0; t < T; ++t) {
        EXPECT_TRUE(std::isfinite(y[2 * t])) << bad;
        EXPECT_TRUE(std::isnan(y[2 * t + 1])) << bad;
      }
    }
  }
}

// Scales or offsets of f16 for 2 rows of 10 groups, of which one group of the second row has `bad` at place `of_group`.
std::vector<uint16_t> scales_with(uint16_t bad, size_t each, size_t of_group) {
  std::vector<uint16_t> scales(2 * 10 * each, f32_to_f16(0.25F));
  scales[(10 + 3) * each + of_group] = bad;
  return scales;
}

// With activations of 8 bits too: an infinite scale is a weight that is not a number.
TEST_P(LayoutParity, AnInvalidScaleMakesItsOutputsNanAndNoOthers) {
  constexpr int64_t kSize = 320;
  const std::vector<float> x = random(2 * kSize);
  const WeightLayout layouts[] = {{.codes = kU4, .group = 32, .zero_point = 8},
                                  {.codes = kU5, .group = 32, .zero_point = 16},
                                  {.codes = kU8, .group = 32, .zero_point = 128},
                                  {.codes = kU3, .group = 32},
                                  {.codes = kTable4, .group = 32, .table = kTable},
                                  {.codes = kU4, .offsets = WeightOffsets::kStored, .group = 32},
                                  {.codes = kU8, .offsets = WeightOffsets::kStored, .group = 32}};
  for (WeightLayout layout : layouts) {
    layout.scales = WeightScales::kF16;
    std::vector<uint8_t> codes(2 * kSize);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(1 + rng_() % 7);
    const size_t each = layout.offsets == WeightOffsets::kStored ? 2 : 1;
    for (const uint16_t bad : {0x7C00, 0xFC00, 0x7E00}) {
      for (size_t of_group = 0; of_group < each; ++of_group) {
        const std::vector<uint16_t> scales = scales_with(bad, each, of_group);
        const GivenWeights weights(layout, 2, kSize, codes.data(), scales.data());
        for (const ActivationType type : types_of(table(), layout)) {
          for (const int64_t T : {1, 2, 5}) {
            std::vector<float> rows;
            for (int64_t t = 0; t < T; ++t) rows.insert(rows.end(), x.begin(), x.begin() + kSize);
            const Encoded encoded(table(), type, rows, T, kSize);
            const std::vector<float> y = product(table(), encoded.value, weights.matrix, {}, T, 0, 1);
            for (int64_t t = 0; t < T; ++t) {
              EXPECT_TRUE(std::isfinite(y[2 * t])) << bad << " type " << static_cast<int>(type);
              EXPECT_TRUE(std::isnan(y[2 * t + 1]))
                  << bad << " at " << of_group << " type " << static_cast<int>(type) << " " << to_string(layout, kSize);
            }
          }
        }
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
