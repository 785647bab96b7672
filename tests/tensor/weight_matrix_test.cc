// Panels against the tables of tensor/weight_layout.h, spelt out here a second time: where each code and each scale of
// a matrix lies, what they mean, and that everything else is zero.
#include "tensor/weight_matrix.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace glimmer {
namespace {

using enum WeightCodes;

constexpr float kTable[16] = {-7.5F, -6, -4.25F, -3, -2, -1.5F, -1, -0.5F, 0, 0.25F, 1, 1.5F, 2.75F, 4, 6, 9};
constexpr WeightCodes kAllCodes[] = {kF32, kBF16, kF16, kF8E4M3, kU2, kU3, kU4, kU5, kU6, kU8, kTable4};

int bits_of(WeightCodes codes) {
  switch (codes) {
    case kF32:
      return 32;
    case kBF16:
    case kF16:
      return 16;
    case kU2:
      return 2;
    case kU3:
      return 3;
    case kU4:
    case kTable4:
      return 4;
    case kU5:
      return 5;
    case kU6:
      return 6;
    default:
      return 8;
  }
}

bool is_super(WeightScales scales) { return scales >= WeightScales::kSuperI8; }

int scalar_bytes(WeightScales scales) {
  if (scales == WeightScales::kF32) return 4;
  return scales == WeightScales::kF16 || scales == WeightScales::kBF16 ? 2 : 1;
}

// The fields of a row's scale records, in bytes.
std::vector<int> scale_fields(const WeightLayout& layout, int64_t columns) {
  std::vector<int> fields;
  if (layout.scales == WeightScales::kNone) return fields;
  if (is_super(layout.scales)) {
    for (int64_t column = 0; column < columns; column += 256) {
      fields.push_back(2);
      if (layout.scales != WeightScales::kSuperI8) fields.push_back(2);
      const int64_t bytes = 256 / layout.group * (layout.scales == WeightScales::kSuperU8 ? 2 : 1);
      fields.insert(fields.end(), static_cast<size_t>(bytes), 1);
    }
    return fields;
  }
  for (int64_t column = 0; column < columns; column += layout.group) {
    fields.push_back(scalar_bytes(layout.scales));
    if (layout.offsets == WeightOffsets::kStored) fields.push_back(scalar_bytes(layout.scales));
    if (layout.offsets == WeightOffsets::kCode8) fields.push_back(1);
  }
  return fields;
}

// Unpacked rows of random codes and finite random scales.
struct Unpacked {
  WeightLayout layout;
  int64_t rows;
  int64_t columns;
  std::vector<int> fields;
  int64_t code_stride;
  int64_t scale_stride = 0;
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;

  Unpacked(const WeightLayout& of, int64_t row_count, int64_t column_count, std::mt19937& rng)
      : layout(of),
        rows(row_count),
        columns(column_count),
        fields(scale_fields(of, column_count)),
        code_stride(column_count * std::max(8, bits_of(of.codes)) / 8) {
    for (const int bytes : fields) scale_stride += bytes;
    const int bits = bits_of(layout.codes);
    for (int64_t i = 0; i < rows * columns; ++i) {
      if (bits == 32) append(codes, random(rng), 4);
      if (bits == 16) append(codes, layout.codes == kF16 ? f32_to_f16(random(rng)) : f32_to_bf16(random(rng)), 2);
      if (layout.codes == kF8E4M3) append(codes, static_cast<uint8_t>(rng() % 0x7F), 1);
      if (layout.codes >= kU2) append(codes, static_cast<uint8_t>(rng() & ((1U << bits) - 1)), 1);
    }
    for (int64_t row = 0; row < rows; ++row) {
      for (const int bytes : fields) append_scale(bytes, rng);
    }
  }

  const std::byte* code(int64_t row, int64_t column) const {
    return &codes[row * code_stride + column * (code_stride / columns)];
  }

