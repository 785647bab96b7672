// Distributed Llama's Q40: Q4_0 on disk. Its converter quantises as ggml does but for one thing: where the largest and
// the least value are equally far from zero, the positive one becomes code 0, wherever it stands.
// Source: https://github.com/b4rtaz/distributed-llama (converter/writer.py). Importance changes nothing.
#include "quant/small_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

// In numpy's f32, the division and the multiplication by its inverse with the scale before it is rounded to f16; codes
// are cut off towards zero.
void encode(const BlockValues& in, std::byte* block) {
  const auto [least, largest] = std::minmax_element(in.x, in.x + kSmallBlock);
  const float d = (-*least > *largest ? *least : *largest) / -8;
  const float inverse = inverse_scale(d);
  store_f16(d, block);
  SmallCodes codes;
  for (int i = 0; i < kSmallBlock; ++i) {
    codes[i] = cut_code(std::clamp(in.x[i] * inverse + 8.5F, 0.0F, 15.0F), 15);
  }
  pack_nibbles<16>(codes.data(), block + 2);
}

}  // namespace

extern const QuantType kQ40Type = {.name = "q40",
                                   .block = kSmallBlock,
                                   .parts = ggml_parts<DType::kQ4_0>,
                                   .layout = q4_0_layout,
                                   .unpack_row = ggml_unpack_row<DType::kQ4_0, 2, unpack_q4_0>,
                                   .encode = ggml_encode<DType::kQ4_0, encode>};

}  // namespace glimmer
