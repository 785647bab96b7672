#include "model/generation_config.h"

#include "base/config_reader.h"
#include "base/mapped_file.h"

namespace glimmer {
namespace {

std::optional<double> number_in(const ConfigReader& reader, std::string_view field, double low, double high) {
  if (!reader.has(field)) return std::nullopt;
  const double value = reader.require_number(field);
  if (value < low || value > high) reader.fail_field(field, fmt::format("a number from {} to {}", low, high));
  return value;
}

}  // namespace

GenerationConfig parse_generation_config(const std::optional<std::string>& text, const std::string& source,
                                         const ModelConfig& config) {
  GenerationConfig generation;
  if (text) {
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

GenerationConfig read_generation_config(const std::filesystem::path& model_dir, const ModelConfig& config) {
  constexpr size_t kMaxBytes = size_t{16} << 20;
  const std::filesystem::path path = model_dir / "generation_config.json";
  std::optional<std::string> text;
  if (std::filesystem::exists(path)) text = read_file(path, kMaxBytes);
  return parse_generation_config(text, path.string(), config);
}

}  // namespace glimmer