 private:
  static float random(std::mt19937& rng) { return static_cast<float>(rng() >> 8) / (1 << 23) - 1.0F; }

  template <typename T>
  static void append(std::vector<std::byte>& out, T value, int bytes) {
    const auto* at = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), at, at + bytes);
  }

  void append_scale(int bytes, std::mt19937& rng) {
    if (bytes == 4) append(scales, random(rng), 4);
    if (bytes == 2) {
      append(scales, layout.scales == WeightScales::kBF16 ? f32_to_bf16(random(rng)) : f32_to_f16(random(rng)), 2);
    }
    if (bytes == 1) append(scales, static_cast<uint8_t>(rng() & 0xBF), 1);  // no NaN
  }
};

// Bits [shift, shift + bits) of a code, in a plane of `bits` bits that begins at `plane`, as the header lays it out.
uint32_t plane_bits(const std::byte* plane, int bits, int64_t row, int64_t column) {
  const auto byte = [&](int64_t line, int64_t j) { return static_cast<uint32_t>(plane[64 * line + 4 * row + j]); };
  const int64_t j = column % 4;
  if (bits == 8) return byte(column / 4, j);
  if (bits == 4) return column % 8 < 4 ? byte(column / 8, j) & 15 : byte(column / 8, j) >> 4;
  if (bits == 2) return byte(column / 16, j) >> (2 * (column % 16 / 4)) & 3;
  return byte(0, j) >> (column / 4) & 1;
}

uint32_t code_in_block(WeightCodes codes, const std::byte* block, int64_t row, int64_t column) {
  switch (codes) {
    case kU2:
      return plane_bits(block, 2, row, column);
    case kU3:
      return plane_bits(block, 2, row, column) | plane_bits(block + 128, 1, row, column) << 2;
    case kU4:
    case kTable4:
      return plane_bits(block, 4, row, column);
    case kU5:
      return plane_bits(block, 4, row, column) | plane_bits(block + 256, 1, row, column) << 4;
    case kU6:
      return plane_bits(block, 4, row, column) | plane_bits(block + 256, 2, row, column) << 4;
    case kF32: {
      uint32_t bits;
      std::memcpy(&bits, block + 64 * column + 4 * row, 4);
      return bits;
    }
    case kBF16:
    case kF16: {
      uint16_t bits;
      std::memcpy(&bits, block + 64 * (column / 2) + 4 * row + 2 * (column % 2), 2);
      return bits;
    }
    default:
      return plane_bits(block, 8, row, column);
  }
}

std::string to_string(const WeightMatrix& m) {
  const WeightLayout& l = m.layout;
  return fmt::format("codes {} scales {} offsets {} group {} zero point {}, {} x {}", static_cast<int>(l.codes),
                     static_cast<int>(l.scales), static_cast<int>(l.offsets), l.group, l.zero_point, m.rows, m.columns);
}

struct Packed {
  WeightMatrix matrix;
  std::vector<std::byte> memory;

  explicit Packed(const Unpacked& from) : matrix(weight_matrix_of(from.layout, from.rows, from.columns)) {
    memory.assign(static_cast<size_t>(size_bytes(matrix)) + 64, std::byte{0xA5});
    matrix.data = memory.data();
    for (int64_t row = 0; row < from.rows; row += kPanelRows) {
      pack_panel(matrix, std::min(kPanelRows, from.rows - row), from.codes.data() + row * from.code_stride,
                 from.code_stride, from.scales.data() + row * from.scale_stride, from.scale_stride,
                 memory.data() + row / kPanelRows * matrix.panel_bytes);
    }
  }
};

