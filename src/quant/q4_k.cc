// Q4_K: 256 values in groups of 32. w = (d * scale) * q - (dmin * min), q of 4 bits, scale and min of 6.
// Block of 144 bytes: f16 d, f16 dmin, 12 bytes of scales and minima, 4 x 32 bytes of codes, each for 64 columns.
#include "quant/affine_super_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr AffineSuperForm kForm = {
    .group = 32, .max_code = 15, .max_scale = 63, .grid = {.first = -1.0F, .step = 0.1F, .last = 20}};

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU4,
          .scales = WeightScales::kSuperU8,
          .offsets = WeightOffsets::kStored,
          .group = kForm.group};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  unpack_super_u8(block, scales);
  for (int i = 0; i < 4; ++i) unpack_nibbles<32>(block + 16 + 32 * i, codes + 64 * i);
}

void encode(const BlockValues& in, std::byte* block) {
  AffineSuperBlock found = search_affine_super_block(kForm, in, block);
  pack_six_bit_scales(found, block + 4);
  recode_affine_super_block(kForm, in.x, found);
  for (int i = 0; i < 4; ++i) pack_nibbles<32>(&found.codes[64 * i], block + 16 + 32 * i);
}

}  // namespace

extern const QuantType kQ4_KType = {.name = "q4_k",
                                    .block = 256,
                                    .parts = ggml_parts<DType::kQ4_K>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ4_K, 20, unpack>,
                                    .encode = ggml_encode<DType::kQ4_K, encode>};

}  // namespace glimmer
