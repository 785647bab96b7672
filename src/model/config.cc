#include "model/config.h"

#include "base/config_reader.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "model/config_sections.h"
#include "model/family.h"

namespace glimmer {
namespace {

void check_architecture(const ConfigReader& reader, const ModelConfig& config) {
  const Json* architectures = reader.find("architectures");
  if (architectures == nullptr) return;
  if (architectures->is_array()) {
    for (const Json& name : *architectures) {
      if (name == config.architecture) return;
    }
  }
  reader.fail_field("architectures",
                    fmt::format("a list with {}, as model_type is {}", config.architecture, config.model_type));
}

}  // namespace

ModelConfig parse_config(const Json& json, const std::string& source) {
  ConfigReader reader(json, source);
  ModelConfig config;
  config.source = source;
  config.model_type = reader.require_string("model_type");
  const Family& family = family_of(config.model_type, source);
  config.architecture = family.architecture;
  check_architecture(reader, config);
  read_common(reader, config);
  family.read_config(reader, config);
  for (const std::string& taken : reader.defaults_taken()) config.defaults_taken.push_back(taken);
  return config;
}

ModelConfig read_config(const std::filesystem::path& config_json) {
  constexpr size_t kMaxBytes = size_t{64} << 20;
  const std::string source = config_json.string();
  return parse_config(parse_json(read_file(config_json, kMaxBytes), source), source);
}

ModelConfig read_config(const SideFiles& files) {
  const auto text = files.read("config.json");
  if (!text) fail(ErrorCode::kNotFound, "{}: there is no config.json", files.model);
  const std::string source = files.label("config.json");
  return parse_config(parse_json(*text, source), source);
}

}  // namespace glimmer