// "" if each code and scale is where it belongs, and the rest is zero.
std::string first_misplaced(const Unpacked& from, const Packed& packed) {
  const WeightMatrix& m = packed.matrix;
  const int bits = bits_of(m.layout.codes);
  for (int64_t row = 0; row < (m.rows + 15) / 16 * 16; ++row) {
    const std::byte* panel = packed.memory.data() + row / 16 * m.panel_bytes;
    int64_t record = 0;
    for (const int bytes : from.fields) {
      for (int64_t i = 0; i < bytes; ++i) {
        const std::byte want = row < m.rows ? from.scales[row * from.scale_stride + record + i] : std::byte{0};
        if (panel[16 * record + row % 16 * bytes + i] != want) return fmt::format("scales of row {}", row);
      }
      record += bytes;
    }
    for (int64_t i = 16 * record; i < m.scale_bytes; ++i) {
      if (panel[i] != std::byte{0}) return fmt::format("byte {} after the scales", i);
    }
    for (int64_t column = 0; column < (m.columns + 31) / 32 * 32; ++column) {
      uint32_t want = 0;
      if (row < m.rows && column < m.columns) {
        std::memcpy(&want, from.code(row, column), static_cast<size_t>(std::max(bits, 8) / 8));
      }
      const uint32_t got =
          code_in_block(m.layout.codes, panel + m.scale_bytes + column / 32 * 64 * bits, row % 16, column % 32);
      if (got != want) return fmt::format("row {} column {}: {} for {}", row, column, got, want);
    }
  }
  for (size_t i = packed.memory.size() - 64; i < packed.memory.size(); ++i) {
    if (packed.memory[i] != std::byte{0xA5}) return "the bytes after the matrix";
  }
  return "";
}

float element(const WeightLayout& layout, const std::byte* at) {
  const auto byte = static_cast<uint8_t>(*at);
  uint16_t half;
  float value;
  switch (layout.codes) {
    case kF32:
      std::memcpy(&value, at, 4);
      return value;
    case kBF16:
      std::memcpy(&half, at, 2);
      return bf16_to_f32(half);
    case kF16:
      std::memcpy(&half, at, 2);
      return f16_to_f32(half);
    case kF8E4M3:
      return f8e4m3_to_f32(byte);
    case kTable4:
      return kTable[byte];
    default:
      return byte;
  }
}

// "" if the values of packed and of unpacked rows are scale * element + offset.
std::string first_wrong_value(const Unpacked& from, const Packed& packed) {
  const WeightMatrix& m = packed.matrix;
  const bool scaled = m.layout.scales != WeightScales::kNone;
  std::vector<float> got(static_cast<size_t>(m.columns));
  std::vector<float> unpacked(static_cast<size_t>(m.columns));
  for (int64_t row = 0; row < m.rows; ++row) {
    const int64_t middle = m.columns / 3;
    decode_weight_columns(m, row, 0, middle, got.data());
    decode_weight_columns(m, row, middle, m.columns, got.data() + middle);
    decode_unpacked_row(m.layout, m.columns, from.code(row, 0), from.scales.data() + row * from.scale_stride,
                        unpacked.data());
    for (int64_t column = 0; column < m.columns; ++column) {
      float want = element(m.layout, from.code(row, column));
      if (scaled) {
        float scale = 0;
        float offset = 0;
        weight_scale(m, row, column / m.layout.group, &scale, &offset);
        want = scale * want + offset;
      }
      if (got[column] != want) return fmt::format("row {} column {}: {} for {}", row, column, got[column], want);
      if (unpacked[column] != want) return fmt::format("unpacked row {} column {}", row, column);
    }
  }
  return "";
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
  if (codes <= kF16) {
    add(WeightScales::kNone, WeightOffsets::kZeroPoint, 0, 0);
    return layouts;
  }
  for (int scales = static_cast<int>(WeightScales::kF32); scales <= static_cast<int>(WeightScales::kF8E4M3); ++scales) {
    for (const int64_t group : {int64_t{16}, int64_t{32}, int64_t{64}, int64_t{128}, int64_t{256}, columns}) {
      add(static_cast<WeightScales>(scales), WeightOffsets::kZeroPoint, group, 8);
      add(static_cast<WeightScales>(scales), WeightOffsets::kStored, group, 0);
      add(static_cast<WeightScales>(scales), WeightOffsets::kCode8, group, 0);
    }
  }
  for (const int64_t group : {16, 32}) {
    add(WeightScales::kSuperI8, WeightOffsets::kZeroPoint, group, 32);
    add(WeightScales::kSuperU8, WeightOffsets::kStored, group, 0);
    add(WeightScales::kSuperU4, WeightOffsets::kStored, group, 0);
  }
  return layouts;
}

