// MXFP4 (OCP microscaling): 32 values, a power of two and 4-bit floats (1 sign, 2 exponent, 1 mantissa bits).
// w = 2^(e - 127) * table[q]. Block of 17 bytes: e, codes. ggml has a table of twice the values and half the scale,
// which is the same but for e = 255: NaN here and in the standard, 2^127 there. Importance changes nothing.
// Encoding differs from ggml for blocks whose largest magnitude is below 2^-125: there its exponent wraps around.
#include <array>
#include <cmath>

#include "quant/ggml_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr std::array<float, 16> kTable = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, 0, -0.5F, -1, -1.5F, -2, -3, -4, -6};

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kTable4, .scales = WeightScales::kE8M0, .group = kSmallBlock, .table = kTable.data()};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  scales[0] = block[0];
  unpack_nibbles<16>(block + 1, codes);
}

// The exponent that brings the largest magnitude to [4, 8), of which what is above 6 is cut off.
uint8_t exponent_of(const float* x) {
  float largest = 0;
  for (int i = 0; i < kSmallBlock; ++i) largest = std::max(largest, std::abs(x[i]));
  if (!(largest > 0)) return 0;
  return static_cast<uint8_t>(std::clamp(std::floor(std::log2(largest)) - 2 + 127, 0.0F, 254.0F));
}

void encode(const BlockValues& in, std::byte* block) {
  const uint8_t exponent = exponent_of(in.x);
  const float scale = f8e8m0_to_f32(exponent);
  std::array<float, 7> middles;
  for (int i = 0; i < 7; ++i) middles[i] = (kTable[i] + kTable[i + 1]) / 2 * scale;
  std::array<uint8_t, kSmallBlock> codes;
  for (int i = 0; i < kSmallBlock; ++i) {
    const float magnitude = std::abs(in.x[i]);
    int code = 0;
    for (const float middle : middles) code += magnitude > middle;  // halfway: the lower
    codes[i] = static_cast<uint8_t>(code + (in.x[i] < 0 && code != 0 ? 8 : 0));
  }
  block[0] = static_cast<std::byte>(exponent);
  pack_nibbles<16>(codes.data(), block + 1);
}

}  // namespace

extern const QuantType kMXFP4Type = {.name = "mxfp4",
                                     .block = kSmallBlock,
                                     .parts = ggml_parts<DType::kMXFP4>,
                                     .layout = layout,
                                     .unpack_row = ggml_unpack_row<DType::kMXFP4, 1, unpack>,
                                     .encode = ggml_encode<DType::kMXFP4, encode>};

}  // namespace glimmer
