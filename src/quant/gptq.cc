// GPTQ, 4 or 8 bits: the matrix is stored by columns, 8 or 4 columns of a row in a 32-bit word, lowest bits first.
//   qweight  I32 [columns * bits / 32, rows]
//   qzeros   I32 [columns / group, rows * bits / 32]
//   scales   f16, bf16 or f32 [columns / group, rows]
// w = scale * (q - zero); the first format of checkpoints stores zero - 1 (zero_offset 1), modulo 2^bits. Columns are
// in their own order: g_idx must be column / group, which the reader of the checkpoint checks. group 0: all columns.
// Read only.
#include "quant/column_codes.h"
#include "quant/types.h"

namespace glimmer {
namespace {

std::vector<QuantPart> parts(const QuantParams& params, int64_t rows, int64_t columns) {
  const int64_t groups = check_column_groups(params, columns);
  GLIMMER_CHECK(params.bits == 4 || params.bits == 8, "{} bits", params.bits);
  const int64_t codes = 32 / params.bits;
  GLIMMER_CHECK(rows % codes == 0, "{} rows of {} bits", rows, params.bits);
  return {{.suffix = ".qweight", .dtype = DType::kI32, .shape = {columns / codes, rows}, .matrix_rows = 0},
          {.suffix = ".qzeros", .dtype = DType::kI32, .shape = {groups, rows / codes}, .matrix_rows = 0},
          {.suffix = ".scales", .dtype = params.scale_dtype, .shape = {groups, rows}, .matrix_rows = 0}};
}

void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  const int bits = matrix.params.bits;
  const int64_t count = 32 / bits;  // codes of a word
  const uint32_t mask = (1U << bits) - 1;
  for (int64_t i = 0; i < matrix.columns / count; ++i) {
    const uint32_t word = load_word(matrix.parts[0], i * matrix.stored_rows + row);
    for (int64_t j = 0; j < count; ++j) *codes++ = static_cast<std::byte>(word >> (j * bits) & mask);
  }
  const auto zero = [&](int64_t group) {
    const uint32_t word = load_word(matrix.parts[1], group * (matrix.stored_rows / count) + row / count);
    const uint32_t stored = word >> (row % count * bits);
    return static_cast<uint8_t>((stored + static_cast<uint32_t>(matrix.params.zero_offset)) & mask);
  };
  store_column_scales(matrix, row, zero, scales);
}

}  // namespace

extern const QuantType kGptqType = {
    .name = "gptq", .block = 32, .parts = parts, .layout = column_codes_layout, .unpack_row = unpack_row};

}  // namespace glimmer
