// Q6_K: 256 values in groups of 16. w = (d * scale) * (q - 32), q of 6 bits, scale a signed byte.
// Block of 210 bytes: 2 x 64 bytes of low halves, each for 128 columns (byte j holds columns j and j + 64), 2 x 32
// bytes of the upper two bits (byte j holds columns j, j + 32, j + 64, j + 96), 16 scales, f16 d.
#include <array>

#include "quant/ggml_block.h"
#include "quant/symmetric_super_block.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr int kHalf = 32;

WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kU6, .scales = WeightScales::kSuperI8, .group = 16, .zero_point = kHalf};
}

void unpack(const std::byte* block, uint8_t* codes, std::byte* scales) {
  std::memcpy(scales, block + 208, 2);
  std::memcpy(scales + 2, block + 192, 16);
  for (int half = 0; half < 2; ++half) {
    std::array<uint8_t, 128> high;
    unpack_nibbles<64>(block + 64 * half, codes + 128 * half);
    unpack_quarters(block + 128 + 32 * half, high.data());
    for (int i = 0; i < 128; ++i) codes[128 * half + i] |= static_cast<uint8_t>(high[i] << 4);
  }
}

void pack(const uint8_t* codes, std::byte* block) {
  for (int half = 0; half < 2; ++half) {
    std::array<uint8_t, 128> high;
    for (int i = 0; i < 128; ++i) high[i] = codes[128 * half + i] >> 4;
    pack_nibbles<64>(codes + 128 * half, block + 64 * half);
    pack_quarters(high.data(), block + 128 + 32 * half);
  }
}

void encode(const BlockValues& in, std::byte* block) {
  std::array<uint8_t, 256> codes;
  std::array<float, 256> squares;
  const float* weights = in.importance;
  if (weights == nullptr) {
    for (int i = 0; i < 256; ++i) squares[i] = in.x[i] * in.x[i];
    weights = squares.data();
  }
  std::array<float, kSymmetricGroups> found;
  for (int i = 0; i < kSymmetricGroups; ++i) {
    found[i] = search_scale(in.x + 16 * i, weights + 16 * i, 16, kHalf, &codes[16 * i]);
  }
  const float largest = signed_largest(found.data());
  if (std::abs(largest) < kLeastMagnitude) {
    std::memset(block, 0, 210);
    return;
  }
  const float inverse = -128.0F / largest;
  std::array<int8_t, kSymmetricGroups> scales;
  for (int i = 0; i < kSymmetricGroups; ++i) {
    scales[i] = static_cast<int8_t>(std::clamp(nearest_int(inverse * found[i]), -128, 127));
  }
  std::memcpy(block + 192, scales.data(), scales.size());
  recode_symmetric_super_block(store_f16(1 / inverse, block + 208), scales.data(), kHalf, in.x, codes.data());
  pack(codes.data(), block);
}

}  // namespace

extern const QuantType kQ6_KType = {.name = "q6_k",
                                    .block = 256,
                                    .parts = ggml_parts<DType::kQ6_K>,
                                    .layout = layout,
                                    .unpack_row = ggml_unpack_row<DType::kQ6_K, 18, unpack>,
                                    .encode = ggml_encode<DType::kQ6_K, encode>};

}  // namespace glimmer
