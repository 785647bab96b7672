#include "quant/affine_super_block.h"

#include <algorithm>
#include <cmath>

namespace glimmer {
namespace {

constexpr int kColumns = 256;
constexpr int kMaxGroups = 16;

using GroupFloats = std::array<float, kMaxGroups>;

// What an error of each column counts. Without importance Q2_K, which sums absolute errors, takes |x|, the others
// |x| + the root mean square of the group.
void column_weights(const AffineSuperForm& form, const BlockValues& in, float* weights) {
  if (in.importance != nullptr) {
    const float factor = form.error == SearchError::kAbsolute ? 1 : 2;
    importance_weights(in.x, in.importance, mean_square(in.x, kColumns, factor), kColumns, weights);
    return;
  }
  for (int begin = 0; begin < kColumns; begin += form.group) {
    const float base = form.error == SearchError::kAbsolute ? 0 : std::sqrt(mean_square(in.x + begin, form.group));
    for (int i = begin; i < begin + form.group; ++i) weights[i] = base + std::abs(in.x[i]);
  }
}

// Scales of groups as multiples of the largest / max_scale, which is returned.
float scales_of_largest(const AffineSuperForm& form, const float* scales, uint8_t* out) {
  const int groups = kColumns / form.group;
  float largest = 0;
  for (int i = 0; i < groups; ++i) largest = scales[i] > largest ? scales[i] : largest;
  const auto max_scale = static_cast<float>(form.max_scale);
  const float inverse = largest > 0 ? max_scale / largest : 0;
  for (int i = 0; i < groups; ++i) out[i] = static_cast<uint8_t>(nearest_int(inverse * scales[i]));
  return largest / max_scale;
}

}  // namespace

AffineSuperBlock search_affine_super_block(const AffineSuperForm& form, const BlockValues& in, std::byte* d_out) {
  const int groups = kColumns / form.group;
  const bool weighted = in.importance != nullptr;
  std::array<float, kColumns> weights;
  column_weights(form, in, weights.data());

  const AffineSearch search = {.count = form.group,
                               .stride = form.group,
                               .max_code = form.max_code,
                               .grid = weighted ? ScaleGrid{-0.9F, 0.05F, 36} : form.grid,
                               .error = weighted ? SearchError::kSquared : form.error};
  AffineSuperBlock block;
  GroupFloats scales;
  GroupFloats mins;
  for (int i = 0; i < groups; i += kSearchLanes) {
    const int begin = i * form.group;
    search_scales_and_mins(search, in.x + begin, weights.data() + begin, &scales[i], &mins[i], &block.codes[begin]);
  }

  float d = 0;
  float dmin = 0;
  if (weighted) {
    GroupFloats sums = {};
    for (int i = 0; i < kColumns; ++i) sums[i / form.group] += weights[i];
    d = search_positive_scale(scales.data(), sums.data(), groups, form.max_scale, block.scales.data());
    dmin = search_positive_scale(mins.data(), sums.data(), groups, form.max_scale, block.mins.data());
  } else {
    d = scales_of_largest(form, scales.data(), block.scales.data());
    dmin = scales_of_largest(form, mins.data(), block.mins.data());
  }
  block.d = store_f16(d, d_out);
  block.dmin = store_f16(dmin, d_out + 2);
  return block;
}

void recode_affine_super_block(const AffineSuperForm& form, const float* x, AffineSuperBlock& block) {
  for (int group = 0; group < kColumns / form.group; ++group) {
    const float scale = block.d * static_cast<float>(block.scales[group]);
    if (scale == 0) continue;
    const float minus_min = block.dmin * static_cast<float>(block.mins[group]);
    for (int i = group * form.group; i < (group + 1) * form.group; ++i) {
      block.codes[i] = static_cast<uint8_t>(std::clamp(nearest_int((x[i] + minus_min) / scale), 0, form.max_code));
    }
  }
}

void pack_six_bit_scales(AffineSuperBlock& block, std::byte* out) {
  for (int i = 0; i < 8; ++i) {
    block.scales[i] = std::min<uint8_t>(63, block.scales[i]);
    block.mins[i] = std::min<uint8_t>(63, block.mins[i]);
  }
  for (int i = 0; i < 4; ++i) {
    const int scale = block.scales[i + 4];
    const int min = block.mins[i + 4];
    out[i] = static_cast<std::byte>(block.scales[i] | scale >> 4 << 6);
    out[i + 4] = static_cast<std::byte>(block.mins[i] | min >> 4 << 6);
    out[i + 8] = static_cast<std::byte>((scale & 15) | (min & 15) << 4);
  }
}

void unpack_six_bit_scales(const std::byte* packed, uint8_t* scales, uint8_t* mins) {
  for (int i = 0; i < 4; ++i) {
    const auto scale = static_cast<uint8_t>(packed[i]);
    const auto min = static_cast<uint8_t>(packed[i + 4]);
    const auto low = static_cast<uint8_t>(packed[i + 8]);
    scales[i] = scale & 63;
    mins[i] = min & 63;
    scales[i + 4] = static_cast<uint8_t>((low & 15) | scale >> 6 << 4);
    mins[i + 4] = static_cast<uint8_t>(low >> 4 | min >> 6 << 4);
  }
}

void unpack_super_u8(const std::byte* block, std::byte* record) {
  std::array<uint8_t, 8> scales;
  std::array<uint8_t, 8> mins;
  unpack_six_bit_scales(block + 4, scales.data(), mins.data());
  std::memcpy(record, block, 4);
  for (int i = 0; i < 8; ++i) {
    record[4 + 2 * i] = static_cast<std::byte>(scales[i]);
    record[5 + 2 * i] = static_cast<std::byte>(mins[i]);
  }
}

}  // namespace glimmer
