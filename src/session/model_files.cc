#include "session/model_files.h"

#include <set>

#include "base/error.h"
#include "base/json.h"
#include "source/side_files.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

// The content of eos_token in tokenizer_config.json: a string, or an object with "content".
std::optional<std::string> eos_token(const SideFiles& files) {
  const auto text = files.read("tokenizer_config.json");
  if (!text) return std::nullopt;
  const Json config = parse_json(*text, files.label("tokenizer_config.json"));
  if (!config.is_object() || !config.contains("eos_token")) return std::nullopt;
  const Json& token = config["eos_token"];
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return token["content"].get<std::string>();
  }
  return std::nullopt;
}

}  // namespace

std::optional<Tokenizer> find_tokenizer(const SideFiles& files) {
  const auto text = files.read("tokenizer.json");
  if (!text) return std::nullopt;
  return Tokenizer::from_json(*text, files.label("tokenizer.json"));
}

ModelSideFiles open_side_files(const fs::path& path) {
  std::error_code ignored;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json"}) {
    if (fs::exists(path / name, ignored)) return {.source = nullptr, .files = folder_side_files(path)};
  }
  std::unique_ptr<ModelSource> source = ModelSource::open(path);
  SideFiles files = side_files_of(*source);
  return {.source = std::move(source), .files = std::move(files)};
}

Tokenizer open_tokenizer(const fs::path& path) {
  if (path.extension() == ".json") return Tokenizer::from_file(path);
  const ModelSideFiles opened = open_side_files(path);
  std::optional<Tokenizer> tokenizer = find_tokenizer(opened.files);
  if (!tokenizer) fail(ErrorCode::kNotFound, "{}: there is no tokenizer.json", opened.files.model);
  return std::move(*tokenizer);
}

const Tokenizer& require_tokenizer(const std::optional<Tokenizer>& tokenizer, const std::string& model) {
  if (!tokenizer) fail(ErrorCode::kNotFound, "{}: there is no tokenizer.json; give the prompt as --ids", model);
  return *tokenizer;
}

ChatTemplate load_chat_template(const SideFiles& files) {
  if (!ChatTemplate::exists(files)) {
    fail(ErrorCode::kNotFound, "{}: there is no chat template; give a finished prompt with run --raw", files.model);
  }
  return ChatTemplate::load(files);
}

std::vector<int32_t> end_of_turn_ids(const GenerationConfig& config, const Tokenizer* tokenizer,
                                     const SideFiles& files) {
  std::set<int32_t> ids(config.eos_token_id.begin(), config.eos_token_id.end());
  if (tokenizer != nullptr) {
    for (const AddedToken& token : tokenizer->added_tokens()) {
      const bool ends_turn =
          token.content == "<|endoftext|>" || token.content == "<|user|>" || token.content == "<|observation|>";
      if (token.special && ends_turn) ids.insert(token.id);
    }
    if (const auto token = eos_token(files)) {
      if (const auto id = tokenizer->token_to_id(*token)) ids.insert(*id);
    }
  }
  return {ids.begin(), ids.end()};
}

std::vector<int32_t> ModelFiles::stop_ids() const {
  return end_of_turn_ids(generation_config, tokenizer ? &*tokenizer : nullptr, files);
}

ModelFiles open_model(const fs::path& path) {
  ModelFiles model;
  model.source = ModelSource::open(path);
  model.files = side_files_of(*model.source);
  model.config = read_config(model.files);
  model.generation_config = read_generation_config(model.files, model.config);
  model.tokenizer = find_tokenizer(model.files);
  model.sampling = sampling_defaults(model.generation_config, model.config, model.source->path().string());
  return model;
}

ChatModel chat_model(ModelFiles& model) {
  require_tokenizer(model.tokenizer, model.files.model);
  ChatTemplate chat_template = load_chat_template(model.files);
  return ChatModel({.tokenizer = std::move(*model.tokenizer), .chat_template = std::move(chat_template)});
}

ChatModel text_model(ModelFiles& model) {
  require_tokenizer(model.tokenizer, model.files.model);
  return ChatModel({.tokenizer = std::move(*model.tokenizer)});
}

}  // namespace glimmer
