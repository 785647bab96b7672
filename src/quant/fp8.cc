// 8-bit floats (e4m3) with a scale for each block of block_rows x group values, the last of a row or column cut off.
// Published with blocks of 128 x 128 (`weight_scale_inv`: GLM-5 FP8), of one row (`weight_scale`: GLM-4.5 to 4.7 FP8)
// or of the whole matrix. As written here: blocks, `weight_scale_inv`, f32.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "quant/types.h"

namespace glimmer {
namespace {

int64_t blocks_of(int64_t size, int64_t block) { return (size + block - 1) / block; }

std::vector<QuantPart> parts(const QuantParams& params, int64_t rows, int64_t columns) {
  return {{.suffix = ".weight", .dtype = DType::kF8E4M3, .shape = {rows, columns}},
          {.suffix = ".weight_scale_inv",
           .dtype = params.scale_dtype,
           .shape = {blocks_of(rows, params.block_rows), blocks_of(columns, params.group)},
           .matrix_rows = params.block_rows}};
}

WeightLayout layout(const QuantParams& params, int64_t columns) {
  return {.codes = WeightCodes::kF8E4M3,
          .scales = WeightScales::kF32,
          .group = std::min(params.group, columns),
          .tensor_scale = params.tensor_scale};
}

float scale_at(const EncodedMatrix& matrix, int64_t index) {
  const std::byte* at = matrix.parts[1].data() + dtype_bytes(matrix.params.scale_dtype, index);
  if (matrix.params.scale_dtype == DType::kF32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return matrix.params.scale_dtype == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  const auto columns = static_cast<size_t>(matrix.columns);
  std::memcpy(codes, matrix.parts[0].data() + static_cast<size_t>(row) * columns, columns);
  const int64_t count = blocks_of(matrix.columns, matrix.params.group);
  for (int64_t i = 0; i < count; ++i) {
    const float scale = scale_at(matrix, row / matrix.params.block_rows * count + i);
    std::memcpy(scales + i * static_cast<int64_t>(sizeof scale), &scale, sizeof scale);
  }
}

void encode(const QuantParams& params, const float* values, int64_t rows, int64_t columns, const float*,
            std::span<std::byte* const> out) {
  GLIMMER_CHECK(params.scale_dtype == DType::kF32, "scales are written as F32");
  std::byte* scale_out = out[1];
  for (int64_t row = 0; row < rows; row += params.block_rows) {
    const int64_t row_end = std::min(row + params.block_rows, rows);
    for (int64_t column = 0; column < columns; column += params.group) {
      const int64_t column_end = std::min(column + params.group, columns);
      float largest = 0;
      for (int64_t r = row; r < row_end; ++r) {
        for (int64_t c = column; c < column_end; ++c) largest = std::max(largest, std::abs(values[r * columns + c]));
      }
      const float scale = largest > 0 ? largest / 448.0F : 1.0F;
      for (int64_t r = row; r < row_end; ++r) {
        for (int64_t c = column; c < column_end; ++c) {
          out[0][r * columns + c] = static_cast<std::byte>(f32_to_f8e4m3(values[r * columns + c] / scale));
        }
      }
      std::memcpy(scale_out, &scale, sizeof scale);
      scale_out += sizeof scale;
    }
  }
}

}  // namespace

extern const QuantType kFp8Type = {
    .name = "fp8", .parts = parts, .layout = layout, .unpack_row = unpack_row, .encode = encode};

}  // namespace glimmer
