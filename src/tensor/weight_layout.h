// The few in-memory layouts of weights that kernels read. Every type on disk is repacked to one of them when a model is
// loaded (quant/quant_type.h, repack_panels), so that no kernel knows a file's type.
//
//   w[row][column] = scale * (code - zero_point)     or  scale * code + offset,
// with a scale (and an offset) for each group of columns; the float layouts have neither. tensor/weight_matrix.h reads
// and writes them. Types only: files that are compiled for one instruction set include this.
//
// Rows are stored in panels of 16, so that a vector's lanes are rows: no sum runs across lanes, a VNNI instruction (4 x
// 8 bits per lane) takes 4 columns of 16 rows, and a block of 32 or 64 columns is an AMX tile. The last panel is padded
// with rows of zero codes and zero scales. A panel is its scales followed by its codes, each padded with zeros to 64
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glimmer {

inline constexpr int64_t kPanelRows = 16;     // lanes of an AVX-512 vector, rows of an AMX tile
inline constexpr int64_t kBlockColumns = 32;  // bf16 columns of an AMX tile; also the smallest block of ggml's types

// Codes come in blocks of 16 rows x 32 columns, the last padded with zeros. A block of codes of b bits is b lines of
// 64 bytes, in which row r has the 4 bytes from 4 r on:
//   32 bits        line i: column i
//   16 bits        line i: columns 2 i (low) and 2 i + 1
//    8 bits        line i: byte j holds column 4 i + j
//    4-bit plane   line i: byte j holds column 8 i + j in its low half and 8 i + 4 + j in its high half
//    2-bit plane   line i: byte j holds columns 16 i + 4 m + j at bit 2 m, m = 0..3
//    1-bit plane   its one line: byte j holds columns 4 m + j at bit m, m = 0..7
//   kU2 = 2 bits    kU3 = the 2 low bits, then the high one    kU4, kTable4 = 4    kU5 = 4, 1    kU6 = 4, 2
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

// How scales are stored: one record per group of columns, in which each field is an array over the 16 rows.
enum class WeightScales : uint8_t {
  kNone,    // float layouts
  kF32,     // [scale x 16], with kStored [offset x 16], little-endian; with kCode8 16 bytes z
  kF16,     // the same
  kBF16,    // the same
  kE8M0,    // [2^(byte - 127)]
  kF8E4M3,  // [f8 e4m3]
  // For each 256 columns d (f16 x 16), with kStored dmin (f16 x 16), and then for each group its bytes x 16:
  kSuperI8,  // [i8 s]: scale = d * s; kZeroPoint
  kSuperU8,  // [u8 s x 16, u8 m x 16]: scale = d * s, offset = -(dmin * m); kStored
  kSuperU4,  // [s in the low half, m in the high half of a byte]: as kSuperU8
};

enum class WeightOffsets : uint8_t {
  kZeroPoint,  // w = scale * (code - zero_point); a table or a float has zero_point 0
  kStored,     // w = scale * code + offset, written after the scales in their type
  kCode8,      // w = scale * (code - z), z a byte after the scales
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

// A borrowed view of a matrix in memory, or of whole panels of one.
struct WeightMatrix {
  WeightLayout layout;
  int64_t rows = 0;                 // out_features
  int64_t columns = 0;              // in_features
  const std::byte* data = nullptr;  // of the first panel, aligned to 64 bytes
  int64_t panel_bytes = 0;
  int64_t scale_bytes = 0;  // of them, where the codes of a panel begin

  bool empty() const { return data == nullptr; }
};

}  // namespace glimmer
