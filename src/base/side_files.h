// The small files beside a model's weights, by their names in a Hugging Face folder: config.json, tokenizer.json,
// chat_template.jinja, additional_chat_templates/tool_use.jinja, ... Readers need not know whether they are
// files in a folder or derived from another format.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace glimmer {

struct SideFiles {
  std::string model;  // what messages call the model: its folder or file
  // The file's text; nothing if there is none. Throws kIo, kLimit, kInvalid.
  std::function<std::optional<std::string>(std::string_view name)> read;
  // What messages call that file, whether it is there or not.
  std::function<std::string(std::string_view name)> label;
};

inline constexpr size_t kMaxSideFileBytes = size_t{256} << 20;

// Those of a folder. A file above kMaxSideFileBytes is kLimit.
SideFiles folder_side_files(const std::filesystem::path& folder);

}  // namespace glimmer
