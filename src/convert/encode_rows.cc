#include "convert/encode_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace glimmer::convert {
namespace {

constexpr float kLargestFloat = std::numeric_limits<float>::max();

bool is_stored_as(const ConvertMatrix& matrix) {
  const EncodedMatrix& data = matrix.pieces.front().data;
  return matrix.pieces.size() == 1 && !matrix.pieces.front().transposed && data.type == matrix.type &&
         data.params == matrix.params && data.row_map == nullptr;
}

// Whether any rows of it can be taken as they lie: its parts follow the rows one by one, or it is a whole matrix.
bool rows_can_be_copied(const ConvertMatrix& matrix) {
  const EncodedMatrix& data = matrix.pieces.front().data;
  if (data.first_row == 0 && data.rows == data.stored_rows) return true;
  const auto parts = data.type->parts(data.params, data.stored_rows, data.columns);
  return std::all_of(parts.begin(), parts.end(), [](const QuantPart& part) { return part.matrix_rows == 1; });
}

// Rows [begin, end) of the matrix as f32. `scratch` holds a transposed piece.
void decode_matrix(const ConvertMatrix& matrix, int64_t begin, int64_t end, std::vector<float>& scratch, float* out) {
  const int64_t columns = matrix.columns();
  int64_t first = 0;
  for (const ConvertPiece& piece : matrix.pieces) {
    const int64_t from = std::max(begin, first);
    const int64_t to = std::min(end, first + piece.rows());
    if (from < to && !piece.transposed) {
      decode_rows(piece.data, from - first, to - first, out + (from - begin) * columns);
    } else if (from < to) {
      scratch.resize(static_cast<size_t>(piece.data.rows * piece.data.columns));
      decode_rows(piece.data, 0, piece.data.rows, scratch.data());
      for (int64_t row = from; row < to; ++row) {
        const float* source = scratch.data() + (row - first);
        float* target = out + (row - begin) * columns;
        for (int64_t c = 0; c < columns; ++c) target[c] = source[c * piece.data.columns];
      }
    }
    first += piece.rows();
  }
}

bool is_quantized(const ConvertMatrix& matrix) {
  return !is_float_layout(matrix.type->layout(matrix.params, matrix.columns()));
}

// Columns whose codes depend on each other.
int64_t group_columns(const ConvertMatrix& matrix) {
  const int64_t group = std::max(matrix.type->block, matrix.type->layout(matrix.params, matrix.columns()).group);
  return std::clamp<int64_t>(is_quantized(matrix) ? group : 1, 1, matrix.columns());
}

[[noreturn]] void fail_value(const ConvertMatrix& matrix, int64_t row, int64_t column, float value,
                             std::string_view what) {
  fail(ErrorCode::kInvalid, "{}: the value at [{}, {}] is {}: {}", matrix.name, row, column, value, what);
}

}  // namespace

uint64_t part_bytes(const QuantPart& part, int64_t matrix_rows, int64_t rows) {
  const uint64_t whole = dtype_bytes(part.dtype, part.shape.element_count());
  if (part.matrix_rows == 0) return whole;
  const int64_t pieces = (matrix_rows + part.matrix_rows - 1) / part.matrix_rows;
  return whole / static_cast<uint64_t>(pieces) *
         static_cast<uint64_t>((rows + part.matrix_rows - 1) / part.matrix_rows);
}

int64_t row_step(const ConvertMatrix& matrix) {
  int64_t step = 1;
  for (const QuantPart& part : matrix.type->parts(matrix.params, matrix.rows(), matrix.columns())) {
    step = std::max(step, part.matrix_rows);
  }
  return step;
}

// What is to be encoded: rows [begin, end).
struct RowEncoder::Rows {
  const ConvertMatrix& matrix;
  std::span<const float> importance;
  int64_t begin = 0;
  int64_t end = 0;

  int64_t count() const { return end - begin; }
  size_t values() const { return static_cast<size_t>(count() * matrix.columns()); }
};

EncodedRows RowEncoder::encode(const ConvertMatrix& matrix, std::span<const float> importance, OutOfRange out_of_range,
                               int64_t begin, int64_t end) {
  const Rows rows{matrix, importance, begin, end};
  saturated_ = 0;
  values_.resize(rows.values());
  decode_matrix(matrix, begin, end, scratch_, values_.data());
  if (is_stored_as(matrix) && rows_can_be_copied(matrix)) {
    decoded_ = values_;
    return copy_stored(matrix, begin, end);
  }
  const int64_t columns = matrix.columns();
  const bool saturates = out_of_range == OutOfRange::kSaturate;
  for (size_t i = 0; is_quantized(matrix) && i < values_.size(); ++i) {
    if (std::isfinite(values_[i]) || (saturates && !std::isnan(values_[i]))) continue;
    fail_value(matrix, begin + static_cast<int64_t>(i) / columns, static_cast<int64_t>(i) % columns, values_[i],
               fmt::format("it cannot be quantised to {}", matrix.type->name));
  }
  const EncodedRows encoded = encode_values(rows, values_.data());
  decode_encoded(rows, encoded);
  const std::vector<Group> lost = lost_groups(rows, values_);
  if (lost.empty()) return encoded;
  if (saturates) {
    saturate(rows);
    const EncodedRows limited = encode_values(rows, limited_.data());
    decode_encoded(rows, limited);
    return limited;
  }
  const Group& group = lost.front();
  const auto largest = std::max_element(values_.begin() + group.from, values_.begin() + group.to,
                                        [](float a, float b) { return std::abs(a) < std::abs(b); });
  const int64_t place = largest - values_.begin();
  fail_value(matrix, begin + place / columns, place % columns, *largest,
             fmt::format("beyond the range of {}; give it another type (--tensor-type), or --out-of-range saturate",
                         matrix.type->name));
}

