// Q4_1: 32 values, an f16 scale and minimum and 4-bit codes. w = d * q + min. Block of 20 bytes: d, min, codes.
#include "quant/small_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

WeightLayout layout(const QuantParams&, int64_t) {
  return {
      .codes = WeightCodes::kU4, .scales = WeightScales::kF16, .offsets = WeightOffsets::kStored, .group = kSmallBlock};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 4);
  unpack_nibbles<16>(block + 4, codes);
}

void encode(const BlockValues& in, std::byte* block) {
  const SmallCodes codes = encode_affine_block(in, 15, block);
  pack_nibbles<16>(codes.data(), block + 4);
}

}  // namespace

extern const QuantType kQ4_1Type = {.name = "q4_1",
                                    .block = kSmallBlock,
                                    .parts = ggml_parts<DType::kQ4_1>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ4_1, 4, unpack>,
                                    .encode = ggml_encode<DType::kQ4_1, encode>};

}  // namespace glimmer
