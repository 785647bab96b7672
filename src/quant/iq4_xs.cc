// IQ4_XS: 256 values in groups of 32. w = (d * (scale - 32)) * table[q], the table of IQ4_NL, scale of 6 bits.
// Block of 136 bytes: f16 d, u16 with the upper two bits of the eight scales, 4 bytes with the lower four, 8 x 16 bytes
// of codes.
#include <array>
#include <cmath>

#include "quant/ggml_block.h"
#include "quant/scale_search.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr int kGroups = 8;

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kTable4,
          .scales = WeightScales::kSuperI8,
          .group = kSmallBlock,
          .table = kIq4Values.data()};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  uint16_t high;
  std::memcpy(&high, block + 2, sizeof high);
  std::memcpy(scales, block, 2);
  for (int i = 0; i < kGroups; ++i) {
    const int low = static_cast<int>(block[4 + i / 2]) >> i % 2 * 4 & 15;
    scales[2 + i] = static_cast<std::byte>((low | (high >> 2 * i & 3) << 4) - 32);
    unpack_nibbles<16>(block + 8 + 16 * i, codes + 32 * i);
  }
}

// The group whose scale is largest in magnitude gets -32. Codes go with d as it was before f16.
void encode(const BlockValues& in, std::byte* block) {
  const float twice_mean_square = 2 * mean_square(in.x, 256);
  std::array<float, kGroups> found;
  float largest = 0;
  for (int i = 0; i < kGroups; ++i) {
    std::array<float, kSmallBlock> weights;
    const int begin = kSmallBlock * i;
    iq4_weights(in.x + begin, in.importance == nullptr ? nullptr : in.importance + begin, twice_mean_square,
                weights.data());
    found[i] = search_iq4_scale(in.x + begin, weights.data());
    if (std::abs(found[i]) > std::abs(largest)) largest = found[i];
  }
  const float d = -largest / 32;
  const float inverse = inverse_scale(d);
  store_f16(d, block);
  std::memset(block + 2, 0, 6);
  uint16_t high = 0;
  for (int i = 0; i < kGroups; ++i) {
    const int level = std::clamp(nearest_int(inverse * found[i]), -32, 31);
    std::array<uint8_t, kSmallBlock> codes;
    iq4_codes(in.x + kSmallBlock * i, inverse_scale(d * static_cast<float>(level)), codes.data());
    pack_nibbles<16>(codes.data(), block + 8 + 16 * i);
    const int stored = level + 32;
    block[4 + i / 2] |= static_cast<std::byte>((stored & 15) << i % 2 * 4);
    high |= static_cast<uint16_t>(stored >> 4 << 2 * i);
  }
  std::memcpy(block + 2, &high, sizeof high);
}

}  // namespace

extern const QuantType kIQ4_XSType = {.name = "iq4_xs",
                                      .block = 256,
                                      .parts = ggml_parts<DType::kIQ4_XS>,
                                      .layout = layout,
                                      .unpack_row = ggml_unpack_row<DType::kIQ4_XS, 10, unpack>,
                                      .encode = ggml_encode<DType::kIQ4_XS, encode>};

}  // namespace glimmer
