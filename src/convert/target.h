// What a conversion writes. A target is one output format: given the matrices and the types chosen for them, it plans
// the files byte by byte. The engine (convert.h) then fills the plan, a few rows at a time.
//
// One format is one file of this folder, target_<format>.cc, and one row of targets.cc.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/side_files.h"
#include "model/config.h"
#include "quant/quant_type.h"
#include "source/model_source.h"

namespace glimmer::convert {

// Rows of a stored matrix; transposed, its columns become the rows.
struct ConvertPiece {
  EncodedMatrix data;
  bool transposed = false;

  int64_t rows() const { return transposed ? data.columns : data.rows; }
};

// A tensor to be written: rows of one or more stored ones, one after the other, and the type to write them as.
struct ConvertMatrix {
  std::string name;  // canonical (source/model_source.h)
  Shape shape;       // [rows, columns], or [columns] of a vector
  std::vector<ConvertPiece> pieces;
  const QuantType* type = nullptr;
  QuantParams params;

  bool is_vector() const { return shape.rank() == 1; }
  int64_t rows() const { return is_vector() ? 1 : shape[0]; }
  int64_t columns() const { return shape[shape.rank() - 1]; }
};

// Output row r is row rows[r] of what the matrix was: for targets that order rows in another way. CHECKs that no piece
// is transposed and that there is one.
void permute_rows(ConvertMatrix& matrix, const std::vector<int32_t>& rows);

// A file of weights: `header` from its first byte on, tensors at their offsets, zeros where nothing is.
struct OutputFile {
  std::string name;  // within the folder; "" if the target is a single file
  std::string header;
  uint64_t size_bytes = 0;
};

// Where a matrix goes: the offset, from the beginning of the file, of each part that its type has.
struct OutputMatrix {
  size_t matrix = 0;  // which of the matrices planned for
  size_t file = 0;
  std::array<uint64_t, kMaxQuantParts> offsets{};
};

struct OutputPlan {
  std::vector<OutputFile> files;
  std::vector<OutputMatrix> matrices;  // in the order in which they are written
  // Name and text. In a folder target names are within it; beside a single file "<name>" stands in the same folder.
  std::map<std::string, std::string> side_files;
  std::vector<std::string> notes;  // what the format has no room for and is left out, for people
};

// What a target may look at beside the matrices.
struct ConvertInput {
  const ModelSource& source;
  SideFiles files;            // of the source
  const ModelConfig& config;  // read from them
  Json config_json;           // the same as it was written
  std::string type_name;      // --type: what most matrices become
  std::string output_stem;    // name of the output file without its extension: companions are called after it
};

struct Target {
  std::string_view format;     // as --format spells it: "gguf"
  std::string_view extension;  // that tells it: ".gguf"; "" for a folder
  bool is_folder = false;
  bool split_kv_b = false;              // wants embed_q and unembed_out rather than kv_b_proj
  std::vector<std::string_view> types;  // quantised and float types that it can hold, of the registry
  // The type of what is never quantised (norms, router, biases) when matrices become `type`. `stored` is what the
  // source has.
  const QuantType& (*vector_type)(const ConvertMatrix& matrix, const QuantType& type,
                                  const QuantType& stored) = nullptr;
  // May reorder rows of matrices. Throws kUnsupported, naming what the format cannot hold.
  OutputPlan (*plan)(const ConvertInput& input, std::span<ConvertMatrix> matrices) = nullptr;
};

std::span<const Target* const> all_targets();
const Target& require_target(std::string_view format);  // throws kUsage, listing the known

}  // namespace glimmer::convert
