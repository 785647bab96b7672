// Builds prompts from users' input, and reads tokenizer, chat template and end-of-turn ids from side files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/flags.h"
#include "base/json.h"
#include "base/side_files.h"
#include "model/generation_config.h"
#include "source/model_source.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace glimmer::apps {

// --template-arg, --no-thinking.
struct TemplateFlags {
  std::vector<std::string> args;  // KEY=VALUE
  bool no_thinking = false;

  void add(Flags& flags);
  // Sets the arguments in the inputs of a template. VALUE is read as JSON, or as a string where it is none.
  // Throws kUsage.
  void apply(Json& inputs) const;
};

// A JSON file of tools: a list, or an object with the list as "tools". Throws kNotFound, kInvalid.
Json read_tools(const std::filesystem::path& path);

// The model's tokenizer.json; nothing where there is none: such a model takes and gives ids.
std::optional<Tokenizer> find_tokenizer(const SideFiles& files);

// The side files of what -m names. A folder that has tokenizer or template files of its own need not have weights.
// Throws as ModelSource::open.
struct ModelSideFiles {
  std::unique_ptr<ModelSource> source;  // which `files` may be of
  SideFiles files;
};
ModelSideFiles open_side_files(const std::filesystem::path& path);

// The tokenizer of what -m names, which may be a tokenizer.json itself. Throws kNotFound if it has none.
Tokenizer open_tokenizer(const std::filesystem::path& path);

// The tokenizer, or kNotFound with what to do about it. `model` is what messages call it.
const Tokenizer& require_tokenizer(const std::optional<Tokenizer>& tokenizer, const std::string& model);

// The model's chat template, or kNotFound with what to do about it.
ChatTemplate load_chat_template(const SideFiles& files);

// The ids that end an answer: those of generation_config.json (or config.json), the eos_token of tokenizer_config.json,
// and <|endoftext|>, <|user|> and <|observation|> where the tokenizer has them as special tokens: they begin what is
// not the model's to say. Ascending, each once.
std::vector<int32_t> end_of_turn_ids(const GenerationConfig& config, const Tokenizer* tokenizer,
                                     const SideFiles& files);

}  // namespace glimmer::apps
