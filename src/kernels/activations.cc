#include "kernels/activations.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace glimmer::kernels {

bool has_int8_weights(const WeightLayout& layout) {
  if (layout.scales == WeightScales::kNone) return false;
  switch (layout.codes) {
    case WeightCodes::kU2:
    case WeightCodes::kU3:
    case WeightCodes::kU4:
    case WeightCodes::kU5:
    case WeightCodes::kU6:
    case WeightCodes::kU8:
      return true;
    case WeightCodes::kTable4:
      return layout.offsets == WeightOffsets::kZeroPoint && layout.zero_point == 0;
    default:
      return false;
  }
}

bool has_int8_codes(const WeightLayout& layout) {
  if (!has_int8_weights(layout)) return false;
  return layout.codes != WeightCodes::kTable4 || table_unit(layout.table) != 0;
}

int table_unit(const float* table) {
  for (const int unit : {1, 2, 4}) {
    const auto fits = [&](float value) {
      const float code = value * static_cast<float>(unit);
      return code == std::nearbyint(code) && std::abs(code) <= 127;
    };
    if (std::all_of(table, table + 16, fits)) return unit;
  }
  return 0;
}

int64_t activation_row_bytes(ActivationType type, int64_t K) {
  GLIMMER_CHECK(type != ActivationType::kF32, "rows of floats have their caller's stride");
  if (type == ActivationType::kInt8) {  // codes, and of each block a scale and a sum
    const int64_t codes = (K + kInt8Pad - 1) / kInt8Pad * kInt8Pad;
    return 64 * ((codes + (K + kInt8Block - 1) / kInt8Block * 8 + 63) / 64 | 1);
  }
  const int64_t blocks = (K + kActivationBlock - 1) / kActivationBlock;
  // Of each block of integers its codes, a scale and eight sums.
  const int64_t block_bytes = type == ActivationType::kBF16 ? 2 * kActivationBlock : kActivationBlock + 36;
  return 64 * ((blocks * block_bytes + 63) / 64 | 1);
}

}  // namespace glimmer::kernels
