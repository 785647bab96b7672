// MLX's affine types: codes of 2 to 8 bits in a little-endian bit stream of u32, a scale and a bias for each group of
// 32, 64 (also if the parameters name no group) or 128 columns, in the model's element type. w = scale * q + bias.
#include <algorithm>
#include <array>
#include <cmath>

#include "quant/bit_stream.h"
#include "quant/stored_floats.h"
#include "quant/types.h"

namespace glimmer {
namespace {

int64_t group_of(const QuantParams& params) { return params.group == 0 ? 64 : params.group; }

template <int kBits>
std::vector<QuantPart> parts(const QuantParams& params, int64_t rows, int64_t columns) {
  const int64_t group = group_of(params);
  GLIMMER_CHECK((group == 32 || group == 64 || group == 128) && columns % group == 0, "{} columns in groups of {}",
                columns, group);
  return {{.suffix = ".weight", .dtype = DType::kU32, .shape = {rows, columns * kBits / 32}},
          {.suffix = ".scales", .dtype = params.scale_dtype, .shape = {rows, columns / group}},
          {.suffix = ".biases", .dtype = params.scale_dtype, .shape = {rows, columns / group}}};
}

template <WeightCodes kCodes>
WeightLayout layout(const QuantParams& params, int64_t) {
  return {.codes = kCodes,
          .scales = weight_scales_of(params.scale_dtype),
          .offsets = WeightOffsets::kStored,
          .group = group_of(params)};
}

template <int kBits>
void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  unpack_bit_stream<kBits>(matrix.parts[0].data() + row * (matrix.columns * kBits / 8), matrix.columns,
                           reinterpret_cast<uint8_t*>(codes));
  const int64_t groups = matrix.columns / group_of(matrix.params);
  const auto bytes = static_cast<int64_t>(dtype_size_bytes(matrix.params.scale_dtype));
  const std::byte* scale = matrix.parts[1].data() + row * groups * bytes;
  const std::byte* bias = matrix.parts[2].data() + row * groups * bytes;
  for (int64_t i = 0; i < groups * bytes; i += bytes, scales += 2 * bytes) {
    std::memcpy(scales, scale + i, static_cast<size_t>(bytes));
    std::memcpy(scales + bytes, bias + i, static_cast<size_t>(bytes));
  }
}

struct Affine {
  float scale;
  float bias;
};

// The end of the range that is farther from 0 becomes a multiple of the scale, so that 0 is exact as well. The order of
// operations is mx.quantize's on the CPU: all in f32, codes from the scale before it is rounded.
Affine fit(const float* values, int64_t group, float largest_code) {
  const auto [smallest, largest] = std::minmax_element(values, values + group);
  const bool below = std::abs(*smallest) > std::abs(*largest);
  float scale = std::max((*largest - *smallest) / largest_code, 1e-7F);
  if (!below) scale = -scale;
  const float edge = below ? *smallest : *largest;
  const float edge_code = std::rint(edge / scale);
  if (edge_code == 0) return {scale, 0};
  return {edge / edge_code, edge};
}

template <int kBits>
void encode(const QuantParams& params, const float* values, int64_t rows, int64_t columns, const float*,
            std::span<std::byte* const> out) {
  constexpr float kLargestCode = (1 << kBits) - 1;
  const int64_t group = group_of(params);
  std::array<float, 128> rounded;  // a model is cast to its element type before it is quantised
  std::array<uint8_t, 128> codes;
  for (int64_t i = 0; i < rows * columns / group; ++i) {
    for (int64_t j = 0; j < group; ++j) rounded[j] = round_float(params.scale_dtype, values[i * group + j]);
    const Affine affine = fit(rounded.data(), group, kLargestCode);
    for (int64_t j = 0; j < group; ++j) {
      const float code = std::rint((rounded[j] - affine.bias) / affine.scale);
      codes[j] = code > 0 ? static_cast<uint8_t>(std::min(code, kLargestCode)) : 0;  // NaN: 0
    }
    pack_bit_stream<kBits>(codes.data(), group, out[0] + i * group * kBits / 8);
    store_float(params.scale_dtype, affine.scale, out[1], i);
    store_float(params.scale_dtype, affine.bias, out[2], i);
  }
}

template <int kBits, WeightCodes kCodes>
constexpr QuantType mlx_type(std::string_view name) {
  return {.name = name,
          .block = 32,
          .parts = parts<kBits>,
          .layout = layout<kCodes>,
          .unpack_row = unpack_row<kBits>,
          .encode = encode<kBits>};
}

}  // namespace

extern const QuantType kMlx2Type = mlx_type<2, WeightCodes::kU2>("mlx2");
extern const QuantType kMlx3Type = mlx_type<3, WeightCodes::kU3>("mlx3");
extern const QuantType kMlx4Type = mlx_type<4, WeightCodes::kU4>("mlx4");
extern const QuantType kMlx5Type = mlx_type<5, WeightCodes::kU5>("mlx5");
extern const QuantType kMlx6Type = mlx_type<6, WeightCodes::kU6>("mlx6");
extern const QuantType kMlx8Type = mlx_type<8, WeightCodes::kU8>("mlx8");

}  // namespace glimmer
