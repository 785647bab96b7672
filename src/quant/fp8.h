// 8-bit floats (e4m3) with scales, as published: expanded to f32, each value exactly f32(code) * scale.
#pragma once

#include <cstdint>
#include <span>

namespace glimmer {

// Scales of a matrix [rows, columns]: one for each block of block_rows x block_columns; the last block of a row or
// column may be cut off. A scale a row is a block of 1 x columns, a scale a matrix is one block.
struct BlockScales {
  std::span<const float> scales;  // [ceil(rows / block_rows), ceil(columns / block_columns)]
  int64_t block_rows = 1;
  int64_t block_columns = 1;
};

// codes, out [rows, columns]. CHECKs the number of scales.
void expand_fp8(std::span<const uint8_t> codes, int64_t rows, int64_t columns, const BlockScales& scales, float* out);

}  // namespace glimmer
