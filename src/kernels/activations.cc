#include "kernels/activations.h"

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

int64_t activation_row_bytes(ActivationType type, int64_t K) {
  GLIMMER_CHECK(type != ActivationType::kF32, "rows of floats have their caller's stride");
  const int64_t blocks = (K + kActivationBlock - 1) / kActivationBlock;
  // kInt8: of each block its codes, a scale and a sum.
  const int64_t block_bytes = type == ActivationType::kBF16 ? 2 * kActivationBlock : kActivationBlock + 8;
  return 64 * ((blocks * block_bytes + 63) / 64 | 1);
}

}  // namespace glimmer::kernels
