// IQ4_NL: 32 values, an f16 scale and 4-bit indices of a table. w = d * table[q]. Block of 18 bytes: d, codes.
#include <array>

#include "quant/ggml_block.h"
#include "quant/scale_search.h"
#include "quant/types.h"

namespace glimmer {
namespace {

WeightLayout layout(const QuantParams&, int64_t) {
  return {
      .codes = WeightCodes::kTable4, .scales = WeightScales::kF16, .group = kSmallBlock, .table = kIq4Values.data()};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 2);
  unpack_nibbles<16>(block + 2, codes);
}

void encode(const BlockValues& in, std::byte* block) {
  std::array<float, kSmallBlock> weights;
  iq4_weights(in.x, in.importance, 2 * mean_square(in.x, kSmallBlock), weights.data());
  const float scale = search_iq4_scale(in.x, weights.data());
  store_f16(scale, block);
  std::array<uint8_t, kSmallBlock> codes;
  iq4_codes(in.x, inverse_scale(scale), codes.data());
  pack_nibbles<16>(codes.data(), block + 2);
}

}  // namespace

extern const QuantType kIQ4_NLType = {.name = "iq4_nl",
                                      .block = kSmallBlock,
                                      .parts = ggml_parts<DType::kIQ4_NL>,
                                      .layout = layout,
                                      .unpack_row = ggml_unpack_row<DType::kIQ4_NL, 2, unpack>,
                                      .encode = ggml_encode<DType::kIQ4_NL, encode>};

}  // namespace glimmer
