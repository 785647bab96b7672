#include "text/chat_template.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/json_numbers.h"
#include "base/mapped_file.h"
#include "base/name_table.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
#include "text/jinja/resolver.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTemplateBytes = size_t{4} << 20;

jinja::Template compile(std::string_view text, const std::string& source) {
  if (text.size() > kMaxTemplateBytes) {
    fail(ErrorCode::kLimit, "{}: the template has {} bytes; at most {} are read", source, text.size(),
         kMaxTemplateBytes);
  }
  jinja::Template parsed = jinja::parse(text, source);
  jinja::resolve(parsed);
  return parsed;
}

std::tm system_local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

// A template's text and where it is from.
struct NamedTemplate {
  std::string text;
  std::string source;
};
using NamedTemplates = std::map<std::string, NamedTemplate>;  // by name; a single template is "default"

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

// The chat_template of a tokenizer_config.json or chat_template.json: a string, or [{"name", "template"}, ...].
NamedTemplates templates_in(const Json& config, const std::string& source) {
  NamedTemplates templates;
  const Json* value = find(config, "chat_template");
  if (value == nullptr) return templates;
  if (value->is_string()) {
    templates["default"] = {value->get<std::string>(), source};
    return templates;
  }
  if (!value->is_array()) {
    fail(ErrorCode::kInvalid, "{}: chat_template is {}; expected a string or a list of {{\"name\", \"template\"}}",
         source, value->type_name());
  }
  for (const Json& entry : *value) {
    const Json* name = find(entry, "name");
    const Json* text = find(entry, "template");
    if (name == nullptr || text == nullptr || !name->is_string() || !text->is_string()) {
      fail(ErrorCode::kInvalid, "{}: an entry of the list chat_template has no string \"name\" and \"template\"",
           source);
    }
    templates[name->get<std::string>()] = {text->get<std::string>(),
                                           fmt::format("{}({})", source, name->get<std::string>())};
  }
  return templates;
}

// chat_template.jinja, and the template for tools beside it. The other named ones nobody renders.
NamedTemplates templates_of_files(const SideFiles& files) {
  NamedTemplates templates;
  const auto add = [&](const char* template_name, const char* file) {
    if (auto text = files.read(file)) templates[template_name] = {std::move(*text), files.label(file)};
  };
  add("default", "chat_template.jinja");
  add("default", "additional_chat_templates/default.jinja");
  add("tool_use", "additional_chat_templates/tool_use.jinja");
  return templates;
}

NamedTemplates find_templates(const SideFiles& files) {
  NamedTemplates templates = templates_of_files(files);
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    if (!templates.empty()) break;
    const std::string source = files.label(name);
    if (const auto text = files.read(name)) templates = templates_in(parse_json(*text, source), source);
  }
  return templates;
}

std::optional<std::string> token_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  const Json* content = find(value, "content");
  if (content == nullptr || !content->is_string()) return std::nullopt;
  return content->get<std::string>();
}

// bos_token, eos_token, ... of tokenizer_config.json: strings, or objects with "content".
Json special_tokens_of(const SideFiles& files) {
  Json tokens = Json::object();
  const auto config_text = files.read("tokenizer_config.json");
  if (!config_text) return tokens;
  const std::string source = files.label("tokenizer_config.json");
  const Json config = parse_json(*config_text, source);
  if (!config.is_object()) fail(ErrorCode::kInvalid, "{}: expected an object, found {}", source, config.type_name());
  for (const auto& [key, value] : config.items()) {
    if (!key.ends_with("_token")) continue;
    if (const auto text = token_text(value)) tokens[key] = *text;
  }
  if (const Json* additional = find(config, "additional_special_tokens");
      additional != nullptr && additional->is_array()) {
    Json texts = Json::array();
    for (const Json& value : *additional) {
      if (const auto text = token_text(value)) texts.push_back(*text);
    }
    tokens["additional_special_tokens"] = std::move(texts);
  }
  return tokens;
}

// Tool-call arguments that came as JSON text, as OpenAI's API has them, become the object that templates expect.
void parse_arguments(Json& function, const std::string& where) {
  const auto arguments = function.find("arguments");
  if (arguments == function.end() || !arguments->is_string()) return;
  const std::string text = to_valid_utf8(arguments->get_ref<const std::string&>());
  if (text.find_first_not_of(" \t\r\n") == text.npos) {
    *arguments = Json::object();
    return;
  }
  Json parsed = parse_exact_json(text, where);
  if (!parsed.is_object()) fail(ErrorCode::kInvalid, "{}: expected a JSON object, found {}", where, parsed.type_name());
  *arguments = std::move(parsed);
}