int check(const WeightLayout& layout, int64_t rows, int64_t columns, std::mt19937& rng) {
  const Unpacked from(layout, rows, columns, rng);
  const Packed packed(from);
  EXPECT_EQ(weight_scale_row_bytes(layout, columns), from.scale_stride) << to_string(packed.matrix);
  EXPECT_EQ(packed.matrix.scale_bytes % 64, 0);
  EXPECT_EQ(packed.matrix.panel_bytes, packed.matrix.scale_bytes + (columns + 31) / 32 * 64 * bits_of(layout.codes));
  EXPECT_EQ(first_misplaced(from, packed), "") << to_string(packed.matrix);
  EXPECT_EQ(first_wrong_value(from, packed), "") << to_string(packed.matrix);
  return 1;
}

TEST(WeightMatrix, EveryLayoutLiesAsTold) {
  std::mt19937 rng(1);
  int checked = 0;
  for (const WeightCodes codes : kAllCodes) {
    for (const int64_t columns : {1, 15, 32, 33, 64, 96, 250, 256, 288, 512}) {
      for (const WeightLayout& layout : layouts_of(codes, columns)) checked += check(layout, 19, columns, rng);
    }
  }
  EXPECT_GT(checked, 1500);
}

TEST(WeightMatrix, RowsFillTheLastPanelUp) {
  std::mt19937 rng(2);
  for (const WeightCodes codes : kAllCodes) {
    const WeightLayout layout = codes <= kF16 ? WeightLayout{.codes = codes}
                                              : WeightLayout{.codes = codes,
                                                             .scales = WeightScales::kF16,
                                                             .offsets = WeightOffsets::kStored,
                                                             .group = 32,
                                                             .table = kTable};
    for (int64_t rows = 1; rows <= 33; ++rows) check(layout, rows, 96, rng);
  }
}

TEST(WeightMatrix, ColumnsFillTheLastBlockUp) {
  std::mt19937 rng(3);
  for (const WeightCodes codes : {kF32, kBF16, kF16, kF8E4M3, kU8}) {
    const WeightLayout layout =
        codes <= kF16 ? WeightLayout{.codes = codes}
                      : WeightLayout{.codes = codes, .scales = WeightScales::kF32, .group = 128, .zero_point = 8};
    for (int64_t columns = 1; columns <= 300; ++columns) check(layout, 17, columns, rng);
  }
}

