// Rows of a matrix as the output has them, and as its reader will have them: encoded, or taken as they are stored.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "convert/target.h"

namespace glimmer::convert {

// What becomes of a finite value beyond what its type can hold (and of an infinite one where values are quantised;
// floats keep it).
enum class OutOfRange { kError, kSaturate };

struct EncodedRows {
  std::array<std::span<const std::byte>, kMaxQuantParts> parts;
  std::array<uint64_t, kMaxQuantParts> at{};  // from the beginning of the part
};

// Bytes of a part for rows [0, rows) of a matrix.
uint64_t part_bytes(const QuantPart& part, int64_t matrix_rows, int64_t rows);

// The multiple of rows at which a matrix may be cut for RowEncoder.
int64_t row_step(const ConvertMatrix& matrix);

// One thread's. What it returns lasts until the next call.
class RowEncoder {
 public:
  // Rows [begin, end). `importance` of its columns, or empty. Throws kInvalid, naming the tensor and the value's place,
  // for one that is out of range and is to be an error, and for NaN in a matrix that is to be quantised.
  EncodedRows encode(const ConvertMatrix& matrix, std::span<const float> importance, OutOfRange out_of_range,
                     int64_t begin, int64_t end);

  std::span<const float> source_values() const { return values_; }    // before they are encoded
  std::span<const float> written_values() const { return decoded_; }  // as a reader of the output decodes them
  int64_t saturated_values() const { return saturated_; }             // of the last call

 private:
  struct Rows;
  EncodedRows copy_stored(const ConvertMatrix& matrix, int64_t begin, int64_t end);
  EncodedRows encode_values(const Rows& rows, const float* values);
  void decode_encoded(const Rows& rows, const EncodedRows& encoded);
  struct Group {  // values [from, to) of those in work
    int64_t from = 0;
    int64_t to = 0;
  };
  bool is_lost(const Rows& rows, std::span<const float> wanted, const Group& group) const;
  std::vector<Group> lost_groups(const Rows& rows, std::span<const float> wanted) const;
  void saturate(const Rows& rows);
  void saturate_unit(const Rows& unit, const std::vector<Group>& lost, float* values);

  std::vector<float> values_;
  std::vector<float> limited_;
  std::vector<float> decoded_;
  std::vector<float> scratch_;
  std::vector<std::byte> encoded_;
  int64_t saturated_ = 0;
};

// Whether `written` is what a type can make of `source`, rows of `columns` values: finite where the source is, and no
// further from it than the largest value of its group allows. Returns the index of the first that is not, or -1.
int64_t find_implausible(const ConvertMatrix& matrix, std::span<const float> source, std::span<const float> written);

}  // namespace glimmer::convert
