#include "tensor/weight_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "tensor/dtype.h"

namespace glimmer {
namespace {

constexpr int64_t kBlock = 32;   // columns whose codes are packed together
constexpr int64_t kSuper = 256;  // columns of a super-block of scales

struct Planes {
  int low_bits;   // 4, 2, or 8: a byte a code
  int high_bits;  // 0, 1 or 2
};

Planes planes_of(WeightCodes codes) {
  switch (codes) {
    case WeightCodes::kU2:
      return {2, 0};
    case WeightCodes::kU3:
      return {2, 1};
    case WeightCodes::kU4:
    case WeightCodes::kTable4:
      return {4, 0};
    case WeightCodes::kU5:
      return {4, 1};
    case WeightCodes::kU6:
      return {4, 2};
    default:
      return {8, 0};
  }
}

bool is_packed(WeightCodes codes) { return planes_of(codes).low_bits != 8; }

int64_t plane_bytes(int bits) { return kBlock * bits / 8; }

// Where code i of a block lies in a plane of `bits` bits.
struct Place {
  int64_t byte;
  int shift;
};
Place place_of(int bits, int64_t i) {
  if (bits == 1) return {i / 8, static_cast<int>(i % 8)};
  const int64_t bytes = plane_bytes(bits);
  return {i % bytes, static_cast<int>(i / bytes) * bits};
}

uint32_t plane_code(const std::byte* plane, int bits, int64_t i) {
  const Place place = place_of(bits, i);
  return static_cast<uint32_t>(plane[place.byte]) >> place.shift & ((1U << bits) - 1);
}

uint32_t packed_code(Planes planes, const std::byte* row, int64_t column) {
  const std::byte* block = row + column / kBlock * (plane_bytes(planes.low_bits) + plane_bytes(planes.high_bits));
  const int64_t i = column % kBlock;
  uint32_t code = plane_code(block, planes.low_bits, i);
  if (planes.high_bits != 0) {
    code |= plane_code(block + plane_bytes(planes.low_bits), planes.high_bits, i) << planes.low_bits;
  }
  return code;
}

template <typename T>
T read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// What scales and offsets are multiplied by: the value of a code before them.
float code_value(const WeightLayout& layout, const std::byte* row, int64_t column) {
  switch (layout.codes) {
    case WeightCodes::kF32:
      return read<float>(row + 4 * column);
    case WeightCodes::kBF16:
      return bf16_to_f32(read<uint16_t>(row + 2 * column));
    case WeightCodes::kF16:
      return f16_to_f32(read<uint16_t>(row + 2 * column));
    case WeightCodes::kF8E4M3:
      return f8e4m3_to_f32(read<uint8_t>(row + column));
    case WeightCodes::kU8:
      return read<uint8_t>(row + column);
    case WeightCodes::kTable4:
      return layout.table[packed_code(planes_of(layout.codes), row, column)];
    default:
      return static_cast<float>(packed_code(planes_of(layout.codes), row, column));
  }
}

int64_t scalar_bytes(WeightScales scales) {
  switch (scales) {
    case WeightScales::kF32:
      return 4;
    case WeightScales::kF16:
    case WeightScales::kBF16:
      return 2;
    default:
      return 1;
  }
}

float read_scalar(WeightScales scales, const std::byte* at) {
  switch (scales) {
    case WeightScales::kF32:
      return read<float>(at);
    case WeightScales::kF16:
      return f16_to_f32(read<uint16_t>(at));
    case WeightScales::kBF16:
      return bf16_to_f32(read<uint16_t>(at));
    case WeightScales::kE8M0:
      return f8e8m0_to_f32(read<uint8_t>(at));
    default:
      return f8e4m3_to_f32(read<uint8_t>(at));
  }
}

bool is_super(WeightScales scales) {
  return scales == WeightScales::kSuperI8 || scales == WeightScales::kSuperU8 || scales == WeightScales::kSuperU4;
}

// Bytes that a group takes beside the super-block's own d and dmin.
int64_t group_bytes(const WeightLayout& layout) {
  if (is_super(layout.scales)) return layout.scales == WeightScales::kSuperU8 ? 2 : 1;
  const int64_t scalar = scalar_bytes(layout.scales);
  if (layout.offsets == WeightOffsets::kStored) return 2 * scalar;
  return scalar + (layout.offsets == WeightOffsets::kCode8 ? 1 : 0);
}

int64_t super_head_bytes(const WeightLayout& layout) { return layout.scales == WeightScales::kSuperI8 ? 2 : 4; }

int64_t super_bytes(const WeightLayout& layout) {
  return super_head_bytes(layout) + kSuper / layout.group * group_bytes(layout);
}

void decode_super(const WeightLayout& layout, const std::byte* scale_row, int64_t group, float* scale, float* offset) {
  const int64_t a_super = kSuper / layout.group;
  const std::byte* record = scale_row + group / a_super * super_bytes(layout);
  const std::byte* part = record + super_head_bytes(layout) + group % a_super * group_bytes(layout);
  const float d = f16_to_f32(read<uint16_t>(record)) * layout.tensor_scale;
  if (layout.scales == WeightScales::kSuperI8) {
    *scale = d * static_cast<float>(read<int8_t>(part));
    *offset = -(*scale * layout.zero_point);
    return;
  }
  const float dmin = f16_to_f32(read<uint16_t>(record + 2)) * layout.tensor_scale;
  const auto first = read<uint8_t>(part);
  const bool nibbles = layout.scales == WeightScales::kSuperU4;
  const int s = nibbles ? first & 15 : first;
  const int m = nibbles ? first >> 4 : read<uint8_t>(part + 1);
  *scale = d * static_cast<float>(s);
  *offset = -(dmin * static_cast<float>(m));
}

}  // namespace

int64_t weight_code_bits(WeightCodes codes) {
  switch (codes) {
    case WeightCodes::kF32:
      return 32;
    case WeightCodes::kBF16:
    case WeightCodes::kF16:
      return 16;
    default:
      return planes_of(codes).low_bits + planes_of(codes).high_bits;
  }
}

bool weight_layout_fits(const WeightLayout& layout, int64_t columns) {
  if (is_float_layout(layout)) return true;
  if (is_packed(layout.codes) && columns % kBlock != 0) return false;
  if (is_super(layout.scales)) return columns % kSuper == 0 && (layout.group == 16 || layout.group == 32);
  if (layout.group == columns) return true;
  return layout.group >= 16 && kSuper % layout.group == 0 && (columns % layout.group == 0 || !is_packed(layout.codes));
}

int64_t weight_code_row_bytes(const WeightLayout& layout, int64_t columns) {
  return columns * weight_code_bits(layout.codes) / 8;
}

int64_t weight_scale_row_bytes(const WeightLayout& layout, int64_t columns) {
  if (is_float_layout(layout)) return 0;
  if (is_super(layout.scales)) return columns / kSuper * super_bytes(layout);
  return (columns + layout.group - 1) / layout.group * group_bytes(layout);
}

void decode_weight_scales(const WeightLayout& layout, const std::byte* scale_row, int64_t first_group, int64_t count,
                          float* scale, float* offset) {
  const int64_t scalar = scalar_bytes(layout.scales);
  for (int64_t i = 0; i < count; ++i) {
    if (is_super(layout.scales)) {
      decode_super(layout, scale_row, first_group + i, scale + i, offset + i);
      continue;
    }
    const std::byte* record = scale_row + (first_group + i) * group_bytes(layout);
    scale[i] = read_scalar(layout.scales, record) * layout.tensor_scale;
    if (layout.offsets == WeightOffsets::kStored) {
      offset[i] = read_scalar(layout.scales, record + scalar) * layout.tensor_scale;
    } else if (layout.offsets == WeightOffsets::kCode8) {
      offset[i] = -(scale[i] * static_cast<float>(read<uint8_t>(record + scalar)));
    } else {
      offset[i] = -(scale[i] * layout.zero_point);
    }
  }
}

void decode_weight_columns(const WeightLayout& layout, const std::byte* code_row, const std::byte* scale_row,
                           int64_t column_begin, int64_t column_end, float* values) {
  if (is_float_layout(layout)) {
    for (int64_t i = column_begin; i < column_end; ++i) *values++ = code_value(layout, code_row, i);
    return;
  }
  for (int64_t i = column_begin; i < column_end;) {
    const int64_t group = i / layout.group;
    float scale = 0;
    float offset = 0;
    decode_weight_scales(layout, scale_row, group, 1, &scale, &offset);
    const int64_t end = std::min((group + 1) * layout.group, column_end);
    for (; i < end; ++i) *values++ = scale * code_value(layout, code_row, i) + offset;
  }
}

void pack_weight_codes(WeightCodes codes, const uint8_t* unpacked, int64_t columns, std::byte* code_row) {
  const Planes planes = planes_of(codes);
  if (planes.low_bits == 8) {
    std::memcpy(code_row, unpacked, static_cast<size_t>(columns));
    return;
  }
  const int64_t low_bytes = plane_bytes(planes.low_bits);
  const int64_t block_bytes = low_bytes + plane_bytes(planes.high_bits);
  const uint32_t low_mask = (1U << planes.low_bits) - 1;
  for (int64_t begin = 0; begin < columns; begin += kBlock, code_row += block_bytes) {
    std::memset(code_row, 0, static_cast<size_t>(block_bytes));
    for (int64_t i = 0; i < kBlock; ++i) {
      const uint32_t code = unpacked[begin + i];
      const Place low = place_of(planes.low_bits, i);
      code_row[low.byte] |= static_cast<std::byte>((code & low_mask) << low.shift);
      if (planes.high_bits == 0) continue;
      const Place high = place_of(planes.high_bits, i);
      code_row[low_bytes + high.byte] |= static_cast<std::byte>(code >> planes.low_bits << high.shift);
    }
  }
}

WeightMatrix WeightMatrix::slice(int64_t first_row, int64_t count) const {
  GLIMMER_CHECK(first_row >= 0 && count >= 0 && first_row + count <= rows, "rows {} to {} of {}", first_row,
                first_row + count, rows);
  WeightMatrix part = *this;
  part.rows = count;
  part.code_data = code_row(first_row);
  if (scale_data != nullptr) part.scale_data = scale_row(first_row);
  return part;
}

WeightMatrix float_weight_matrix(WeightCodes codes, const void* data, int64_t rows, int64_t columns) {
  WeightMatrix matrix{.layout = {.codes = codes}, .rows = rows, .columns = columns};
  GLIMMER_CHECK(weight_code_bits(codes) >= 16, "codes {} are no floats", static_cast<int>(codes));
  matrix.code_data = static_cast<const std::byte*>(data);
  matrix.code_row_bytes = weight_code_row_bytes(matrix.layout, columns);
  return matrix;
}

}  // namespace glimmer
