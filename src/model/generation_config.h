// generation_config.json: recommended sampling parameters, and the ids that end a turn.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/side_files.h"
#include "model/config.h"

namespace glimmer {

struct GenerationConfig {
  std::vector<int32_t> eos_token_id;  // from this file, else config.json; the tokenizer's special tokens come on top
  std::optional<bool> do_sample;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> top_k;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
};

// Reads the model's generation_config.json; where the file is absent, everything is unset but the eos ids of `config`.
// Throws kInvalid naming file and field for a malformed one.
GenerationConfig read_generation_config(const SideFiles& files, const ModelConfig& config);
GenerationConfig read_generation_config(const std::filesystem::path& model_dir, const ModelConfig& config);

}  // namespace glimmer
