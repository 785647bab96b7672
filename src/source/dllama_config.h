// config.json and generation_config.json as the header of a Distributed Llama file tells them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "format/dllama_header.h"

namespace glimmer {

// The ids that the file, or the tokenizer beside it, gives.
struct DllamaIds {
  std::vector<int32_t> eos;
  std::optional<int32_t> bos;
};

// Text of config.json: model_type llama (LLAMA, whatever its maker called it), qwen3, qwen3_moe, glm, glm4, glm4_moe or
// glm4_moe_lite. Throws kUnsupported on a rope_type that the family does not have.
std::string dllama_config_json(const DllamaHeader& header, const DllamaIds& ids, std::string_view file);

// Text of generation_config.json; nothing if no ids are known.
std::optional<std::string> dllama_generation_config_json(const DllamaHeader& header, const DllamaIds& ids);

}  // namespace glimmer
