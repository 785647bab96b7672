#include "model/generation_config.h"

#include "base/config_reader.h"

namespace glimmer {
namespace {

std::optional<double> number_in(const ConfigReader& reader, std::string_view field, double low, double high) {
  if (!reader.has(field)) return std::nullopt;
  const double value = reader.require_number(field);
  if (value < low || value > high) reader.fail_field(field, fmt::format("a number from {} to {}", low, high));
  return value;
}

}  // namespace

GenerationConfig read_generation_config(const std::filesystem::path& model_dir, const ModelConfig& config) {
  return read_generation_config(folder_side_files(model_dir), config);
}

GenerationConfig read_generation_config(const SideFiles& files, const ModelConfig& config) {
  GenerationConfig generation;
  if (const auto text = files.read("generation_config.json")) {
    const std::string source = files.label("generation_config.json");
    const Json json = parse_json(*text, source);
    ConfigReader reader(json, source);
    generation.eos_token_id = reader.ids("eos_token_id");
    generation.temperature = number_in(reader, "temperature", 0, 100);
    generation.top_p = number_in(reader, "top_p", 1e-6, 1);
    generation.min_p = number_in(reader, "min_p", 0, 1);
    generation.repetition_penalty = number_in(reader, "repetition_penalty", 0.01, 100);
    if (reader.has("top_k")) generation.top_k = reader.require_int("top_k", {.low = -1});
    if (reader.has("do_sample")) generation.do_sample = reader.bool_or("do_sample", false);
  }
  if (generation.eos_token_id.empty()) generation.eos_token_id = config.eos_token_id;
  return generation;
}

}  // namespace glimmer
