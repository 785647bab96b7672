// Everything of a model but its weights, so that what is wrong with it shows before those are loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/side_files.h"
#include "engine/sampling_defaults.h"
#include "model/config.h"
#include "model/generation_config.h"
#include "session/chat_model.h"
#include "source/model_source.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace glimmer {

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

// What -m names, opened and read.
struct ModelFiles {
  std::shared_ptr<const ModelSource> source;
  SideFiles files;  // of the source
  ModelConfig config;
  GenerationConfig generation_config;
  std::optional<Tokenizer> tokenizer;  // absent: the model takes and gives ids
  SamplingDefaults sampling;           // where nobody asks for other

  std::vector<int32_t> stop_ids() const;  // end_of_turn_ids
};
// Throws as the readers of its parts.
ModelFiles open_model(const std::filesystem::path& path);

// For conversations (throws kNotFound where the model has no chat template), or for texts alone. Takes the tokenizer
// out of `model`; throws kNotFound where there is none.
ChatModel chat_model(ModelFiles& model);
ChatModel text_model(ModelFiles& model);

}  // namespace glimmer
