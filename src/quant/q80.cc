// Distributed Llama's Q80: Q8_0 on disk, but its converter rounds halves to even. Importance changes nothing.
// Source: https://github.com/b4rtaz/distributed-llama (converter/writer.py).
#include <cmath>

#include "quant/scale_search.h"
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
    block[2 + i] = static_cast<std::byte>(nearest_int(inside_signed_byte(in.x[i] * inverse)));
  }
}

}  // namespace

extern const QuantType kQ80Type = {.name = "q80",
                                   .block = kSmallBlock,
                                   .parts = ggml_parts<DType::kQ8_0>,
                                   .layout = signed_byte_layout,
                                   .unpack_row = ggml_unpack_row<DType::kQ8_0, 2, unpack_signed_bytes>,
                                   .encode = ggml_encode<DType::kQ8_0, encode>};

}  // namespace glimmer
