// What the block types of ggml share: a matrix is one tensor, a row is whole blocks.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "quant/quant_type.h"
#include "tensor/dtype.h"

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

// What a block is encoded from.
struct BlockValues {
  const float* x = nullptr;           // the block's values
  const float* importance = nullptr;  // of its columns, or null: all alike
  float row_mean_square = 0;          // of the whole row; 0 without importance
};

// (factor * sum(x^2)) / count, summed from the first on as the reference quantisers do.
float mean_square(const float* x, int64_t count, float factor = 1);

// The same without the importance if that is 0 for all of the block's columns: the searches would keep nothing of it.
BlockValues without_void_importance(BlockValues block, int64_t columns);

// encode from a function for one block. Blocks of finite values are byte for byte what ggml writes, with importance and
// without (exceptions are told where a type is defined); NaN and infinities give some valid block.
template <DType kDType, void (*kBlock)(const BlockValues&, std::byte*)>
void ggml_encode(const QuantParams&, const float* values, int64_t rows, int64_t columns, const float* importance,
                 std::span<std::byte* const> out) {
  const DTypeBlock block = dtype_block(kDType);
  std::byte* at = out[0];
  for (int64_t row = 0; row < rows; ++row, values += columns) {
    const float row_mean_square = importance == nullptr ? 0 : mean_square(values, columns);
    for (int64_t column = 0; column < columns; column += block.values, at += block.bytes) {
      if (importance == nullptr) {
        kBlock({.x = values + column}, at);
      } else {
        kBlock(without_void_importance({values + column, importance + column, row_mean_square}, block.values), at);
      }
    }
  }
}

// ---- pieces of blocks ----

inline constexpr int kSmallBlock = 32;  // columns of the types that have no super-blocks

// Cut off towards zero, at most `limit`. What is not in [0, 256), which takes a scale beyond f32's range, is 0.
inline uint8_t cut_code(float value, int limit) {
  const float inside = value >= 0 && value < 256 ? value : 0;
  return static_cast<uint8_t>(std::min(static_cast<int>(inside), limit));
}

// 1 / scale, 0 for 0.
inline float inverse_scale(float scale) { return scale != 0 ? 1 / scale : 0; }

inline float load_f16(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}

// Returns the value as it was stored.
inline float store_f16(float value, std::byte* at) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(at, &bits, sizeof bits);
  return f16_to_f32(bits);
}

// 4-bit codes of 2 * kHalf columns: byte j holds column j low and column j + kHalf high.
template <int kHalf>
void pack_nibbles(const uint8_t* codes, std::byte* out) {
  for (int j = 0; j < kHalf; ++j) out[j] = static_cast<std::byte>((codes[j] & 15) | (codes[j + kHalf] & 15) << 4);
}
template <int kHalf>
void unpack_nibbles(const std::byte* packed, uint8_t* codes) {
  for (int j = 0; j < kHalf; ++j) {
    const auto byte = static_cast<uint8_t>(packed[j]);
    codes[j] = byte & 15;
    codes[j + kHalf] = byte >> 4;
  }
}

// 2-bit codes of 128 columns in 32 bytes: byte j holds columns j, j + 32, j + 64, j + 96, from its low bits up.
inline void pack_quarters(const uint8_t* codes, std::byte* out) {
  for (int j = 0; j < 32; ++j) {
    out[j] = static_cast<std::byte>((codes[j] & 3) | (codes[j + 32] & 3) << 2 | (codes[j + 64] & 3) << 4 |
                                    (codes[j + 96] & 3) << 6);
  }
}
inline void unpack_quarters(const std::byte* packed, uint8_t* codes) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 32; ++j) codes[32 * i + j] = static_cast<uint8_t>(packed[j]) >> 2 * i & 3;
  }
}

// Bit i of byte j is that of column 32 * i + j: sets it as bit kTo of that column's code.
template <int kTo>
void add_bit_columns(const std::byte* packed, uint8_t* codes) {
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 32; ++j) {
      codes[32 * i + j] |= static_cast<uint8_t>((static_cast<uint8_t>(packed[j]) >> i & 1) << kTo);
    }
  }
}

// The fifth bits of 32 columns, bit j of a 32-bit word being column j's.
inline void pack_fifth_bits(const uint8_t* codes, std::byte* out) {
  uint32_t bits = 0;
  for (int j = 0; j < 32; ++j) bits |= static_cast<uint32_t>(codes[j] >> 4 & 1) << j;
  std::memcpy(out, &bits, sizeof bits);
}
inline void add_fifth_bits(const std::byte* packed, uint8_t* codes) {
  for (int i = 0; i < 4; ++i) {
    // Byte j of `bits`: bit j alone; then the bytes that are not 0 are 16.
    const uint64_t bits = static_cast<uint64_t>(packed[i]) * 0x0101'0101'0101'0101U & 0x8040'2010'0804'0201U;
    const uint64_t sixteens = ((bits + 0x7F7F'7F7F'7F7F'7F7FU) & 0x8080'8080'8080'8080U) >> 3;
    uint64_t eight;
    std::memcpy(&eight, codes + 8 * i, sizeof eight);
    eight |= sixteens;
    std::memcpy(codes + 8 * i, &eight, sizeof eight);
  }
}

}  // namespace glimmer
