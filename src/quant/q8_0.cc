// Q8_0: 32 values, an f16 scale and signed bytes. w = d * q. Block of 34 bytes: d, codes. Importance changes nothing.
#include <cmath>

#include "quant/signed_byte_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

void encode(const BlockValues& in, std::byte* block) {
  float largest = 0;
  for (int i = 0; i < kSmallBlock; ++i) largest = std::max(largest, std::abs(in.x[i]));
  const float d = largest / 127;
  const float inverse = inverse_scale(d);
  store_f16(d, block);
  for (int i = 0; i < kSmallBlock; ++i) {
    // To nearest, halves away from zero: 0.5 less its last bit cannot lift what lies below a half.
    const float value = inside_signed_byte(in.x[i] * inverse);
    block[2 + i] = static_cast<std::byte>(static_cast<int>(value + std::copysign(0x1.fffffep-2F, value)));
  }
}

}  // namespace

extern const QuantType kQ8_0Type = {.name = "q8_0",
                                    .block = kSmallBlock,
                                    .parts = ggml_parts<DType::kQ8_0>,
                                    .layout = signed_byte_layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ8_0, 2, unpack_signed_bytes>,
                                    .encode = ggml_encode<DType::kQ8_0, encode>};

}  // namespace glimmer
