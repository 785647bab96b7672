#include "model/config.h"

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/config_reader.h"
#include "model/config_sections.h"
#include "model/family.h"
#include "model/generation_config.h"

namespace glimmer {

ModelConfig parse_config(const Json& json, const std::string& source) {
  ConfigReader reader(json, source);
  ModelConfig config;
  config.source = source;
  config.model_type = reader.require_string("model_type");
  const Family& family = family_of(config.model_type, source);
  config.architecture = family.architecture;
  read_common(reader, config);
  family.read_config(reader, config);
  read_quantization(reader, config);
  for (const std::string& taken : reader.defaults_taken()) config.defaults_taken.push_back(taken);
  return config;
}

ModelConfig read_config(const std::filesystem::path& config_json) {
  constexpr size_t kMaxBytes = size_t{64} << 20;
  const std::string source = config_json.string();
  return parse_config(parse_json(read_file(config_json, kMaxBytes), source), source);
}

GenerationConfig read_generation_config(const std::filesystem::path& model_dir, const ModelConfig& config) {
  constexpr size_t kMaxBytes = size_t{16} << 20;
  GenerationConfig generation;
  const std::filesystem::path path = model_dir / "generation_config.json";
  if (std::filesystem::exists(path)) {
    const Json json = parse_json(read_file(path, kMaxBytes), path.string());
    ConfigReader reader(json, path.string());
    generation.eos_token_id = reader.ids("eos_token_id");
    const auto number = [&](std::string_view field) {
      return reader.has(field) ? std::optional(reader.require_number(field)) : std::nullopt;
    };
    generation.temperature = number("temperature");
    generation.top_p = number("top_p");
    generation.min_p = number("min_p");
    generation.repetition_penalty = number("repetition_penalty");
    if (reader.has("top_k")) generation.top_k = reader.require_int("top_k", {.low = 0});
    if (reader.has("do_sample")) generation.do_sample = reader.bool_or("do_sample", false);
  }
  if (generation.eos_token_id.empty()) generation.eos_token_id = config.eos_token_id;
  return generation;
}

}  // namespace glimmer
