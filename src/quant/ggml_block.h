// What the block types of ggml share: a matrix is one tensor, a row is whole blocks.
#pragma once

#include "base/check.h"
#include "quant/quant_type.h"

namespace glimmer {

template <DType kDType>
std::vector<QuantPart> ggml_parts(const QuantParams&, int64_t rows, int64_t columns) {
  GLIMMER_CHECK(columns % dtype_block(kDType).values == 0, "{} columns of {}", columns, dtype_name(kDType));
  return {{.suffix = ".weight", .dtype = kDType, .shape = {rows, columns}}};
}

// The blocks of a stored row.
template <DType kDType>
const std::byte* ggml_row(const EncodedMatrix& matrix, int64_t row) {
  return matrix.parts[0].data() + static_cast<size_t>(row) * dtype_bytes(kDType, matrix.columns);
}

// unpack_row from a function for one block: kBlock(block, codes of its values, scales of its groups).
template <DType kDType, int64_t kScaleBytes, void (*kBlock)(const std::byte*, uint8_t*, std::byte*)>
void ggml_unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  const DTypeBlock block = dtype_block(kDType);
  const std::byte* at = ggml_row<kDType>(matrix, row);
  for (int64_t column = 0; column < matrix.columns; column += block.values) {
    kBlock(at, reinterpret_cast<uint8_t*>(codes + column), scales);
    at += block.bytes;
    scales += kScaleBytes;
  }
}

// encode from a function for one block: kBlock(values, importance of its columns or null, block).
template <DType kDType, void (*kBlock)(const float*, const float*, std::byte*)>
void ggml_encode(const QuantParams&, const float* values, int64_t rows, int64_t columns, const float* importance,
                 std::span<std::byte* const> out) {
  const DTypeBlock block = dtype_block(kDType);
  std::byte* at = out[0];
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; column += block.values) {
      kBlock(values + row * columns + column, importance == nullptr ? nullptr : importance + column, at);
      at += block.bytes;
    }
  }
}

}  // namespace glimmer
