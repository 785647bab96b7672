// Weight matrices in the layouts of weight_layout.h: sizes, packing, and the reference dequantisation that kernels must
// match.
#pragma once

#include "tensor/weight_layout.h"

namespace glimmer {

inline bool is_float_layout(const WeightLayout& layout) { return layout.scales == WeightScales::kNone; }

int64_t weight_code_bits(WeightCodes codes);
// Whether rows of `columns` can have this layout: whole groups, and whole blocks unless codes are whole bytes.
bool weight_layout_fits(const WeightLayout& layout, int64_t columns);
// Of one row as QuantType::unpack_row gives it: scale records of the row by themselves, in the order of
// weight_layout.h.
int64_t weight_scale_row_bytes(const WeightLayout& layout, int64_t columns);

// An empty matrix of this size with its panel_bytes and scale_bytes. CHECKs that the layout fits.
WeightMatrix weight_matrix_of(const WeightLayout& layout, int64_t rows, int64_t columns);
int64_t panel_count(const WeightMatrix& matrix);
int64_t size_bytes(const WeightMatrix& matrix);  // of all panels
// Rows [first_row, first_row + count). CHECKs the range, and that first_row begins a panel.
WeightMatrix slice(const WeightMatrix& matrix, int64_t first_row, int64_t count);

// Writes one panel, `matrix.panel_bytes` bytes at `panel`, from `rows` <= 16 unpacked rows: row r's codes at
// codes + r * code_stride (a byte each; float layouts: the elements) and its scale records at scales + r *
// scale_stride.
void pack_panel(const WeightMatrix& matrix, int64_t rows, const std::byte* codes, int64_t code_stride,
                const std::byte* scales, int64_t scale_stride, std::byte* panel);

// The scale and the offset of a row's group as f32: w = scale * c + offset, where c is the code, the table's value, or
// the float of an f8. The definition that kernels must meet.
void weight_scale(const WeightMatrix& matrix, int64_t row, int64_t group, float* scale, float* offset);

// The values of columns [column_begin, column_end) of a row.
void decode_weight_columns(const WeightMatrix& matrix, int64_t row, int64_t column_begin, int64_t column_end,
                           float* values);

// The same of a row that is not packed: codes and scale records as pack_panel takes them.
void decode_unpacked_row(const WeightLayout& layout, int64_t columns, const std::byte* codes, const std::byte* scales,
                         float* values);

}  // namespace glimmer
