// Q2_K: 256 values in groups of 16. w = (d * scale) * q - (dmin * min), q of 2 bits.
// Block of 84 bytes: 16 x (scale low, min high, 4 bits each), 64 bytes of codes, f16 d, f16 dmin.
#include "quant/affine_super_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr AffineSuperForm kForm = {.group = 16,
                                   .max_code = 3,
                                   .max_scale = 15,
                                   .grid = {.first = -0.5F, .step = 0.1F, .last = 15},
                                   .error = SearchError::kAbsolute};

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU2,
          .scales = WeightScales::kSuperU4,
          .offsets = WeightOffsets::kStored,
          .group = kForm.group};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block + 80, 4);
  std::memcpy(scales + 4, block, 16);
  for (int half = 0; half < 2; ++half) unpack_quarters(block + 16 + 32 * half, codes + 128 * half);
}

void encode(const BlockValues& in, std::byte* block) {
  AffineSuperBlock found = search_affine_super_block(kForm, in, block + 80);
  for (int i = 0; i < 16; ++i) {
    const auto both = static_cast<uint8_t>(found.scales[i] | found.mins[i] << 4);
    block[i] = static_cast<std::byte>(both);
    found.scales[i] = both & 15;
    found.mins[i] = both >> 4;
  }
  recode_affine_super_block(kForm, in.x, found);
  for (int half = 0; half < 2; ++half) pack_quarters(&found.codes[128 * half], block + 16 + 32 * half);
}

}  // namespace

extern const QuantType kQ2_KType = {.name = "q2_k",
                                    .block = 256,
                                    .parts = ggml_parts<DType::kQ2_K>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ2_K, 20, unpack>,
                                    .encode = ggml_encode<DType::kQ2_K, encode>};

}  // namespace glimmer
