#include "quant/quant_type.h"

#include <algorithm>
#include <memory>

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

namespace {

// What unpack_row writes codes and scale records into, for some rows. Not cleared: it writes all of them.
struct UnpackedRows {
  int64_t code_stride;
  int64_t scale_stride;
  std::unique_ptr<std::byte[]> codes;
  std::unique_ptr<std::byte[]> scales;

  UnpackedRows(const WeightLayout& layout, int64_t rows, int64_t columns)
      : code_stride(columns * std::max<int64_t>(8, weight_code_bits(layout.codes)) / 8),
        scale_stride(weight_scale_row_bytes(layout, columns)),
        codes(new std::byte[static_cast<size_t>(rows * code_stride)]),
        scales(new std::byte[static_cast<size_t>(rows * scale_stride)]) {}
};

}  // namespace

void decode_rows(const EncodedMatrix& matrix, int64_t row_begin, int64_t row_end, float* values) {
  const WeightLayout layout = matrix.type->layout(matrix.params, matrix.columns);
  const UnpackedRows unpacked(layout, 1, matrix.columns);
  for (int64_t row = row_begin; row < row_end; ++row, values += matrix.columns) {
    matrix.type->unpack_row(matrix, matrix.stored_row(row), unpacked.codes.get(), unpacked.scales.get());
    decode_unpacked_row(layout, matrix.columns, unpacked.codes.get(), unpacked.scales.get(), values);
  }
}

void repack_panels(const EncodedMatrix& matrix, const WeightMatrix& out, int64_t panel_begin, int64_t panel_end,
                   std::byte* data) {
  GLIMMER_CHECK(out.rows == matrix.rows && out.columns == matrix.columns, "[{}, {}] into [{}, {}]", matrix.rows,
                matrix.columns, out.rows, out.columns);
  const UnpackedRows unpacked(out.layout, kPanelRows, matrix.columns);
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    const int64_t first = panel * kPanelRows;
    const int64_t rows = std::min(kPanelRows, matrix.rows - first);
    for (int64_t i = 0; i < rows; ++i) {
      matrix.type->unpack_row(matrix, matrix.stored_row(first + i), unpacked.codes.get() + i * unpacked.code_stride,
                              unpacked.scales.get() + i * unpacked.scale_stride);
    }
    pack_panel(out, rows, unpacked.codes.get(), unpacked.code_stride, unpacked.scales.get(), unpacked.scale_stride,
               data + panel * out.panel_bytes);
  }
}

}  // namespace glimmer
