// Q5_1: 32 values, an f16 scale and minimum and 5-bit codes. w = d * q + min. Block of 24 bytes: d, min, fifth bits,
// lower four.
#include "quant/small_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

WeightLayout layout(const QuantParams&, int64_t) {
  return {
      .codes = WeightCodes::kU5, .scales = WeightScales::kF16, .offsets = WeightOffsets::kStored, .group = kSmallBlock};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 4);
  unpack_nibbles<16>(block + 8, codes);
  add_fifth_bits(block + 4, codes);
}

void encode(const BlockValues& in, std::byte* block) {
  const SmallCodes codes = encode_affine_block(in, 31, block);
  pack_fifth_bits(codes.data(), block + 4);
  pack_nibbles<16>(codes.data(), block + 8);
}

}  // namespace

extern const QuantType kQ5_1Type = {.name = "q5_1",
                                    .block = kSmallBlock,
                                    .parts = ggml_parts<DType::kQ5_1>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ5_1, 4, unpack>,
                                    .encode = ggml_encode<DType::kQ5_1, encode>};

}  // namespace glimmer
