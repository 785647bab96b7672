// Q4_0: 32 values, an f16 scale and 4-bit codes. w = d * (q - 8). Block of 18 bytes: d, codes.
#include "quant/small_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

void encode(const BlockValues& in, std::byte* block) {
  const SmallCodes codes = encode_symmetric_block(in, 8, block);
  pack_nibbles<16>(codes.data(), block + 2);
}

}  // namespace

extern const QuantType kQ4_0Type = {.name = "q4_0",
                                    .block = kSmallBlock,
                                    .parts = ggml_parts<DType::kQ4_0>,
                                    .layout = q4_0_layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ4_0, 2, unpack_q4_0>,
                                    .encode = ggml_encode<DType::kQ4_0, encode>};

}  // namespace glimmer
