// Q8_0: 32 values, an f16 scale and signed bytes. w = d * q.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/ggml_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU8, .scales = WeightScales::kF16, .group = 32, .zero_point = 128};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 2);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(block[2 + i]) ^ 0x80;
}

void encode(const float* values, const float*, std::byte* block) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::abs(values[i]));
  const float d = largest / 127;
  const float inverse = d != 0 ? 1 / d : 0;
  const uint16_t bits = f32_to_f16(d);
  std::memcpy(block, &bits, 2);
  for (int i = 0; i < 32; ++i) {
    block[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::round(values[i] * inverse)));
  }
}

}  // namespace

extern const QuantType kQ8_0Type = {.name = "q8_0",
                                    .block = 32,
                                    .parts = ggml_parts<DType::kQ8_0>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ8_0, 2, unpack>,
                                    .encode = ggml_encode<DType::kQ8_0, encode>};

}  // namespace glimmer
