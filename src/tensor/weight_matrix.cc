#include "tensor/weight_matrix.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "tensor/dtype.h"

namespace glimmer {
namespace {

constexpr int64_t kSuper = 256;  // columns of a super-block of scales
constexpr int64_t kLineBytes = 64;
constexpr int64_t kLineDwords = kPanelRows;

int64_t ceil_div(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

template <typename T>
T read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// ---- codes ----

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

// Of a code as unpacked.
int64_t element_bytes(WeightCodes codes) { return std::max<int64_t>(8, weight_code_bits(codes)) / 8; }

int64_t block_bytes(WeightCodes codes) { return weight_code_bits(codes) * kLineBytes; }

// Bits of a row's column i < 32 in a plane of a block.
uint32_t plane_code(const std::byte* plane, int bits, int64_t lane, int64_t i) {
  const int64_t a_byte = 8 / bits;  // columns
  const std::byte* at = plane + i / (4 * a_byte) * kLineBytes + 4 * lane + i % 4;
  return static_cast<uint32_t>(*at) >> (i / 4 % a_byte * bits) & ((1U << bits) - 1);
}

uint32_t packed_code(Planes planes, const std::byte* block, int64_t lane, int64_t i) {
  uint32_t code = plane_code(block, planes.low_bits, lane, i);
  if (planes.high_bits != 0) {
    code |= plane_code(block + planes.low_bits * kLineBytes, planes.high_bits, lane, i) << planes.low_bits;
  }
  return code;
}

// What scales and offsets are multiplied by: the value of an unpacked code before them.
float element_value(const WeightLayout& layout, const std::byte* at) {
  switch (layout.codes) {
    case WeightCodes::kF32:
      return read<float>(at);
    case WeightCodes::kBF16:
      return bf16_to_f32(read<uint16_t>(at));
    case WeightCodes::kF16:
      return f16_to_f32(read<uint16_t>(at));
    case WeightCodes::kF8E4M3:
      return f8e4m3_to_f32(read<uint8_t>(at));
    case WeightCodes::kTable4:
      return layout.table[read<uint8_t>(at)];
    default:
      return static_cast<float>(read<uint8_t>(at));
  }
}

float code_value(const WeightMatrix& matrix, const std::byte* panel_codes, int64_t lane, int64_t column) {
  const WeightCodes codes = matrix.layout.codes;
  const std::byte* block = panel_codes + column / kBlockColumns * block_bytes(codes);
  const int64_t i = column % kBlockColumns;
  if (is_packed(codes) || codes == WeightCodes::kU8) {
    const uint32_t code = packed_code(planes_of(codes), block, lane, i);
    return codes == WeightCodes::kTable4 ? matrix.layout.table[code] : static_cast<float>(code);
  }
  const int64_t bytes = element_bytes(codes);
  const int64_t a_line = 4 / bytes;  // columns
  return element_value(matrix.layout, block + i / a_line * kLineBytes + 4 * lane + i % a_line * bytes);
}

// ---- scales ----

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

// The scale records of one row: by themselves (lanes 1, lane 0), or in a panel, whose records have each field for all
// lanes where those of a row have it once.
struct ScaleRecords {
  const std::byte* data;
  int64_t lanes;
  int64_t lane;

  // The field that begins at byte `offset` of a row's own records.
  const std::byte* field(int64_t offset, int64_t bytes) const { return data + lanes * offset + lane * bytes; }
};

void read_super(const WeightLayout& layout, const ScaleRecords& records, int64_t group, float* scale, float* offset) {
  const int64_t a_super = kSuper / layout.group;
  const int64_t record = group / a_super * super_bytes(layout);
  const int64_t part = record + super_head_bytes(layout) + group % a_super * group_bytes(layout);
  const float d = f16_to_f32(read<uint16_t>(records.field(record, 2))) * layout.tensor_scale;
  if (layout.scales == WeightScales::kSuperI8) {
    *scale = d * static_cast<float>(read<int8_t>(records.field(part, 1)));
    *offset = -(*scale * layout.zero_point);
    return;
  }
  const float dmin = f16_to_f32(read<uint16_t>(records.field(record + 2, 2))) * layout.tensor_scale;
  const auto first = read<uint8_t>(records.field(part, 1));
  const bool nibbles = layout.scales == WeightScales::kSuperU4;
  const int s = nibbles ? first & 15 : first;
  const int m = nibbles ? first >> 4 : read<uint8_t>(records.field(part + 1, 1));
  *scale = d * static_cast<float>(s);
  *offset = -(dmin * static_cast<float>(m));
}

void read_scale(const WeightLayout& layout, const ScaleRecords& records, int64_t group, float* scale, float* offset) {
  if (is_super(layout.scales)) return read_super(layout, records, group, scale, offset);
  const int64_t scalar = scalar_bytes(layout.scales);
  const int64_t record = group * group_bytes(layout);
  *scale = read_scalar(layout.scales, records.field(record, scalar)) * layout.tensor_scale;
  if (layout.offsets == WeightOffsets::kStored) {
    *offset = read_scalar(layout.scales, records.field(record + scalar, scalar)) * layout.tensor_scale;
  } else if (layout.offsets == WeightOffsets::kCode8) {
    *offset = -(*scale * static_cast<float>(read<uint8_t>(records.field(record + scalar, 1))));
  } else {
    *offset = -(*scale * layout.zero_point);
  }
}

const std::byte* panel_of(const WeightMatrix& matrix, int64_t row) {
  return matrix.data + row / kPanelRows * matrix.panel_bytes;
}

ScaleRecords scale_records(const WeightMatrix& matrix, int64_t row) {
  return {panel_of(matrix, row), kPanelRows, row % kPanelRows};
}

// Calls stretch(begin, end, scale, offset) for each run of columns that share a scale.
template <typename Stretch>
void for_stretches(const WeightLayout& layout, const ScaleRecords& records, int64_t column_begin, int64_t column_end,
                   const Stretch& stretch) {
  for (int64_t i = column_begin; i < column_end;) {
    const int64_t group = i / layout.group;
    const int64_t end = std::min((group + 1) * layout.group, column_end);
    float scale = 0;
    float offset = 0;
    read_scale(layout, records, group, &scale, &offset);
    stretch(i, end, scale, offset);
    i = end;
  }
}

// ---- packing ----

// Lines of a block from its rows: line i has each row's dword i.
template <int64_t kDwords>
void transpose(const std::byte* rows, int64_t stride, uint32_t* lines) {
  for (int64_t row = 0; row < kPanelRows; ++row, rows += stride) {
    for (int64_t i = 0; i < kDwords; ++i) lines[i * kLineDwords + row] = read<uint32_t>(rows + 4 * i);
  }
}

// The plane of bits [kShift, kShift + kBits) of the codes whose 8 lines of bytes are given: kBits lines.
template <int kBits, int kShift>
void merge_plane(const uint32_t* lines, uint32_t* plane) {
  constexpr int kAByte = 8 / kBits;
  constexpr uint32_t kMask = 0x01010101U * ((1U << kBits) - 1);
  for (int64_t i = 0; i < kBits; ++i) {
    for (int64_t row = 0; row < kLineDwords; ++row) {
      uint32_t merged = 0;
      for (int64_t m = 0; m < kAByte; ++m) {
        merged |= (lines[(i * kAByte + m) * kLineDwords + row] >> kShift & kMask) << (m * kBits);
      }
      plane[i * kLineDwords + row] = merged;
    }
  }
}

// Writes a block from 16 rows of 32 elements, `stride` bytes apart.
using PackBlock = void (*)(const std::byte* rows, int64_t stride, std::byte* block);

template <int64_t kElementBytes>
void pack_elements(const std::byte* rows, int64_t stride, std::byte* block) {
  constexpr int64_t kDwords = kBlockColumns * kElementBytes / 4;
  std::array<uint32_t, kDwords * kLineDwords> lines;
  transpose<kDwords>(rows, stride, lines.data());
  std::memcpy(block, lines.data(), sizeof lines);
}

template <int kLowBits, int kHighBits>
void pack_planes(const std::byte* rows, int64_t stride, std::byte* block) {
  std::array<uint32_t, 8 * kLineDwords> lines;
  std::array<uint32_t, (kLowBits + kHighBits) * kLineDwords> planes;
  transpose<8>(rows, stride, lines.data());
  merge_plane<kLowBits, 0>(lines.data(), planes.data());
  if constexpr (kHighBits != 0) {
    merge_plane<kHighBits, kLowBits>(lines.data(), planes.data() + kLowBits * kLineDwords);
  }
  std::memcpy(block, planes.data(), sizeof planes);
}

PackBlock pack_block_of(WeightCodes codes) {
  switch (codes) {
    case WeightCodes::kF32:
      return pack_elements<4>;
    case WeightCodes::kBF16:
    case WeightCodes::kF16:
      return pack_elements<2>;
    case WeightCodes::kU2:
      return pack_planes<2, 0>;
    case WeightCodes::kU3:
      return pack_planes<2, 1>;
    case WeightCodes::kU4:
    case WeightCodes::kTable4:
      return pack_planes<4, 0>;
    case WeightCodes::kU5:
      return pack_planes<4, 1>;
    case WeightCodes::kU6:
      return pack_planes<4, 2>;
    default:
      return pack_elements<1>;
  }
}

void pack_codes(const WeightMatrix& matrix, int64_t rows, const std::byte* codes, int64_t stride, std::byte* out) {
  const PackBlock pack_block = pack_block_of(matrix.layout.codes);
  const int64_t row_bytes = matrix.columns * element_bytes(matrix.layout.codes);
  const int64_t block_row_bytes = kBlockColumns * element_bytes(matrix.layout.codes);
  std::array<std::byte, kPanelRows * kBlockColumns * 4> filled_up;
  for (int64_t at = 0; at < row_bytes; at += block_row_bytes, out += block_bytes(matrix.layout.codes)) {
    if (rows == kPanelRows && at + block_row_bytes <= row_bytes) {
      pack_block(codes + at, stride, out);
      continue;
    }
    filled_up.fill({});
    const int64_t bytes = std::min(block_row_bytes, row_bytes - at);
    for (int64_t row = 0; row < rows; ++row) {
      std::memcpy(&filled_up[row * block_row_bytes], codes + row * stride + at, static_cast<size_t>(bytes));
    }
    pack_block(filled_up.data(), block_row_bytes, out);
  }
}

// Scale records of some rows, and where the panel has those of 16.
struct ScaleInterleaver {
  const std::byte* scales;
  int64_t rows;
  int64_t stride;
  std::byte* panel;

  // `count` fields of kBytes that begin at byte `offset` of a row's records. Returns where they end there.
  template <int64_t kBytes>
  int64_t fields(int64_t offset, int64_t count) const {
    for (int64_t row = 0; row < rows; ++row) {
      const std::byte* from = scales + row * stride + offset;
      std::byte* to = panel + kPanelRows * offset + row * kBytes;
      for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * kPanelRows * kBytes, from + i * kBytes, kBytes);
    }
    return offset + count * kBytes;
  }
  int64_t fields(int64_t bytes, int64_t offset, int64_t count) const {
    if (bytes == 4) return fields<4>(offset, count);
    return bytes == 2 ? fields<2>(offset, count) : fields<1>(offset, count);
  }
};

void pack_scales(const WeightMatrix& matrix, const ScaleInterleaver& interleave) {
  const WeightLayout& layout = matrix.layout;
  const int64_t end = weight_scale_row_bytes(layout, matrix.columns);
  const int64_t scalar = scalar_bytes(layout.scales);
  int64_t offset = 0;
  if (is_super(layout.scales)) {
    const int64_t head = super_head_bytes(layout);
    while (offset < end) {
      offset = interleave.fields<2>(offset, head / 2);
      offset = interleave.fields<1>(offset, super_bytes(layout) - head);
    }
  } else if (layout.offsets == WeightOffsets::kCode8) {
    while (offset < end) {
      offset = interleave.fields(scalar, offset, 1);
      offset = interleave.fields<1>(offset, 1);
    }
  } else {
    interleave.fields(scalar, 0, end / scalar);
  }
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
  if (is_packed(layout.codes) && columns % kBlockColumns != 0) return false;
  if (is_float_layout(layout)) return true;
  if (is_super(layout.scales)) return columns % kSuper == 0 && (layout.group == 16 || layout.group == 32);
  if (layout.group == columns) return true;
  return layout.group >= 16 && kSuper % layout.group == 0 && (columns % layout.group == 0 || !is_packed(layout.codes));
}

int64_t weight_scale_row_bytes(const WeightLayout& layout, int64_t columns) {
  if (is_float_layout(layout)) return 0;
  if (is_super(layout.scales)) return columns / kSuper * super_bytes(layout);
  return ceil_div(columns, layout.group) * group_bytes(layout);
}

WeightMatrix weight_matrix_of(const WeightLayout& layout, int64_t rows, int64_t columns) {
  GLIMMER_CHECK(weight_layout_fits(layout, columns), "{} columns, codes {} in groups of {}", columns,
                static_cast<int>(layout.codes), layout.group);
  WeightMatrix matrix{.layout = layout, .rows = rows, .columns = columns};
  matrix.scale_bytes = ceil_div(kPanelRows * weight_scale_row_bytes(layout, columns), kLineBytes) * kLineBytes;
  matrix.panel_bytes = matrix.scale_bytes + ceil_div(columns, kBlockColumns) * block_bytes(layout.codes);
  return matrix;
}

int64_t panel_count(const WeightMatrix& matrix) { return ceil_div(matrix.rows, kPanelRows); }

int64_t size_bytes(const WeightMatrix& matrix) { return panel_count(matrix) * matrix.panel_bytes; }

WeightMatrix slice(const WeightMatrix& matrix, int64_t first_row, int64_t count) {
  GLIMMER_CHECK(first_row >= 0 && count >= 0 && first_row + count <= matrix.rows, "rows {} to {} of {}", first_row,
                first_row + count, matrix.rows);
  GLIMMER_CHECK(first_row % kPanelRows == 0, "row {} begins no panel", first_row);
  WeightMatrix part = matrix;
  part.rows = count;
  part.data = panel_of(matrix, first_row);
  return part;
}

void pack_panel(const WeightMatrix& matrix, int64_t rows, const std::byte* codes, int64_t code_stride,
                const std::byte* scales, int64_t scale_stride, std::byte* panel) {
  const int64_t scale_end = kPanelRows * weight_scale_row_bytes(matrix.layout, matrix.columns);
  const int64_t zeros_from = rows == kPanelRows ? scale_end : 0;
  std::memset(panel + zeros_from, 0, static_cast<size_t>(matrix.scale_bytes - zeros_from));
  if (!is_float_layout(matrix.layout)) pack_scales(matrix, {scales, rows, scale_stride, panel});
  pack_codes(matrix, rows, codes, code_stride, panel + matrix.scale_bytes);
}

void weight_scale(const WeightMatrix& matrix, int64_t row, int64_t group, float* scale, float* offset) {
  read_scale(matrix.layout, scale_records(matrix, row), group, scale, offset);
}

void decode_weight_columns(const WeightMatrix& matrix, int64_t row, int64_t column_begin, int64_t column_end,
                           float* values) {
  const std::byte* codes = panel_of(matrix, row) + matrix.scale_bytes;
  const int64_t lane = row % kPanelRows;
  if (is_float_layout(matrix.layout)) {
    for (int64_t i = column_begin; i < column_end; ++i) *values++ = code_value(matrix, codes, lane, i);
    return;
  }
  for_stretches(matrix.layout, scale_records(matrix, row), column_begin, column_end,
                [&](int64_t begin, int64_t end, float scale, float offset) {
                  for (int64_t i = begin; i < end; ++i) {
                    *values++ = scale * code_value(matrix, codes, lane, i) + offset;
                  }
                });
}

void decode_unpacked_row(const WeightLayout& layout, int64_t columns, const std::byte* codes, const std::byte* scales,
                         float* values) {
  const int64_t bytes = element_bytes(layout.codes);
  if (is_float_layout(layout)) {
    for (int64_t i = 0; i < columns; ++i) values[i] = element_value(layout, codes + i * bytes);
    return;
  }
  const bool integers = layout.codes != WeightCodes::kTable4 && layout.codes >= WeightCodes::kU2;
  const auto* bytewise = reinterpret_cast<const uint8_t*>(codes);
  for_stretches(layout, {scales, 1, 0}, 0, columns, [&](int64_t begin, int64_t end, float scale, float offset) {
    if (integers) {
      for (int64_t i = begin; i < end; ++i) values[i] = scale * static_cast<float>(bytewise[i]) + offset;
    } else if (layout.codes == WeightCodes::kTable4) {
      for (int64_t i = begin; i < end; ++i) values[i] = scale * layout.table[bytewise[i]] + offset;
    } else {
      for (int64_t i = begin; i < end; ++i) values[i] = scale * element_value(layout, codes + i * bytes) + offset;
    }
  });
}

}  // namespace glimmer
