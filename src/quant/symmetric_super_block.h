// What the quantisers of Q3_K and Q6_K share: 256 values in groups of 16, each with a small integer scale under the
// block's own f16 scale, w = (d * scale) * (code - half).
#pragma once

#include <algorithm>
#include <cmath>

#include "quant/scale_search.h"

namespace glimmer {

inline constexpr int kSymmetricGroups = 16;

// The first of the group scales that are largest in magnitude; 0 if there is none.
inline float signed_largest(const float* scales) {
  float largest = 0;
  for (int i = 0; i < kSymmetricGroups; ++i) {
    if (std::abs(scales[i]) > std::abs(largest)) largest = scales[i];
  }
  return largest;
}

// Codes for the scales as they are stored; those of groups of scale 0 stay.
inline void recode_symmetric_super_block(float d, const int8_t* scales, int half, const float* x, uint8_t* codes) {
  for (int group = 0; group < kSymmetricGroups; ++group) {
    const float scale = d * static_cast<float>(scales[group]);
    if (scale == 0) continue;
    for (int i = 16 * group; i < 16 * group + 16; ++i) {
      codes[i] = static_cast<uint8_t>(std::clamp(nearest_int(x[i] / scale), -half, half - 1) + half);
    }
  }
}

}  // namespace glimmer
