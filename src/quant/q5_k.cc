// Q5_K: 256 values in groups of 32. w = (d * scale) * q - (dmin * min), q of 5 bits, scale and min of 6.
// Block of 176 bytes: as Q4_K, with 32 bytes of fifth bits before the codes: bit i of byte j is column 32 * i + j's.
#include "quant/affine_super_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr AffineSuperForm kForm = {
    .group = 32, .max_code = 31, .max_scale = 63, .grid = {.first = -0.5F, .step = 0.1F, .last = 15}};

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU5,
          .scales = WeightScales::kSuperU8,
          .offsets = WeightOffsets::kStored,
          .group = kForm.group};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  unpack_super_u8(block, scales);
  for (int i = 0; i < 4; ++i) unpack_nibbles<32>(block + 48 + 32 * i, codes + 64 * i);
  add_bit_columns<4>(block + 16, codes);
}

void encode(const BlockValues& in, std::byte* block) {
  AffineSuperBlock found = search_affine_super_block(kForm, in, block);
  pack_six_bit_scales(found, block + 4);
  recode_affine_super_block(kForm, in.x, found);
  std::memset(block + 16, 0, 32);
  for (int i = 0; i < 256; ++i) block[16 + i % 32] |= static_cast<std::byte>((found.codes[i] >> 4 & 1) << i / 32);
  for (int i = 0; i < 4; ++i) pack_nibbles<32>(&found.codes[64 * i], block + 48 + 32 * i);
}

}  // namespace

extern const QuantType kQ5_KType = {.name = "q5_k",
                                    .block = 256,
                                    .parts = ggml_parts<DType::kQ5_K>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ5_K, 20, unpack>,
                                    .encode = ggml_encode<DType::kQ5_K, encode>};

}  // namespace glimmer
