#include "quant/quant_type.h"

#include "base/check.h"

namespace glimmer {

EncodedMatrix EncodedMatrix::slice(int64_t first, int64_t count) const {
  GLIMMER_CHECK(first >= 0 && count >= 0 && first + count <= rows, "rows {} to {} of {}", first, first + count, rows);
  EncodedMatrix part = *this;
  part.first_row += first;
  part.rows = count;
  return part;
}

double bits_per_weight(const QuantType& type, const QuantParams& params, int64_t rows, int64_t columns) {
  double bytes = 0;
  for (const QuantPart& part : type.parts(params, rows, columns)) {
    bytes += static_cast<double>(dtype_bytes(part.dtype, part.shape.element_count()));
  }
  return 8 * bytes / (static_cast<double>(rows) * static_cast<double>(columns));
}

void decode_rows(const EncodedMatrix& matrix, int64_t row_begin, int64_t row_end, float* values) {
  const WeightLayout layout = matrix.type->layout(matrix.params, matrix.columns);
  const auto code_bytes = static_cast<size_t>(weight_code_row_bytes(layout, matrix.columns));
  std::vector<std::byte> codes(static_cast<size_t>(matrix.columns) * sizeof(float));
  std::vector<std::byte> packed(code_bytes);
  std::vector<std::byte> scales(static_cast<size_t>(weight_scale_row_bytes(layout, matrix.columns)));
  for (int64_t row = row_begin; row < row_end; ++row, values += matrix.columns) {
    matrix.type->unpack_row(matrix, matrix.stored_row(row), codes.data(), scales.data());
    const std::byte* code_row = codes.data();
    if (!is_float_layout(layout)) {
      pack_weight_codes(layout.codes, reinterpret_cast<const uint8_t*>(codes.data()), matrix.columns, packed.data());
      code_row = packed.data();
    }
    decode_weight_columns(layout, code_row, scales.data(), 0, matrix.columns, values);
  }
}

void repack_rows(const EncodedMatrix& matrix, int64_t row_begin, int64_t row_end, std::byte* codes, std::byte* scales) {
  const WeightLayout layout = matrix.type->layout(matrix.params, matrix.columns);
  const int64_t code_bytes = weight_code_row_bytes(layout, matrix.columns);
  const int64_t scale_bytes = weight_scale_row_bytes(layout, matrix.columns);
  std::vector<std::byte> unpacked(static_cast<size_t>(matrix.columns));
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t stored = matrix.stored_row(row);
    if (is_float_layout(layout)) {
      matrix.type->unpack_row(matrix, stored, codes, scales);
    } else {
      matrix.type->unpack_row(matrix, stored, unpacked.data(), scales);
      pack_weight_codes(layout.codes, reinterpret_cast<const uint8_t*>(unpacked.data()), matrix.columns, codes);
    }
    codes += code_bytes;
    scales += scale_bytes;
  }
}

}  // namespace glimmer
