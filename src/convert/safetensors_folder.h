// What the targets that write folders of safetensors share: shards, index, side files.
#pragma once

#include "convert/target.h"

namespace glimmer::convert {

// Matrices that are one tensor on disk: one, or a stack of equals.
struct SafetensorsUnit {
  std::string path;             // of the module; each part is `path` + its suffix
  std::vector<size_t> members;  // of ConvertInput's matrices: with more than one, parts get a first extent more
  bool is_stack = false;        // a stack may have a single member
  int64_t heads = 0;            // a single matrix that has a first extent of so many all the same; 0: it has none
  // In the place of the suffix ".weight" where the tensor has another name ("" for e_score_correction_bias and biases,
  // whose path is the whole name).
  bool is_bare = false;
};

inline constexpr uint64_t kMaxShardBytes = uint64_t{5'000'000'000};

// Files, offsets and model.safetensors.index.json. A unit stays in one shard. `framework`: what files say they were
// written for, "pt" or "mlx".
void plan_safetensors(std::span<const ConvertMatrix> matrices, std::span<const SafetensorsUnit> units,
                      uint64_t max_shard_bytes, std::string_view framework, OutputPlan& plan);

// config.json, tokenizer files, template, ... of the source, as texts; config.json without what says how the source's
// weights were quantised. The caller writes its own into `config`.
void copy_side_files(const ConvertInput& input, const Json& config, OutputPlan& plan);
Json config_without_quantization(const Json& config);

// "bfloat16", "float16", "float32": for config.json's dtype.
std::string_view torch_dtype_name(const QuantType& type);

}  // namespace glimmer::convert
