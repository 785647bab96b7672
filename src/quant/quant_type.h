// How a type of weights is written on disk, and what can be done with it: read rows as f32, write rows from f32, bring
// rows to the layout that kernels read. One type is one file of this folder and one row of registry.cc; f32, f16 and
// bf16 are types like the others.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/weight_matrix.h"

namespace glimmer {

struct QuantType;

// What a type leaves open and a checkpoint's configuration settles. Fields that a type does not name are not used.
struct QuantParams {
  int bits = 0;
  int64_t group = 0;       // columns that share a scale
  int64_t block_rows = 1;  // rows that share a scale (fp8)
  DType scale_dtype = DType::kF32;
  bool symmetric = true;   // no zero points are stored
  int zero_offset = 0;     // added to stored zero points (the first format of GPTQ: 1)
  float scale_offset = 0;  // added to each scale (nested scales of nf4)
  float tensor_scale = 1;

  bool operator==(const QuantParams&) const = default;
};

// One of the tensors that a matrix is written as: codes, scales, offsets, ... An MLX matrix has three, a GGUF one has
// one.
struct QuantPart {
  std::string_view suffix;  // after the path of the module: ".weight", ".scales", ".weight.absmax"
  DType dtype = DType::kF32;
  Shape shape;
  // The part is ceil(rows / matrix_rows) pieces of one size, each of which covers that many matrix rows; mostly a piece
  // is an entry of its first extent (nf4's codes are one long column). 0 if it does not follow the rows, and then it is
  // written whole with the first.
  int64_t matrix_rows = 1;
  // If not empty, the bytes of the part whatever the values are: they are written as they are, not by `encode`, and
  // an EncodedMatrix may lack the part.
  std::string content;
};

inline constexpr size_t kMaxQuantParts = 4;

// A stored matrix, or rows of one: borrowed bytes and how to read them.
struct EncodedMatrix {
  const QuantType* type = nullptr;
  QuantParams params;
  int64_t rows = 0;  // of this view
  int64_t columns = 0;
  int64_t first_row = 0;    // of this view in the stored matrix
  int64_t stored_rows = 0;  // of the stored matrix
  // Row r of this view is row (*row_map)[first_row + r] of the stored matrix; null: row first_row + r.
  std::shared_ptr<const std::vector<int32_t>> row_map;
  std::array<std::span<const std::byte>, kMaxQuantParts> parts;  // of the stored matrix, as type->parts lists them

  int64_t stored_row(int64_t row) const {
    return row_map == nullptr ? first_row + row : (*row_map)[static_cast<size_t>(first_row + row)];
  }
  EncodedMatrix slice(int64_t first, int64_t count) const;  // CHECKs the range
};

struct QuantType {
  std::string_view name;  // as --type spells it: "q4_k"
  int64_t block = 1;      // columns must be a multiple of it

  // The tensors that a matrix of this size is written as. CHECKs that columns fit the block.
  std::vector<QuantPart> (*parts)(const QuantParams& params, int64_t rows, int64_t columns) = nullptr;

  // The layout that kernels read it in.
  WeightLayout (*layout)(const QuantParams& params, int64_t columns) = nullptr;

  // A stored row: its codes, one byte each (float layouts: the elements as they are), and its scales as the layout
  // writes them. Any thread.
  void (*unpack_row)(const EncodedMatrix& matrix, int64_t stored_row, std::byte* codes, std::byte* scales) = nullptr;

  // Null if the type is only read. Encodes `rows` rows of `values` [rows, columns] (dense); out[i] is where part i of
  // the first of them goes. Rows of one matrix may be encoded in pieces and in parallel, if pieces begin at multiples
  // of each part's matrix_rows; parts that do not follow the rows (matrix_rows 0) are null but in the first piece.
  // `importance` [columns], or null: how much an error of a column counts (mean square of the activations there).
  void (*encode)(const QuantParams& params, const float* values, int64_t rows, int64_t columns, const float* importance,
                 std::span<std::byte* const> out) = nullptr;
};

// Every type, floats first. find: null if there is none of that name. require: kUsage, listing the known.
std::span<const QuantType* const> all_quant_types();
const QuantType* find_quant_type(std::string_view name);
const QuantType& require_quant_type(std::string_view name);
// The type of a tensor that stands alone with this element type: floats and the blocks of ggml. Null for others.
const QuantType* quant_type_of(DType dtype);

// Bits that a weight takes on disk, scales included, in a matrix of this size.
double bits_per_weight(const QuantType& type, const QuantParams& params, int64_t rows, int64_t columns);

// Rows [row_begin, row_end) of the view as f32, dense in `values`. Exactly what kernels compute with after repacking.
void decode_rows(const EncodedMatrix& matrix, int64_t row_begin, int64_t row_end, float* values);

// The view's rows as panels [panel_begin, panel_end) of `out`, a matrix of the layout of its type and of the view's
// size (CHECKed), whose panel 0 begins at `data`. Any thread.
void repack_panels(const EncodedMatrix& matrix, const WeightMatrix& out, int64_t panel_begin, int64_t panel_end,
                   std::byte* data);

}  // namespace glimmer
