// f32, f16, bf16: kept as they are.
#include <cmath>
#include <cstring>

#include "quant/types.h"

namespace glimmer {
namespace {

template <DType kDType>
std::vector<QuantPart> parts(const QuantParams&, int64_t rows, int64_t columns) {
  return {{.suffix = ".weight", .dtype = kDType, .shape = {rows, columns}}};
}

template <WeightCodes kCodes>
WeightLayout layout(const QuantParams&, int64_t) {
  return {.codes = kCodes};
}

template <DType kDType>
void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte*) {
  const size_t row_bytes = dtype_bytes(kDType, matrix.columns);
  std::memcpy(codes, matrix.parts[0].data() + static_cast<size_t>(row) * row_bytes, row_bytes);
}

void encode_f32(const QuantParams&, const float* values, int64_t rows, int64_t columns, const float*,
                std::span<std::byte* const> out) {
  std::memcpy(out[0], values, static_cast<size_t>(rows * columns) * sizeof(float));
}

template <uint16_t (*kConvert)(float)>
void encode_16_bit(const QuantParams&, const float* values, int64_t rows, int64_t columns, const float*,
                   std::span<std::byte* const> out) {
  for (int64_t i = 0; i < rows * columns; ++i) {
    const uint16_t bits = kConvert(values[i]);
    std::memcpy(out[0] + 2 * i, &bits, sizeof bits);
  }
}

}  // namespace

extern const QuantType kF32Type = {.name = "f32",
                                   .parts = parts<DType::kF32>,
                                   .layout = layout<WeightCodes::kF32>,
                                   .unpack_row = unpack_row<DType::kF32>,
                                   .encode = encode_f32};
extern const QuantType kF16Type = {.name = "f16",
                                   .parts = parts<DType::kF16>,
                                   .layout = layout<WeightCodes::kF16>,
                                   .unpack_row = unpack_row<DType::kF16>,
                                   .encode = encode_16_bit<f32_to_f16>};
extern const QuantType kBf16Type = {.name = "bf16",
                                    .parts = parts<DType::kBF16>,
                                    .layout = layout<WeightCodes::kBF16>,
                                    .unpack_row = unpack_row<DType::kBF16>,
                                    .encode = encode_16_bit<f32_to_bf16>};

}  // namespace glimmer
