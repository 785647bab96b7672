#include "quant/fp8.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "tensor/dtype.h"

namespace glimmer {
namespace {

const std::array<float, 256>& code_values() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> table{};
    for (int code = 0; code < 256; ++code) table[code] = f8e4m3_to_f32(static_cast<uint8_t>(code));
    return table;
  }();
  return values;
}

}  // namespace

void expand_fp8(std::span<const uint8_t> codes, int64_t rows, int64_t columns, const BlockScales& scales, float* out) {
  const int64_t blocks_across = (columns + scales.block_columns - 1) / scales.block_columns;
  const int64_t blocks_down = (rows + scales.block_rows - 1) / scales.block_rows;
  GLIMMER_CHECK(static_cast<int64_t>(codes.size()) == rows * columns &&
                    static_cast<int64_t>(scales.scales.size()) == blocks_across * blocks_down,
                "{} codes and {} scales for [{}, {}]", codes.size(), scales.scales.size(), rows, columns);
  const std::array<float, 256>& values = code_values();
  for (int64_t r = 0; r < rows; ++r) {
    const float* row_scales = scales.scales.data() + r / scales.block_rows * blocks_across;
    for (int64_t block = 0; block < blocks_across; ++block) {
      const int64_t end = std::min(columns, (block + 1) * scales.block_columns);
      for (int64_t i = block * scales.block_columns; i < end; ++i) {
        out[r * columns + i] = values[codes[r * columns + i]] * row_scales[block];
      }
    }
  }
}

}  // namespace glimmer
