// Q5_0: 32 values, an f16 scale and 5-bit codes. w = d * (q - 16). Block of 22 bytes: d, fifth bits, lower four.
#include "quant/small_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU5, .scales = WeightScales::kF16, .group = kSmallBlock, .zero_point = 16};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 2);
  unpack_nibbles<16>(block + 6, codes);
  add_fifth_bits(block + 2, codes);
}

void encode(const BlockValues& in, std::byte* block) {
  const SmallCodes codes = encode_symmetric_block(in, 16, block);
  pack_fifth_bits(codes.data(), block + 2);
  pack_nibbles<16>(codes.data(), block + 6);
}

}  // namespace

extern const QuantType kQ5_0Type = {.name = "q5_0",
                                    .block = kSmallBlock,
                                    .parts = ggml_parts<DType::kQ5_0>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ5_0, 2, unpack>,
                                    .encode = ggml_encode<DType::kQ5_0, encode>};

}  // namespace glimmer
