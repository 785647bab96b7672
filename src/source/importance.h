// Importance matrix, as `glimmer imatrix` measures it: for each weight column the mean squared activation that it is
// multiplied by, over the tokens of a text. Quantisers weight errors by it.
//
// The file is a safetensors file with metadata {"format": "glimmer-imatrix-1", ...}. For each weight that saw at least
// one token, under the name that ModelSource gives it ("model.layers.1.mlp.experts.7.down_proj.weight"):
//   <name>.in_sum2  [columns] F32: sum of squares of the inputs
//   <name>.count    [1] I64: how many tokens, at least 1; of an expert those that were routed to it
// Weights that share an input (q_proj, k_proj, v_proj) each have their own copy.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/safetensors.h"

namespace glimmer {

struct WeightImportance {
  std::string name;
  std::vector<float> sum_of_squares;  // [columns]
  int64_t count = 0;                  // tokens, at least 1
};

// Atomic. `metadata` is added to the file's own. Throws kIo, kInvalid (twice the same name; a sum that is not finite).
void write_importance(const std::filesystem::path& path, std::span<const WeightImportance> weights,
                      std::map<std::string, std::string> metadata);

// An open file, mapped. Any thread may read it.
class Importance {
 public:
  // Checks everything: throws kNotFound, kIo, and kInvalid for a file that is no such file, an entry without its other
  // half or with another type or shape, a value that is negative or not finite, a count below 1.
  static Importance load(const std::filesystem::path& path);

  // Mean squares [columns]; empty if the text never reached the weight, or there is none of that name.
  std::vector<float> mean_squares(std::string_view name) const;
  // mean_squares, which must be of `columns` values or empty: throws kInvalid otherwise, for the file is another
  // model's.
  std::vector<float> mean_squares(std::string_view name, int64_t columns) const;

  int64_t count(std::string_view name) const;  // tokens; 0 where mean_squares is empty
  int64_t weights() const { return static_cast<int64_t>(entries_.size()); }
  const std::map<std::string, std::string>& metadata() const { return file_->metadata(); }

 private:
  struct Entry {
    const TensorInfo* sum_of_squares = nullptr;
    int64_t count = 0;
  };

  explicit Importance(const std::filesystem::path& path) : file_(std::make_unique<SafetensorsFile>(path)) {}
  const Entry* find(std::string_view name) const;

  std::unique_ptr<SafetensorsFile> file_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace glimmer
