// NF4 as bitsandbytes writes it: blocks of the flattened matrix (`group` columns, mostly 64), 4-bit codes into a table
// of 16 quantiles of the normal distribution, two a byte with the first in the high half. w = absmax * table[code].
//   nf4         absmax in f32
//   nf4_nested  ("double quantised", read only) absmax as bytes: nested_quant_map[byte] * nested_absmax[block / 256] +
//               scale_offset, in f32. The scales are kept as f32 in memory: 4.5 bits a weight, of 4.13 on disk.
#include <algorithm>
#include <array>
#include <cmath>

#include "quant/nf4.h"
#include "quant/stored_floats.h"
#include "quant/types.h"

namespace glimmer {
namespace {

constexpr std::array<float, 16> kTable = {
    -1.0F,
    -0.6961928009986877F,
    -0.5250730514526367F,
    -0.39491748809814453F,
    -0.28444138169288635F,
    -0.18477343022823334F,
    -0.09105003625154495F,
    0.0F,
    0.07958029955625534F,
    0.16093020141124725F,
    0.24611230194568634F,
    0.33791524171829224F,
    0.44070982933044434F,
    0.5626170039176941F,
    0.7229568362236023F,
    1.0F,
};
constexpr int64_t kNestedBlock = 256;  // bytes of absmax that share a nested_absmax

int64_t group_of(const QuantParams& params) { return params.group == 0 ? 64 : params.group; }

void check_group(const QuantParams& params, int64_t columns) {
  const int64_t group = group_of(params);
  GLIMMER_CHECK((group == 64 || group == 128 || group == 256) && columns % group == 0, "{} columns in blocks of {}",
                columns, group);
}

std::string bytes_of(const std::array<float, 16>& values) {
  return {reinterpret_cast<const char*>(values.data()), sizeof values};
}

// dtype is what bitsandbytes expands to: that of the published GLM checkpoints.
std::string quant_state(const QuantParams& params, int64_t rows, int64_t columns) {
  return fmt::format(R"({{"quant_type": "nf4", "blocksize": {}, "dtype": "bfloat16", "shape": [{}, {}]}})",
                     group_of(params), rows, columns);
}

std::vector<QuantPart> parts(const QuantParams& params, int64_t rows, int64_t columns) {
  check_group(params, columns);
  std::string state = quant_state(params, rows, columns);
  const auto state_bytes = static_cast<int64_t>(state.size());
  return {{.suffix = ".weight", .dtype = DType::kU8, .shape = {rows * columns / 2, 1}},
          {.suffix = ".weight.absmax", .dtype = DType::kF32, .shape = {rows * columns / group_of(params)}},
          {.suffix = ".weight.quant_map",
           .dtype = DType::kF32,
           .shape = {16},
           .matrix_rows = 0,
           .content = bytes_of(kTable)},
          {.suffix = ".weight.quant_state.bitsandbytes__nf4",
           .dtype = DType::kU8,
           .shape = {state_bytes},
           .matrix_rows = 0,
           .content = std::move(state)}};
}

std::vector<QuantPart> nested_parts(const QuantParams& params, int64_t rows, int64_t columns) {
  check_group(params, columns);
  const int64_t blocks = rows * columns / group_of(params);
  return {{.suffix = ".weight", .dtype = DType::kU8, .shape = {rows * columns / 2, 1}},
          {.suffix = ".weight.absmax", .dtype = DType::kU8, .shape = {blocks}},
          {.suffix = ".weight.nested_absmax",
           .dtype = DType::kF32,
           .shape = {(blocks + kNestedBlock - 1) / kNestedBlock},
           .matrix_rows = 0},
          {.suffix = ".weight.nested_quant_map", .dtype = DType::kF32, .shape = {256}, .matrix_rows = 0}};
}

WeightLayout layout(const QuantParams& params, int64_t) {
  return {
      .codes = WeightCodes::kTable4, .scales = WeightScales::kF32, .group = group_of(params), .table = kTable.data()};
}

void unpack_codes(const EncodedMatrix& matrix, int64_t row, std::byte* codes) {
  const std::byte* packed = matrix.parts[0].data() + row * (matrix.columns / 2);
  for (int64_t i = 0; i < matrix.columns / 2; ++i) {
    codes[2 * i] = packed[i] >> 4;
    codes[2 * i + 1] = packed[i] & std::byte{15};
  }
}

void unpack_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  unpack_codes(matrix, row, codes);
  const auto bytes = static_cast<int64_t>(sizeof(float)) * (matrix.columns / group_of(matrix.params));
  std::memcpy(scales, matrix.parts[1].data() + row * bytes, static_cast<size_t>(bytes));
}

void unpack_nested_row(const EncodedMatrix& matrix, int64_t row, std::byte* codes, std::byte* scales) {
  unpack_codes(matrix, row, codes);
  const int64_t count = matrix.columns / group_of(matrix.params);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t block = row * count + i;
    const float value = load_float(DType::kF32, matrix.parts[3].data(), static_cast<uint8_t>(matrix.parts[1][block]));
    const float product = value * load_float(DType::kF32, matrix.parts[2].data(), block / kNestedBlock);
    store_float(DType::kF32, product + matrix.params.scale_offset, scales, i);
  }
}

// Half-way points between neighbours of the table: a value on one takes the lower code.
const std::array<float, 15>& bounds() {
  static const std::array<float, 15> points = [] {
    std::array<float, 15> middle{};
    for (size_t i = 0; i < middle.size(); ++i) middle[i] = (kTable[i] + kTable[i + 1]) / 2;
    return middle;
  }();
  return points;
}

uint8_t code_of(float scaled) {
  const auto& points = bounds();
  return static_cast<uint8_t>(std::lower_bound(points.begin(), points.end(), scaled) - points.begin());
}

void encode(const QuantParams& params, const float* values, int64_t rows, int64_t columns, const float*,
            std::span<std::byte* const> out) {
  const int64_t group = group_of(params);
  for (int64_t block = 0; block < rows * columns / group; ++block) {
    const float* at = values + block * group;
    float absmax = 0;
    for (int64_t i = 0; i < group; ++i) absmax = std::max(absmax, std::abs(at[i]));
    store_float(DType::kF32, absmax, out[1], block);
    const float inverse = 1.0F / std::max(absmax, 1e-38F);
    const auto code = [&](int64_t i) { return code_of(std::clamp(at[i] * inverse, -1.0F, 1.0F)); };
    std::byte* packed = out[0] + block * (group / 2);
    for (int64_t i = 0; i < group / 2; ++i) {
      packed[i] = static_cast<std::byte>(code(2 * i) << 4 | code(2 * i + 1));
    }
  }
}

}  // namespace

std::span<const float, 16> nf4_table() { return kTable; }

extern const QuantType kNf4Type = {
    .name = "nf4", .block = 64, .parts = parts, .layout = layout, .unpack_row = unpack_row, .encode = encode};
extern const QuantType kNf4NestedType = {
    .name = "nf4_nested", .block = 64, .parts = nested_parts, .layout = layout, .unpack_row = unpack_nested_row};

}  // namespace glimmer
