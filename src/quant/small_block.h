// What the quantisers of Q4_0, Q4_1, Q5_0 and Q5_1 share: 32 values with an f16 scale, and for the _1 types an f16
// minimum.
#pragma once

#include <array>

#include "quant/ggml_block.h"

namespace glimmer {

// Q4_0, and Distributed Llama's Q40, which is the same on disk: d, codes.
inline WeightLayout q4_0_layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU4, .scales = WeightScales::kF16, .group = kSmallBlock, .zero_point = 8};
}
inline void unpack_q4_0(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 2);
  unpack_nibbles<16>(block + 2, codes);
}

using SmallCodes = std::array<uint8_t, kSmallBlock>;

// w = d * (code - half); the value of largest magnitude (the first of equals) becomes code 0, without importance.
// Stores d at `d_out`.
SmallCodes encode_symmetric_block(const BlockValues& in, int half, std::byte* d_out);

// w = d * code + min, from the least value to the largest, without importance. Stores d and min at `d_out`.
SmallCodes encode_affine_block(const BlockValues& in, int max_code, std::byte* d_out);

}  // namespace glimmer
