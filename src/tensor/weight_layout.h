// The few layouts in which weights lie in memory and kernels read them. Every type on disk is brought to one of them
// when a model is loaded (quant/quant_type.h, repack_rows), so that no kernel knows a file's type.
//
//   w[row][column] = scale * (code - zero_point)     or  scale * code + offset,
// with a scale (and an offset) for each group of columns; the float layouts have neither. tensor/weight_matrix.h reads
// and writes them. Types only: files that are compiled for one instruction set include this.
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
};

}  // namespace glimmer
