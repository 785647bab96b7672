// compressed-tensors' "pack-quantized" integers of 4 or 8 bits: codes stored with 2^(bits - 1) added, in a
// little-endian bit stream of 32-bit words, with scales for groups of columns (group 0: all columns).
//   weight_packed      I32 [rows, columns * bits / 32]
//   weight_scale       f32, bf16 or f16 [rows, columns / group]
//   weight_shape       I64 [2]: rows, columns
//   weight_zero_point  I32 [ceil(rows * bits / 32), columns / group], unless symmetric: packed along the rows, stored
//                      with 2^(bits - 1) added as well, so that w = scale * (stored code - stored zero)
// Read only.
#include "quant/bit_stream.h"
#include "quant/column_codes.h"
#include "quant/types.h"

namespace glimmer {
namespace {

std::vector<QuantPart> parts(const QuantParams& params, int64_t rows, int64_t columns) {
  const int64_t groups = check_column_groups(params, columns);
  GLIMMER_CHECK(params.bits == 4 || params.bits == 8, "{} bits", params.bits);
  const int64_t codes = 32 / params.bits;
  std::vector<QuantPart> list = {
      {.suffix = ".weight_packed", .dtype = DType::kI32, .shape = {rows, columns / codes}},
      {.suffix = ".weight_scale", .dtype = params.scale_dtype, .shape = {rows, groups}},
      {.suffix = ".weight_shape", .dtype = DType::kI64, .shape = {2}, .matrix_rows = 0},
  };
  if (!params.symmetric) {
    list.push_back({.suffix = ".weight_zero_point",
                    .dtype = DType::kI32,
                    .shape = {(rows + codes - 1) / codes, groups},
                    .matrix_rows = codes});
  }
  return list;
}

WeightLayout layout(const QuantParams& params, int64_t columns) {
  WeightLayout result = column_codes_layout(params, columns);
  if (!params.symmetric) return result;
  result.offsets = WeightOffsets::kZeroPoint;
  result.zero_point = params.bits == 8 ? 128 : 8;
  return result;
}

void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  const int bits = matrix.params.bits;
  const std::byte* packed = matrix.parts[0].data() + row * (matrix.columns * bits / 8);
  auto* out = reinterpret_cast<uint8_t*>(codes);
  bits == 8 ? unpack_bit_stream<8>(packed, matrix.columns, out) : unpack_bit_stream<4>(packed, matrix.columns, out);

  const auto bytes = static_cast<int64_t>(dtype_size_bytes(matrix.params.scale_dtype));
  const int64_t groups = matrix.columns / column_group(matrix.params, matrix.columns);
  const std::byte* scale = matrix.parts[1].data() + row * groups * bytes;
  if (matrix.params.symmetric) {
    std::memcpy(scales, scale, static_cast<size_t>(groups * bytes));
    return;
  }
  const int64_t count = 32 / bits;
  for (int64_t group = 0; group < groups; ++group, scales += bytes + 1) {
    std::memcpy(scales, scale + group * bytes, static_cast<size_t>(bytes));
    const uint32_t word = load_word(matrix.parts[3], row / count * groups + group);
    scales[bytes] = static_cast<std::byte>(word >> (row % count * bits) & ((1U << bits) - 1));
  }
}

}  // namespace

extern const QuantType kCtIntType = {
    .name = "ct_int", .block = 32, .parts = parts, .layout = layout, .unpack_row = unpack_row};

}  // namespace glimmer
