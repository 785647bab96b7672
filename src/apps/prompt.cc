#include "apps/prompt.h"

#include <set>

#include "base/error.h"
#include "base/json_numbers.h"
#include "base/mapped_file.h"
#include "source/side_files.h"

namespace glimmer::apps {
namespace {

namespace fs = std::filesystem;

// `text` as JSON, else as a string: --template-arg enable_thinking=false, reasoning_effort=high.
Json value_of(const std::string& text) {
  try {
    return parse_exact_json(text, "--template-arg");
  } catch (const Error&) {
    return text;
  }
}

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

void TemplateFlags::add(Flags& flags) {
  flags.group("Chat template")
      .add("--template-arg", args, "KEY=VALUE",
           "Pass an argument to the template (JSON or text); may be given more than once")
      .add_switch("--no-thinking", no_thinking, "Disable reasoning; same as --template-arg enable_thinking=false");
}

void TemplateFlags::apply(Json& inputs) const {
  if (no_thinking) inputs["enable_thinking"] = false;
  for (const std::string& arg : args) {
    const size_t equals = arg.find('=');
    if (equals == std::string::npos || equals == 0)
      fail(ErrorCode::kUsage, "--template-arg: '{}' is not KEY=VALUE", arg);
    inputs[arg.substr(0, equals)] = value_of(arg.substr(equals + 1));
  }
}

Json read_tools(const fs::path& path) {
  Json tools = parse_exact_json(read_file(path), path.string());
  if (tools.is_object() && tools.contains("tools")) tools = Json(tools["tools"]);
  if (!tools.is_array()) {
    fail(ErrorCode::kInvalid, "{}: expected a list of tools, or an object with it as \"tools\", found {}",
         path.string(), tools.type_name());
  }
  for (const Json& tool : tools) {
    if (!tool.is_object()) {
      fail(ErrorCode::kInvalid, "{}: expected each tool to be an object, found {}", path.string(), dump_json(tool));
    }
  }
  return tools;
}

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

}  // namespace glimmer::apps