void check_message(Json& message, size_t index) {
  const std::string where = fmt::format("messages[{}]", index);
  if (!message.is_object()) fail(ErrorCode::kInvalid, "{}: expected an object, found {}", where, message.type_name());
  const Json* role = find(message, "role");
  if (role == nullptr || !role->is_string()) fail(ErrorCode::kInvalid, "{}: expected a string \"role\"", where);
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || !calls->is_array()) return;
  for (size_t i = 0; i < calls->size(); ++i) {
    Json& call = (*calls)[i];
    if (!call.is_object()) continue;
    const std::string call_where = fmt::format("{}.tool_calls[{}]", where, i);
    const auto function = call.find("function");
    if (function != call.end() && function->is_object()) {
      parse_arguments(*function, call_where + ".function.arguments");
    } else {
      parse_arguments(call, call_where + ".arguments");
    }
  }
}

// What transformers gives a template: special tokens, then the arguments, then what it always passes.
Json complete_inputs(const Json& inputs, const Json& special_tokens) {
  if (!inputs.is_object())
    fail(ErrorCode::kInvalid, "template inputs: expected an object, found {}", inputs.type_name());
  const Json* messages = find(inputs, "messages");
  if (messages == nullptr || !messages->is_array()) {
    fail(ErrorCode::kInvalid, "template inputs: expected \"messages\", an array of {{\"role\", \"content\"}} objects");
  }
  const Json* tools = find(inputs, "tools");
  if (tools != nullptr && !tools->is_array()) {
    fail(ErrorCode::kInvalid, "template inputs: expected an array of \"tools\", found {}", tools->type_name());
  }
  Json complete = special_tokens;
  for (const auto& [key, value] : inputs.items()) complete[key] = value;
  for (const char* key : {"tools", "documents"}) {
    if (!complete.contains(key)) complete[key] = nullptr;
  }
  if (!complete.contains("add_generation_prompt")) complete["add_generation_prompt"] = false;
  Json& checked = complete["messages"];
  for (size_t i = 0; i < checked.size(); ++i) check_message(checked[i], i);
  return complete;
}

}  // namespace

struct ChatTemplate::Impl {
  NamedTemplate main;
  jinja::Template compiled;
  std::optional<jinja::Template> tool_use;  // renders when there are tools
  Json special_tokens = Json::object();
  TemplateOptions options;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate::ChatTemplate(std::string_view text, std::string source, TemplateOptions options)
    : impl_(std::make_unique<Impl>()) {
  impl_->compiled = compile(text, source);
  impl_->main = {std::string(text), std::move(source)};
  impl_->options = std::move(options);
}

ChatTemplate ChatTemplate::from_file(const fs::path& path, TemplateOptions options) {
  return ChatTemplate(read_file(path, kMaxTemplateBytes), path.string(), std::move(options));
}

bool ChatTemplate::exists(const SideFiles& files) { return !find_templates(files).empty(); }
bool ChatTemplate::exists(const fs::path& model_dir) { return exists(folder_side_files(model_dir)); }

ChatTemplate ChatTemplate::load(const fs::path& model_dir, TemplateOptions options) {
  return load(folder_side_files(model_dir), std::move(options));
}

ChatTemplate ChatTemplate::load(const SideFiles& files, TemplateOptions options) {
  const NamedTemplates templates = find_templates(files);
  if (templates.empty()) {
    fail(ErrorCode::kNotFound,
         "{}: no chat template (chat_template.jinja, chat_template.json, or chat_template in tokenizer_config.json)",
         files.model);
  }
  const auto main = templates.find("default");
  if (main == templates.end()) {
    fail(ErrorCode::kInvalid, "{}: several chat templates and none is named \"default\"; found: {}", files.model,
         list_names(templates, &NamedTemplates::value_type::first));
  }
  auto impl = std::make_unique<Impl>();
  impl->main = main->second;
  impl->compiled = compile(impl->main.text, impl->main.source);
  if (const auto tool_use = templates.find("tool_use"); tool_use != templates.end()) {
    impl->tool_use = compile(tool_use->second.text, tool_use->second.source);
  }
  impl->special_tokens = special_tokens_of(files);
  impl->options = std::move(options);
  return ChatTemplate(std::move(impl));
}

std::string ChatTemplate::render(const Json& inputs) const {
  const Json complete = complete_inputs(inputs, impl_->special_tokens);
  const bool with_tools = impl_->tool_use.has_value() && !complete["tools"].is_null();
  const jinja::Template& compiled = with_tools ? *impl_->tool_use : impl_->compiled;
  const TemplateLimits& limits = impl_->options.limits;
  jinja::Budget budget(
      jinja::Limits{limits.max_steps, limits.max_output_bytes, limits.max_memory_bytes, limits.max_call_depth});
  const LocalClock clock = impl_->options.clock ? impl_->options.clock : LocalClock(system_local_time);
  const jinja::Value arguments = jinja::Value::from_json(complete);
  return jinja::Interpreter(compiled, arguments.as_dict(), clock, budget).run();
}

const std::string& ChatTemplate::text() const { return impl_->main.text; }
const std::string& ChatTemplate::source() const { return impl_->main.source; }
const Json& ChatTemplate::special_tokens() const { return impl_->special_tokens; }

}  // namespace glimmer
