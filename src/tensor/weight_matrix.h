// A weight matrix in memory, in one of the few layouts that kernels read. Every type on disk is brought to one of them
// when a model is loaded (quant/repack.h), so that no kernel knows a file's type.
//
//   w[row][column] = scale * (code - zero_point)     or  scale * code + offset,
// with a scale (and an offset) for each group of columns; the float layouts have neither.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glimmer {

// Codes of a row follow each other without padding. kU2 to kU6 and kTable4 come in blocks of 32 columns, each a plane
// of 4 or 2 low bits and then a plane of the high bits, so that vectors of 8 or 16 codes need one shift and one mask:
//   4-bit plane, 16 bytes: byte j holds code j in its low half and code j + 16 in its high half
//   2-bit plane,  8 bytes: byte j holds codes j, j + 8, j + 16, j + 24, from its low bits up
//   1-bit plane,  4 bytes: bit j % 8 of byte j / 8 is code j's
//   kU2 = 2      kU3 = 2, 1 (8 + 4 bytes)      kU4, kTable4 = 4      kU5 = 4, 1 (16 + 4)      kU6 = 4, 2 (16 + 8)
// The others are one value after the other: any number of columns will do.
enum class WeightCodes : uint8_t {
  kF32,
  kBF16,
  kF16,
  kF8E4M3,
  kU2,
  kU3,
  kU4,
  kU5,
  kU6,
  kU8,
  kTable4,  // an index into `table`
};

// How the scales of a row are written, a record a group, one after the other:
enum class WeightScales : uint8_t {
  kNone,    // float layouts
  kF32,     // [scale] or [scale, offset], little-endian
  kF16,     // the same
  kBF16,    // the same
  kE8M0,    // [2^(byte - 127)]
  kF8E4M3,  // [f8 e4m3]
  // For each 256 columns one record: d (f16), with kStored dmin (f16), then a part for each group.
  kSuperI8,  // [i8 s]: scale = d * s; kZeroPoint
  kSuperU8,  // [u8 s, u8 m]: scale = d * s, offset = -(dmin * m); kStored
  kSuperU4,  // [s in the low half, m in the high half of a byte]: as kSuperU8
};

enum class WeightOffsets : uint8_t {
  kZeroPoint,  // w = scale * (code - zero_point); a table or a float has zero_point 0
  kStored,     // w = scale * code + offset, written after each scale in its type
  kCode8,      // w = scale * (code - z), z a byte after each scale
};

struct WeightLayout {
  WeightCodes codes = WeightCodes::kF32;
  WeightScales scales = WeightScales::kNone;
  WeightOffsets offsets = WeightOffsets::kZeroPoint;
  int64_t group = 0;             // columns of a scale: 16, 32, 64, 128 or 256, or all columns of the row
  float zero_point = 0;          // a power of two or 0, so that zero_point * scale is exact
  float tensor_scale = 1;        // multiplies every scale
  const float* table = nullptr;  // kTable4: 16 values, alive as long as the program

  bool operator==(const WeightLayout&) const = default;
  bool is_float() const { return scales == WeightScales::kNone; }
};

int64_t weight_code_bits(WeightCodes codes);
// Whether a row of `columns` can have this layout: whole blocks, whole groups.
bool weight_layout_fits(const WeightLayout& layout, int64_t columns);
int64_t weight_code_row_bytes(const WeightLayout& layout, int64_t columns);
int64_t weight_scale_row_bytes(const WeightLayout& layout, int64_t columns);

// Scales and offsets of `count` groups from `first_group` on, as f32: w = scale * c + offset, where c is the code, the
// table's value, or the float of an f8. `scale_row` is the row's first byte. The definition that kernels must meet.
void decode_weight_scales(const WeightLayout& layout, const std::byte* scale_row, int64_t first_group, int64_t count,
                          float* scale, float* offset);

// The values of one row, `columns` of them. The definition that kernels must meet.
void decode_weight_row(const WeightLayout& layout, const std::byte* code_row, const std::byte* scale_row,
                       int64_t columns, float* values);

// Codes of one row, a byte each, to the blocks above; for kU8, kTable4 as well. Float layouts are not packed.
void pack_weight_codes(WeightCodes codes, const uint8_t* unpacked, int64_t columns, std::byte* code_row);

// Borrowed: a view of rows of a matrix in memory.
struct WeightMatrix {
  WeightLayout layout;
  int64_t rows = 0;     // out_features
  int64_t columns = 0;  // in_features
  const std::byte* code_data = nullptr;
  int64_t code_row_bytes = 0;
  const std::byte* scale_data = nullptr;
  int64_t scale_row_bytes = 0;

  bool empty() const { return code_data == nullptr; }
  const std::byte* code_row(int64_t row) const { return code_data + row * code_row_bytes; }
  const std::byte* scale_row(int64_t row) const { return scale_data + row * scale_row_bytes; }
  int64_t size_bytes() const { return rows * (code_row_bytes + scale_row_bytes); }
  WeightMatrix slice(int64_t first_row, int64_t count) const;  // CHECKs the range
};

// A dense matrix of f32, bf16 or f16 as it lies in memory.
WeightMatrix float_weight_matrix(WeightCodes codes, const void* data, int64_t rows, int64_t columns);

}  // namespace glimmer
