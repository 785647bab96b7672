// A weight matrix in memory, and the definition of what the layouts of weight_layout.h mean: kernels are held to it.
#pragma once

#include "tensor/weight_layout.h"

namespace glimmer {

inline bool is_float_layout(const WeightLayout& layout) { return layout.scales == WeightScales::kNone; }

int64_t weight_code_bits(WeightCodes codes);
// Whether a row of `columns` can have this layout: whole blocks, whole groups.
bool weight_layout_fits(const WeightLayout& layout, int64_t columns);
int64_t weight_code_row_bytes(const WeightLayout& layout, int64_t columns);
int64_t weight_scale_row_bytes(const WeightLayout& layout, int64_t columns);

// Scales and offsets of `count` groups from `first_group` on, as f32: w = scale * c + offset, where c is the code, the
// table's value, or the float of an f8. `scale_row` is the row's first byte. The definition that kernels must meet.
void decode_weight_scales(const WeightLayout& layout, const std::byte* scale_row, int64_t first_group, int64_t count,
                          float* scale, float* offset);

// The values of columns [column_begin, column_end) of a row, whose first bytes are `code_row` and `scale_row`.
void decode_weight_columns(const WeightLayout& layout, const std::byte* code_row, const std::byte* scale_row,
                           int64_t column_begin, int64_t column_end, float* values);

// Codes of one row, a byte each, to the blocks above; for kU8, kTable4 as well. Float layouts are not packed.
void pack_weight_codes(WeightCodes codes, const uint8_t* unpacked, int64_t columns, std::byte* code_row);

// Borrowed: a view of rows of a matrix in memory.
struct WeightMatrix {
  WeightLayout layout;
  int64_t rows = 0;     // out_features
  int64_t columns = 0;  // in_features
  const std::byte* code_data = nullptr;
  int64_t code_row_bytes = 0;
  const std::byte* scale_data = nullptr;
  int64_t scale_row_bytes = 0;

  bool empty() const { return code_data == nullptr; }
  const std::byte* code_row(int64_t row) const { return code_data + row * code_row_bytes; }
  const std::byte* scale_row(int64_t row) const { return scale_data + row * scale_row_bytes; }
  int64_t size_bytes() const { return rows * (code_row_bytes + scale_row_bytes); }
  WeightMatrix slice(int64_t first_row, int64_t count) const;  // CHECKs the range
};

// A dense matrix of f32, bf16 or f16 as it lies in memory.
WeightMatrix float_weight_matrix(WeightCodes codes, const void* data, int64_t rows, int64_t columns);

}  // namespace glimmer
