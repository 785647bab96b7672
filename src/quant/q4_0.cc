// Q4_0: 32 values, an f16 scale and 4-bit codes around 8. w = d * (q - 8); Distributed Llama's Q40 is the same.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/ggml_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU4, .scales = WeightScales::kF16, .group = 32, .zero_point = 8};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block, 2);
  for (int i = 0; i < 16; ++i) {
    const auto byte = static_cast<uint8_t>(block[2 + i]);
    codes[i] = byte & 15;
    codes[i + 16] = byte >> 4;
  }
}

// The value of largest magnitude becomes code 0, which is -8.
void encode(const float* values, const float*, std::byte* block) {
  float largest = 0;
  float signed_largest = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::abs(values[i]) > largest) {
      largest = std::abs(values[i]);
      signed_largest = values[i];
    }
  }
  const float d = signed_largest / -8;
  const float inverse = d != 0 ? 1 / d : 0;
  const uint16_t bits = f32_to_f16(d);
  std::memcpy(block, &bits, 2);
  const auto code = [&](float value) { return std::min(15, static_cast<int>(value * inverse + 8.5F)); };
  for (int i = 0; i < 16; ++i) {
    block[2 + i] = static_cast<std::byte>(code(values[i]) | code(values[i + 16]) << 4);
  }
}

}  // namespace

extern const QuantType kQ4_0Type = {.name = "q4_0",
                                    .block = 32,
                                    .parts = ggml_parts<DType::kQ4_0>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ4_0, 2, unpack>,
                                    .encode = ggml_encode<DType::kQ4_0, encode>};

}  // namespace glimmer