// A copy: the source is mapped, and what the system cannot read of it must not end in a system call.
EncodedRows RowEncoder::copy_stored(const ConvertMatrix& matrix, int64_t begin, int64_t end) {
  const EncodedMatrix& data = matrix.pieces.front().data;
  const std::vector<QuantPart> parts = matrix.type->parts(matrix.params, matrix.rows(), matrix.columns());
  const std::vector<QuantPart> stored = data.type->parts(data.params, data.stored_rows, data.columns);
  EncodedRows out;
  std::array<std::span<const std::byte>, kMaxQuantParts> sources;
  size_t total = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    out.at[i] = part_bytes(parts[i], matrix.rows(), begin);
    if (parts[i].matrix_rows == 0 || !parts[i].content.empty()) continue;
    const uint64_t from = part_bytes(stored[i], data.stored_rows, data.first_row + begin);
    sources[i] = data.parts[i].subspan(from, part_bytes(parts[i], matrix.rows(), end) - out.at[i]);
    total += sources[i].size();
  }
  encoded_.resize(total);
  std::byte* at = encoded_.data();
  for (size_t i = 0; i < parts.size(); ++i) {
    std::copy(sources[i].begin(), sources[i].end(), at);
    out.parts[i] = {at, sources[i].size()};
    at += sources[i].size();
  }
  return out;
}

EncodedRows RowEncoder::encode_values(const Rows& rows, const float* values) {
  const ConvertMatrix& matrix = rows.matrix;
  const std::vector<QuantPart> parts = matrix.type->parts(matrix.params, matrix.rows(), matrix.columns());
  EncodedRows out;
  std::array<uint64_t, kMaxQuantParts> sizes{};
  uint64_t total = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    out.at[i] = parts[i].matrix_rows == 0 ? 0 : part_bytes(parts[i], matrix.rows(), rows.begin);
    const bool here = parts[i].content.empty() && (parts[i].matrix_rows != 0 || rows.begin == 0);
    sizes[i] = here ? part_bytes(parts[i], matrix.rows(), rows.end) - out.at[i] : 0;
    total += (sizes[i] + 7) / 8 * 8;
  }
  encoded_.resize(total);
  std::array<std::byte*, kMaxQuantParts> pointers{};
  std::byte* at = encoded_.data();
  for (size_t i = 0; i < parts.size(); ++i) {
    if (sizes[i] == 0) continue;
    pointers[i] = at;
    out.parts[i] = {at, sizes[i]};
    at += (sizes[i] + 7) / 8 * 8;
  }
  matrix.type->encode(matrix.params, values, rows.count(), matrix.columns(),
                      rows.importance.empty() ? nullptr : rows.importance.data(), {pointers.data(), parts.size()});
  return out;
}

void RowEncoder::decode_encoded(const Rows& rows, const EncodedRows& encoded) {
  const EncodedMatrix written{.type = rows.matrix.type,
                              .params = rows.matrix.params,
                              .rows = rows.count(),
                              .columns = rows.matrix.columns(),
                              .stored_rows = rows.count(),
                              .row_map = nullptr,
                              .parts = encoded.parts};
  decoded_.resize(rows.values());
  decode_rows(written, 0, rows.count(), decoded_.data());
}

// Whether a group has values beyond its type's range. A code or a scale that overflows is infinite, and so is what a
// reader makes of it; or, where a search for scales overflows, a large group comes out as next to nothing.
bool RowEncoder::is_lost(const Rows& rows, std::span<const float> wanted, const Group& group) const {
  constexpr float kLarge = 32768;
  const bool keeps_infinity = !is_quantized(rows.matrix);
  int64_t largest = group.from;
  for (int64_t i = group.from; i < group.to; ++i) {
    const float value = wanted[static_cast<size_t>(i)];
    const bool has_range = !std::isnan(value) && !(std::isinf(value) && keeps_infinity);
    if (has_range && !(std::isfinite(value) && std::isfinite(decoded_[static_cast<size_t>(i)]))) return true;
    if (has_range && std::abs(value) > std::abs(wanted[static_cast<size_t>(largest)])) largest = i;
  }
  const float value = wanted[static_cast<size_t>(largest)];
  if (!(std::abs(value) > kLarge) || !std::isfinite(value)) return false;
  return !(decoded_[static_cast<size_t>(largest)] / value > 0.25F);
}

