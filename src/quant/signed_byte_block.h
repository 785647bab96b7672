// What Q8_0 and Distributed Llama's Q80, which is the same on disk, share.
#pragma once

#include "quant/ggml_block.h"

namespace glimmer {

inline WeightLayout signed_byte_layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU8, .scales = WeightScales::kF16, .group = kSmallBlock, .zero_point = 128};
}

inline void unpack_signed_bytes(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 2);
  for (int i = 0; i < kSmallBlock; ++i) codes[i] = static_cast<uint8_t>(block[2 + i]) ^ 0x80;
}

// 0 for what a signed byte cannot hold, which takes a scale beyond f32's range.
inline float inside_signed_byte(float value) { return value > -128.5F && value < 127.5F ? value : 0; }

}  // namespace glimmer
