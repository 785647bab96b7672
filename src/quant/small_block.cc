#include "quant/small_block.h"

#include <cmath>
#include <limits>

#include "quant/scale_search.h"

namespace glimmer {
namespace {

using SmallWeights = std::array<float, kSmallBlock>;

SmallWeights weights_of(const BlockValues& in) {
  SmallWeights weights;
  importance_weights(in.x, in.importance, in.row_mean_square, kSmallBlock, weights.data());
  return weights;
}

float signed_largest(const float* x) {
  float largest = 0;
  for (int i = 0; i < kSmallBlock; ++i) {
    if (std::abs(x[i]) > std::abs(largest)) largest = x[i];
  }
  return largest;
}

}  // namespace

SmallCodes encode_symmetric_block(const BlockValues& in, int half, std::byte* d_out) {
  SmallCodes codes;
  if (in.importance != nullptr) {
    store_f16(search_scale(in.x, weights_of(in).data(), kSmallBlock, half, codes.data()), d_out);
    return codes;
  }
  const float d = signed_largest(in.x) / static_cast<float>(-half);
  const float inverse = inverse_scale(d);
  const float middle = static_cast<float>(half) + 0.5F;
  store_f16(d, d_out);
  for (int i = 0; i < kSmallBlock; ++i) codes[i] = cut_code(in.x[i] * inverse + middle, 2 * half - 1);
  return codes;
}

SmallCodes encode_affine_block(const BlockValues& in, int max_code, std::byte* d_out) {
  SmallCodes codes;
  if (in.importance != nullptr) {
    // One group in all four lanes.
    const AffineSearch search = {.count = kSmallBlock, .stride = 0, .max_code = max_code, .grid = {-0.9F, 0.05F, 36}};
    std::array<float, kSearchLanes> scales;
    std::array<float, kSearchLanes> minus_mins;
    std::array<uint8_t, kSearchLanes * kSmallBlock> lanes;
    search_scales_and_mins(search, in.x, weights_of(in).data(), scales.data(), minus_mins.data(), lanes.data());
    store_f16(scales[0], d_out);
    store_f16(-minus_mins[0], d_out + 2);
    std::copy_n(lanes.begin(), kSmallBlock, codes.begin());
    return codes;
  }
  float least = std::numeric_limits<float>::max();
  float largest = std::numeric_limits<float>::lowest();
  for (int i = 0; i < kSmallBlock; ++i) {
    least = in.x[i] < least ? in.x[i] : least;
    largest = in.x[i] > largest ? in.x[i] : largest;
  }
  const float d = (largest - least) / static_cast<float>(max_code);
  const float inverse = inverse_scale(d);
  store_f16(d, d_out);
  store_f16(least, d_out + 2);
  for (int i = 0; i < kSmallBlock; ++i) codes[i] = cut_code((in.x[i] - least) * inverse + 0.5F, max_code);
  return codes;
}

}  // namespace glimmer
