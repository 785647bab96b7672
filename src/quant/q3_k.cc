// Q3_K: 256 values in groups of 16. w = (d * (scale - 32)) * (q - 4), q of 3 bits, scale of 6.
// Block of 110 bytes: 32 bytes of third bits (bit i of byte j is column 32 * i + j's), 64 bytes of the lower two, 12
// bytes of scales (8 with the low halves of scales i and i + 8, then 4 with the upper two bits of i, i + 4, i + 8,
// i + 12), f16 d.
#include <array>

#include "quant/ggml_block.h"
#include "quant/symmetric_super_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr int kHalf = 4;

using Scales = std::array<int8_t, kSymmetricGroups>;

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU3, .scales = WeightScales::kSuperI8, .group = 16, .zero_point = kHalf};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  const std::byte* packed = block + 96;
  std::memcpy(scales, block + 108, 2);
  for (int i = 0; i < 16; ++i) {
    const int low = static_cast<int>(packed[i % 8]) >> i / 8 * 4 & 15;
    const int high = static_cast<int>(packed[8 + i % 4]) >> i / 4 * 2 & 3;
    scales[2 + i] = static_cast<std::byte>((low | high << 4) - 32);
  }
  for (int half = 0; half < 2; ++half) unpack_quarters(block + 32 + 32 * half, codes + 128 * half);
  add_bit_columns<2>(block, codes);
}

void pack(const Scales& scales, const uint8_t* codes, std::byte* block) {
  std::memset(block, 0, 32);
  std::memset(block + 96, 0, 12);
  for (int i = 0; i < 16; ++i) {
    const int scale = scales[i] + 32;
    block[96 + i % 8] |= static_cast<std::byte>((scale & 15) << i / 8 * 4);
    block[104 + i % 4] |= static_cast<std::byte>(scale >> 4 << i / 4 * 2);
  }
  for (int half = 0; half < 2; ++half) pack_quarters(codes + 128 * half, block + 32 + 32 * half);
  for (int i = 0; i < 256; ++i) block[i % 32] |= static_cast<std::byte>((codes[i] >> 2 & 1) << i / 32);
}

// The scales of groups and their common one, each found on its own.
float search(const BlockValues& in, Scales& scales, uint8_t* codes) {
  std::array<float, kSymmetricGroups> found;
  for (int i = 0; i < kSymmetricGroups; ++i) found[i] = descend_scale(in.x + 16 * i, 16, kHalf, codes + 16 * i);
  const float largest = signed_largest(found.data());
  if (largest == 0) {
    scales.fill(-32);
    return 0;
  }
  const float inverse = -32.0F / largest;
  for (int i = 0; i < kSymmetricGroups; ++i) {
    scales[i] = static_cast<int8_t>(std::clamp(nearest_int(inverse * found[i]), -32, 31));
  }
  return 1 / inverse;
}

float search_weighted(const BlockValues& in, Scales& scales, uint8_t* codes) {
  std::array<float, 256> weights;
  importance_weights(in.x, in.importance, mean_square(in.x, 256, 2), 256, weights.data());
  std::array<float, kSymmetricGroups> found;
  std::array<float, kSymmetricGroups> sums = {};
  for (int i = 0; i < 256; ++i) sums[i / 16] += weights[i];
  for (int i = 0; i < kSymmetricGroups; ++i) {
    found[i] = search_scale(in.x + 16 * i, &weights[16 * i], 16, kHalf, codes + 16 * i);
  }
  std::array<uint8_t, kSymmetricGroups> scale_codes;
  const float d = search_scale(found.data(), sums.data(), kSymmetricGroups, 32, scale_codes.data());
  for (int i = 0; i < kSymmetricGroups; ++i) scales[i] = static_cast<int8_t>(scale_codes[i] - 32);
  return d;
}

void encode(const BlockValues& in, std::byte* block) {
  Scales scales;
  std::array<uint8_t, 256> codes;
  const float d =
      in.importance == nullptr ? search(in, scales, codes.data()) : search_weighted(in, scales, codes.data());
  recode_symmetric_super_block(store_f16(d, block + 108), scales.data(), kHalf, in.x, codes.data());
  pack(scales, codes.data(), block);
}

}  // namespace

extern const QuantType kQ3_KType = {.name = "q3_k",
                                    .block = 256,
                                    .parts = ggml_parts<DType::kQ3_K>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ3_K, 18, unpack>,
                                    .encode = ggml_encode<DType::kQ3_K, encode>};

}  // namespace glimmer