// The groups that have such a value.
std::vector<RowEncoder::Group> RowEncoder::lost_groups(const Rows& rows, std::span<const float> wanted) const {
  std::vector<Group> lost;
  const int64_t columns = rows.matrix.columns();
  const int64_t group = group_columns(rows.matrix);
  for (int64_t first = 0; first < static_cast<int64_t>(wanted.size()); first += columns) {
    for (int64_t from = first; from < first + columns; from += group) {
      const int64_t to = std::min(from + group, first + columns);
      if (is_lost(rows, wanted, {from, to})) lost.push_back({from, to});
    }
  }
  return lost;
}

// Leaves in limited_ the values that can be written.
void RowEncoder::saturate(const Rows& rows) {
  limited_ = values_;
  const std::vector<float> decoded = decoded_;
  const int64_t columns = rows.matrix.columns();
  const int64_t step = row_step(rows.matrix);
  for (int64_t row = rows.begin; row < rows.end; row += step) {
    const Rows unit{rows.matrix, rows.importance, row, std::min(row + step, rows.end)};
    const auto at = (row - rows.begin) * columns;
    decoded_.assign(decoded.begin() + at, decoded.begin() + at + static_cast<int64_t>(unit.values()));
    const std::vector<Group> lost =
        lost_groups(unit, std::span(values_).subspan(static_cast<size_t>(at), unit.values()));
    if (!lost.empty()) saturate_unit(unit, lost, limited_.data() + at);
  }
}

// For each group that is lost the largest limit of its values with which it is not, by bisection over floats, all
// groups at a time.
void RowEncoder::saturate_unit(const Rows& unit, const std::vector<Group>& lost, float* values) {
  const std::vector<float> source(values, values + unit.values());
  const std::span<const float> limited(values, unit.values());
  struct Limit {  // bits of floats above 0, which are in the order of the floats
    uint32_t low = std::bit_cast<uint32_t>(1.0F);
    uint32_t high = std::bit_cast<uint32_t>(kLargestFloat) + 1;
    uint32_t tried = 0;
  };
  std::vector<Limit> limits(lost.size());
  const auto encode_limited = [&] {
    for (size_t g = 0; g < lost.size(); ++g) {
      const auto limit = std::bit_cast<float>(limits[g].tried);
      for (int64_t i = lost[g].from; i < lost[g].to; ++i) {
        values[i] = std::clamp(source[static_cast<size_t>(i)], -limit, limit);
      }
    }
    decode_encoded(unit, encode_values(unit, values));
  };
  for (bool goes_on = true; goes_on;) {
    for (Limit& limit : limits) limit.tried = limit.low + (limit.high - limit.low) / 2;
    encode_limited();
    goes_on = false;
    for (size_t g = 0; g < lost.size(); ++g) {
      Limit& limit = limits[g];
      const bool is_held = !is_lost(unit, limited, lost[g]);
      (is_held ? limit.low : limit.high) = limit.tried;
      goes_on = goes_on || limit.high - limit.low > 1;
    }
  }
  for (Limit& limit : limits) limit.tried = limit.low;
  encode_limited();
  if (!lost_groups(unit, limited).empty()) {
    fail(ErrorCode::kInvalid, "{}: rows {} to {}: cannot be written as {}, not even with values cut off",
         unit.matrix.name, unit.begin, unit.end, unit.matrix.type->name);
  }
  for (const Group& group : lost) {
    for (int64_t i = group.from; i < group.to; ++i) saturated_ += values[i] != source[static_cast<size_t>(i)] ? 1 : 0;
  }
}

int64_t find_implausible(const ConvertMatrix& matrix, std::span<const float> source, std::span<const float> written) {
  // Codes reach as far as the values of their group, on either side; rounding and the search for scales add to it.
  constexpr float kReach = 2.5F;
  const int64_t columns = matrix.columns();
  const int64_t group = group_columns(matrix);
  for (int64_t row = 0; row < static_cast<int64_t>(source.size()) / columns; ++row) {
    for (int64_t from = 0; from < columns; from += group) {
      const auto at = static_cast<size_t>(row * columns + from);
      const auto count = static_cast<size_t>(std::min(group, columns - from));
      float largest = 0;
      for (size_t i = at; i < at + count; ++i) largest = std::max(largest, std::abs(source[i]));
      for (size_t i = at; i < at + count; ++i) {
        const bool same = source[i] == written[i] || (std::isnan(source[i]) && std::isnan(written[i]));
        if (!same && !(std::abs(written[i] - source[i]) <= kReach * largest)) return static_cast<int64_t>(i);
      }
    }
  }
  return -1;
}

}  // namespace glimmer::convert
