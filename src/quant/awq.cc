// AWQ's "gemm" layout, 4 bits: the matrix is stored by columns, eight rows in a 32-bit word in the order below.
//   qweight  I32 [columns, rows / 8]
//   qzeros   I32 [columns / group, rows / 8]
//   scales   f16 or bf16 [columns / group, rows]
// w = scale * (q - zero). group 0: all columns. Read only.
#include <array>

#include "quant/column_codes.h"
#include "quant/types.h"

namespace glimmer {
namespace {

// Which nibble of the word holds row r % 8: nibbles 0 to 7 hold rows 0, 2, 4, 6, 1, 3, 5, 7.
constexpr std::array<int, 8> kNibble = {0, 4, 1, 5, 2, 6, 3, 7};

std::vector<QuantPart> parts(const QuantParams& params, int64_t rows, int64_t columns) {
  const int64_t groups = check_column_groups(params, columns);
  GLIMMER_CHECK(rows % 8 == 0, "{} rows", rows);
  return {{.suffix = ".qweight", .dtype = DType::kI32, .shape = {columns, rows / 8}, .matrix_rows = 0},
          {.suffix = ".qzeros", .dtype = DType::kI32, .shape = {groups, rows / 8}, .matrix_rows = 0},
          {.suffix = ".scales", .dtype = params.scale_dtype, .shape = {groups, rows}, .matrix_rows = 0}};
}

void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  const int64_t words = matrix.stored_rows / 8;
  const int shift = 4 * kNibble[row % 8];
  for (int64_t column = 0; column < matrix.columns; ++column) {
    codes[column] = static_cast<std::byte>(load_word(matrix.parts[0], column * words + row / 8) >> shift & 15);
  }
  const auto zero = [&](int64_t group) {
    return static_cast<uint8_t>(load_word(matrix.parts[1], group * words + row / 8) >> shift & 15);
  };
  store_column_scales(matrix, row, zero, scales);
}

}  // namespace

extern const QuantType kAwqType = {
    .name = "awq", .block = 32, .parts = parts, .layout = column_codes_layout, .unpack_row = unpack_row};

}  // namespace glimmer
