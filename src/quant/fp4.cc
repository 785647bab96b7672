// 4-bit floats (e2m1) with the scales in a tensor of their own, two codes a byte, the first in the low half. Read only.
//   nvfp4      groups of 16, scales f8 e4m3, and one scale of the whole tensor (tensor_scale). As compressed-tensors
//              names its parts; modelopt's and MLX's have the same bytes under other names.
//   mlx_mxfp4  groups of 32, scales 2^(byte - 127): MLX's mode mxfp4. (ggml's mxfp4 has scales and codes in blocks.)
#include <array>
#include <cstring>

#include "base/check.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr std::array<float, 16> kTable = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                          -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

std::vector<QuantPart> nvfp4_parts(const QuantParams&, int64_t rows, int64_t columns) {
  GLIMMER_CHECK(columns % 32 == 0, "{} columns", columns);
  return {{.suffix = ".weight_packed", .dtype = DType::kU8, .shape = {rows, columns / 2}},
          {.suffix = ".weight_scale", .dtype = DType::kF8E4M3, .shape = {rows, columns / 16}}};
}

std::vector<QuantPart> mxfp4_parts(const QuantParams&, int64_t rows, int64_t columns) {
  GLIMMER_CHECK(columns % 32 == 0, "{} columns", columns);
  return {{.suffix = ".weight", .dtype = DType::kU32, .shape = {rows, columns / 8}},
          {.suffix = ".scales", .dtype = DType::kU8, .shape = {rows, columns / 32}}};
}

WeightLayout nvfp4_layout(const QuantParams& params, int64_t) {
  return {.codes = WeightCodes::kTable4,
          .scales = WeightScales::kF8E4M3,
          .group = 16,
          .tensor_scale = params.tensor_scale,
          .table = kTable.data()};
}

WeightLayout mxfp4_layout(const QuantParams&, int64_t) {
  return {.codes = WeightCodes::kTable4, .scales = WeightScales::kE8M0, .group = 32, .table = kTable.data()};
}

template <int64_t kGroup>
void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  const std::byte* packed = matrix.parts[0].data() + row * (matrix.columns / 2);
  for (int64_t i = 0; i < matrix.columns / 2; ++i) {
    codes[2 * i] = packed[i] & std::byte{15};
    codes[2 * i + 1] = packed[i] >> 4;
  }
  const int64_t groups = matrix.columns / kGroup;
  std::memcpy(scales, matrix.parts[1].data() + row * groups, static_cast<size_t>(groups));
}

}  // namespace

extern const QuantType kNvfp4Type = {
    .name = "nvfp4", .block = 32, .parts = nvfp4_parts, .layout = nvfp4_layout, .unpack_row = unpack_row<16>};
extern const QuantType kMlxMxfp4Type = {
    .name = "mlx_mxfp4", .block = 32, .parts = mxfp4_parts, .layout = mxfp4_layout, .unpack_row = unpack_row<32>};

}  // namespace glimmer
