// generation_config.json: how its maker means the model to be sampled, and the ids that end its turn.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

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

// Reads generation_config.json's text; without it (a model may have none), everything is unset but the eos ids of
// `config`. `source` is what messages call the file. Throws kInvalid naming file and field for a malformed one.
GenerationConfig parse_generation_config(const std::optional<std::string>& text, const std::string& source,
                                         const ModelConfig& config);

// The same of model_dir/generation_config.json.
GenerationConfig read_generation_config(const std::filesystem::path& model_dir, const ModelConfig& config);

}  // namespace glimmer
