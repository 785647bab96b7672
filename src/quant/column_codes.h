// What AWQ and GPTQ share: matrices stored by columns, with a zero point and a scale for each group of columns.
#pragma once

#include <span>

#include "base/check.h"
#include "quant/quant_type.h"
#include "quant/stored_floats.h"

namespace glimmer {

inline uint32_t load_word(std::span<const std::byte> part, int64_t index) {
  uint32_t word;
  std::memcpy(&word, part.data() + 4 * index, sizeof word);
  return word;
}

inline int64_t column_group(const QuantParams& params, int64_t columns) {
  return params.group == 0 ? columns : params.group;
}

// The number of groups.
inline int64_t check_column_groups(const QuantParams& params, int64_t columns) {
  const int64_t group = column_group(params, columns);
  GLIMMER_CHECK(columns % 32 == 0 && columns % group == 0, "{} columns in groups of {}", columns, group);
  return columns / group;
}

inline WeightLayout column_codes_layout(const QuantParams& params, int64_t columns) {
  return {.codes = params.bits == 8 ? WeightCodes::kU8 : WeightCodes::kU4,
          .scales = weight_scales_of(params.scale_dtype),
          .offsets = WeightOffsets::kCode8,
          .group = column_group(params, columns)};
}

// Writes [scale, zero(group)] for each group of a row; scales are part 2, [groups, stored_rows].
template <typename Zero>
void store_column_scales(const EncodedMatrix& matrix, int64_t row, const Zero& zero, std::byte* scales) {
  const auto bytes = static_cast<int64_t>(dtype_size_bytes(matrix.params.scale_dtype));
  const int64_t groups = matrix.columns / column_group(matrix.params, matrix.columns);
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t index = group * matrix.stored_rows + row;
    std::memcpy(scales, matrix.parts[2].data() + index * bytes, static_cast<size_t>(bytes));
    scales[bytes] = static_cast<std::byte>(zero(group));
    scales += bytes + 1;
  }
}

}  // namespace glimmer