TEST(WeightMatrix, ScalesMeanWhatTheyAreToldToMean) {
  // One row: fields lie 16 apart, the other rows' between them.
  const auto put = [](std::vector<std::byte>& out, auto value) {
    const auto* at = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), at, at + sizeof value);
  };
  const auto expect = [](WeightLayout layout, const std::vector<std::byte>& record, float scale, float offset) {
    layout.codes = kU8;
    layout.group = 16;
    layout.tensor_scale = 0.5F;
    const int64_t columns = is_super(layout.scales) ? 256 : 16;
    std::vector<std::byte> scales = record;
    WeightMatrix m = weight_matrix_of(layout, 1, columns);
    scales.resize(static_cast<size_t>(weight_scale_row_bytes(layout, columns)));
    std::vector<std::byte> codes(256);
    std::vector<std::byte> panel(static_cast<size_t>(m.panel_bytes));
    pack_panel(m, 1, codes.data(), 256, scales.data(), 0, panel.data());
    m.data = panel.data();
    float got_scale = 0;
    float got_offset = 0;
    weight_scale(m, 0, 0, &got_scale, &got_offset);
    EXPECT_EQ(got_scale, scale) << to_string(m);
    EXPECT_EQ(got_offset, offset) << to_string(m);
  };
  std::vector<std::byte> record;
  put(record, 3.0F);
  put(record, -7.0F);
  expect({.scales = WeightScales::kF32, .zero_point = 4}, record, 1.5F, -6.0F);
  expect({.scales = WeightScales::kF32, .offsets = WeightOffsets::kStored}, record, 1.5F, -3.5F);
  record.resize(4);
  put(record, uint8_t{200});
  expect({.scales = WeightScales::kF32, .offsets = WeightOffsets::kCode8}, record, 1.5F, -300.0F);
  record.clear();
  put(record, f32_to_bf16(3));
  expect({.scales = WeightScales::kBF16, .zero_point = 2}, record, 1.5F, -3.0F);
  record = {std::byte{129}};
  expect({.scales = WeightScales::kE8M0, .zero_point = 1}, record, 2.0F, -2.0F);
  record = {std::byte{0xC8}};  // -4
  expect({.scales = WeightScales::kF8E4M3, .zero_point = 1}, record, -2.0F, 2.0F);
  record.clear();
  put(record, f32_to_f16(3));
  put(record, int8_t{-5});
  expect({.scales = WeightScales::kSuperI8, .zero_point = 32}, record, -7.5F, 240.0F);
  record.clear();
  put(record, f32_to_f16(3));
  put(record, f32_to_f16(7));
  put(record, uint8_t{0xB2});
  put(record, uint8_t{3});
  expect({.scales = WeightScales::kSuperU8, .offsets = WeightOffsets::kStored}, record, 267.0F, -10.5F);
  expect({.scales = WeightScales::kSuperU4, .offsets = WeightOffsets::kStored}, record, 3.0F, -38.5F);
}

TEST(WeightMatrix, SlicesBeginAtPanels) {
  std::mt19937 rng(4);
  const WeightLayout layout = {.codes = kU4, .scales = WeightScales::kF16, .group = 32, .zero_point = 8};
  const Packed packed(Unpacked(layout, 50, 64, rng));
  const WeightMatrix part = slice(packed.matrix, 32, 10);
  EXPECT_EQ(panel_count(packed.matrix), 4);
  EXPECT_EQ(part.rows, 10);
  EXPECT_EQ(panel_count(part), 1);
  EXPECT_EQ(size_bytes(part), part.panel_bytes);
  std::vector<float> got(64);
  std::vector<float> want(64);
  decode_weight_columns(part, 5, 0, 64, got.data());
  decode_weight_columns(packed.matrix, 37, 0, 64, want.data());
  EXPECT_EQ(got, want);
  EXPECT_DEATH(slice(packed.matrix, 8, 16), "begins no panel");
  EXPECT_DEATH(slice(packed.matrix, 48, 16), "rows 48 to 64 of 50");
}

TEST(WeightMatrix, CodesOfPlanesNeedWholeBlocksAndGroups) {
  const WeightLayout u4 = {.codes = kU4, .scales = WeightScales::kF16, .group = 32};
  EXPECT_TRUE(weight_layout_fits(u4, 96));
  EXPECT_FALSE(weight_layout_fits(u4, 80));
  WeightLayout layout = u4;
  layout.group = 64;
  EXPECT_FALSE(weight_layout_fits(layout, 96));
  layout.group = 96;  // all columns of the row
  EXPECT_TRUE(weight_layout_fits(layout, 96));
  EXPECT_FALSE(weight_layout_fits(layout, 192));
  layout = {.codes = kF8E4M3, .scales = WeightScales::kF32, .group = 128};
  EXPECT_TRUE(weight_layout_fits(layout, 300));
  EXPECT_DEATH(weight_matrix_of(u4, 16, 80), "80 columns");
}

}  // namespace
}  // namespace glimmer
