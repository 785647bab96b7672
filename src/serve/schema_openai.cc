#include "serve/schema_openai.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quoted_name.h"

namespace glimmer {
namespace {

const FieldTable& message_table() {
  static const FieldTable table = {
      {.name = "role", .choices = {"system", "developer", "user", "assistant", "tool", "function"}, .required = true},
      {"content", kTextField | kListField},
      {"reasoning_content", kTextField},
      {"reasoning", kTextField},
      {"tool_calls", kListField},
      {"tool_call_id", kTextField},
      {"name", kTextField},
      {"refusal", kTextField},
      {"function_call", kObjectField},
      {"audio", kObjectField},
      {"annotations", kListField},
      {"prefix", kBooleanField},
      {"partial", kBooleanField},
  };
  return table;
}

const FieldTable& tool_call_table() {
  static const FieldTable table = {
      {"id", kTextField}, {"type", kTextField}, {"index", kIntegerField}, {"function", kObjectField}};
  return table;
}

const FieldTable& called_function_table() {
  static const FieldTable table = {{.name = "name", .required = true}, {"arguments", kTextField | kObjectField}};
  return table;
}

const FieldTable& tool_table() {
  static const FieldTable table = {{.name = "type", .required = true}, {"function", kObjectField}};
  return table;
}

const FieldTable& function_table() {
  static const FieldTable table = {
      {.name = "name", .required = true}, {"description"}, {"parameters", kObjectField}, {"strict", kBooleanField}};
  return table;
}

const FieldTable& tool_choice_table() {
  static const FieldTable table = {{.name = "type", .required = true},
                                   {"function", kObjectField},
                                   {"custom", kObjectField},
                                   {"allowed_tools", kObjectField}};
  return table;
}

const FieldTable& allowed_tools_table() {
  static const FieldTable table = {{.name = "mode", .choices = {"auto", "required"}, .required = true},
                                   {.name = "tools", .types = kListField, .required = true}};
  return table;
}

const FieldTable& thinking_table() {
  static const FieldTable table = {{.name = "type", .choices = {"enabled", "disabled"}, .required = true},
                                   {"clear_thinking", kBooleanField}};
  return table;
}

const FieldTable& part_table() {
  static const FieldTable table = {{.name = "type", .required = true},
                                   {"text", kTextField},
                                   {"refusal", kTextField},
                                   {"cache_control", kObjectField},
                                   {"prompt_cache_breakpoint", kObjectField}};
  return table;
}

// The text of one part of a message.
std::string part_text(const Json& part, const std::string& path, SchemaContext& context) {
  if (part.is_string()) return part.get<std::string>();
  // The fields of other kinds of parts are no news: the part is refused.
  const Fields read(part, path, part_table(), nullptr);
  const std::string type = *read.text("type");
  if (type != "text" && type != "refusal") reads_text_only(path, type);
  const Fields logged(part, path, part_table(), &context.remarks);
  const auto text = read.text(type == "text" ? "text" : "refusal");
  if (!text) read.fail_at(type == "text" ? "text" : "refusal", "is missing");
  return *text;
}

std::string content_text(const Fields& message, SchemaContext& context) {
  const Json* content = message.find("content");
  if (content == nullptr) return {};
  if (content->is_string()) return content->get<std::string>();
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    text += part_text((*content)[i], element_path(message.path_of("content"), i), context);
  }
  return text;
}

ChatToolCall read_tool_call(const Json& call, const std::string& path, SchemaContext& context) {
  const Fields read(call, path, tool_call_table(), &context.remarks);
  if (const auto type = read.text("type"); type && *type != "function") {
    read.fail_at("type", fmt::format("expected \"function\", found {}", quoted_name(*type)));
  }
  if (!read.has("function")) read.fail_at("function", "is missing");
  const Fields function(*read.find("function"), read.path_of("function"), called_function_table(), &context.remarks);
  ChatToolCall out{read.text("id").value_or(""), *function.text("name"), Json::object()};
  if (const Json* arguments = function.find("arguments")) {
    out.arguments = arguments->is_object()
                        ? *arguments
                        : tool_arguments(function.path_of("arguments"), arguments->get<std::string>(), context);
  }
  return out;
}

// Whether a message, the last, says that the answer goes on from it: "prefix" as DeepSeek's and Mistral's APIs have it,
// "partial" as Moonshot's and Qwen's.
bool is_begun(const Json& message, const std::string& path) {
  const Fields read(message, path, message_table(), nullptr);
  return read.boolean("prefix", false) || read.boolean("partial", false);
}

ChatMessage read_message(const Json& message, const std::string& path, SchemaContext& context) {
  const Fields read(message, path, message_table(), &context.remarks);
  const std::string role = *read.text("role");
  ChatMessage out;
  out.content = content_text(read, context);
  if (role == "assistant") {
    out.role = ChatMessage::Role::kAssistant;
    out.reasoning = read.has("reasoning_content") ? read.text("reasoning_content") : read.text("reasoning");
    if (read.has("function_call")) read.fail_at("function_call", "is not supported: use tool_calls");
    if (const Json* calls = read.find("tool_calls")) {
      for (size_t i = 0; i < calls->size(); ++i) {
        const std::string call_path = element_path(read.path_of("tool_calls"), i);
        out.tool_calls.push_back(read_tool_call((*calls)[i], call_path, context));
      }
    }
    return out;
  }
  if (!read.has("content")) read.fail_at("content", "is missing");
  if (role == "user") {
    out.role = ChatMessage::Role::kUser;
  } else if (role == "tool" || role == "function") {
    out.role = ChatMessage::Role::kTool;
    out.tool_call_id = read.text("tool_call_id").value_or("");
  } else {
    out.role = ChatMessage::Role::kSystem;
  }
  return out;
}

// The names in a list of {"type": "function", "function": {"name"}}.
std::set<std::string> allowed_names(const Fields& allowed) {
  std::set<std::string> names;
  const Json& tools = *allowed.find("tools");
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = element_path(allowed.path_of("tools"), i);
    const Fields tool(tools[i], path, tool_table(), nullptr);
    if (!tool.has("function")) tool.fail_at("function", "is missing");
    const Fields function(*tool.find("function"), tool.path_of("function"), function_table(), nullptr);
    names.insert(*function.text("name"));
  }
  return names;
}

void read_tool_choice(const Fields& body, SchemaContext& context, Chat& chat) {
  const Json* choice = body.find("tool_choice");
  if (choice == nullptr) return;
  const std::string path = body.path_of("tool_choice");
  if (choice->is_string()) {
    const auto& name = choice->get_ref<const std::string&>();
    if (name == "required") not_yet_structured(path, "\"required\"");
    if (name == "none") chat.tools.clear();
    return;  // "auto": nothing changes
  }
  const Fields read(*choice, path, tool_choice_table(), &context.remarks);
  const std::string type = *read.text("type");
  if (type == "function" || type == "custom") not_yet_structured(path, "a named tool");
  if (type != "allowed_tools" || !read.has("allowed_tools")) {
    read.fail_at("type", fmt::format("expected function or allowed_tools, found {}", quoted_name(type)));
  }
  const Fields allowed(*read.find("allowed_tools"), read.path_of("allowed_tools"), allowed_tools_table(),
                       &context.remarks);
  if (*allowed.text("mode") == "required") not_yet_structured(allowed.path_of("mode"), "\"required\"");
  allow_tools(allowed.path_of("tools"), allowed_names(allowed), chat);
}

void read_response_format(const Fields& body) {
  const Json* format = body.find("response_format");
  if (format == nullptr) return;
  static const FieldTable table = {
      {.name = "type", .choices = {"text", "json_object", "json_schema"}, .required = true}};
  const Fields read(*format, body.path_of("response_format"), table, nullptr);
  const std::string type = *read.text("type");
  if (type != "text") not_yet_structured(body.path_of("response_format"), quoted_name(type));
}

void read_thinking(const Fields& body, SchemaContext& context, Chat& chat) {
  if (const auto effort = body.text("reasoning_effort")) apply_reasoning_effort(*effort, chat);
  if (const Json* thinking = body.find("thinking")) {  // as GLM's own API has it
    const Fields read(*thinking, body.path_of("thinking"), thinking_table(), &context.remarks);
    chat.thinking = *read.text("type") == "enabled";
    if (const auto clear = read.boolean("clear_thinking")) chat.template_args["clear_thinking"] = *clear;
  }
  read_template_args(body, chat);
}

void read_chat_logprobs(const Fields& body, GenerationJob& job) {
  const auto top = body.integer("top_logprobs");
  if (body.boolean("logprobs", false)) {
    job.top_logprobs = static_cast<int>(top.value_or(0));
  } else if (top.value_or(0) > 0) {
    body.fail_at("top_logprobs", "only with \"logprobs\": true");
  }
}

// A string, a list of ids, or a list of either.
std::vector<RawPrompt> read_prompts(const Fields& body, const SchemaContext& context) {
  const Json& prompt = *body.find("prompt");
  const std::string path = body.path_of("prompt");
  if (prompt.is_string()) return {prompt.get<std::string>()};
  if (prompt.empty()) body.fail_at("prompt", "the list is empty");
  if (prompt.front().is_number()) return {read_token_ids(prompt, path, context)};
  check_count(path, prompt.size(), context.limits.max_prompts, "prompts");
  std::vector<RawPrompt> out;
  for (size_t i = 0; i < prompt.size(); ++i) {
    const std::string element = element_path(path, i);
    if (prompt[i].is_string()) {
      out.emplace_back(prompt[i].get<std::string>());
    } else if (prompt[i].is_array()) {
      out.emplace_back(read_token_ids(prompt[i], element, context));
    } else {
      bad_field(element, fmt::format("expected a string or a list of token ids, found {}", json_type_name(prompt[i])));
    }
  }
  return out;
}

}  // namespace

const FieldTable& chat_completion_table() {
  static const FieldTable table = [] {
    FieldTable rows = {
        {"model", kTextField, "Any: there is one model"},
        {.name = "messages", .types = kListField, .about = "The conversation", .required = true},
        {"max_tokens", kIntegerField, "Of the answer, reasoning and all", 1, kMaxCount},
        {"max_completion_tokens", kIntegerField, "The same", 1, kMaxCount},
        {"logprobs", kBooleanField, "The probability of each token of the answer's text"},
        {"top_logprobs", kIntegerField, "And those of the likeliest", 0, 20},
        {"tools", kListField, "Functions that the model may call"},
        {.name = "tool_choice", .types = kTextField | kObjectField, .choices = {"none", "auto", "required"}},
        {"parallel_tool_calls", kBooleanField, "false: the answer ends with its first call"},
        {"response_format", kObjectField, "Only {\"type\": \"text\"}"},
        {.name = "reasoning_effort", .about = "none and minimal: no thinking", .choices = kReasoningEfforts},
        {"thinking", kObjectField, "{\"type\": \"enabled\" or \"disabled\", \"clear_thinking\"}"},
        {"chat_template_kwargs", kObjectField, "Arguments of the chat template: enable_thinking, ..."},
        {"continue_final_message", kBooleanField, "The answer goes on where the last message, the assistant's, ends"},
        {"add_generation_prompt", kBooleanField, "false: the prompt ends with the last message"},
        // Accepted, and of no effect here.
        {"metadata", kObjectField},
        {"store", kBooleanField},
        {"service_tier", kTextField},
        {"safety_identifier", kTextField},
        {"prompt_cache_key", kTextField},
        {"prompt_cache_options", kObjectField},
        {"prompt_cache_retention", kTextField},
        {"verbosity", kTextField},
        {"prediction", kObjectField},
        {"moderation", kObjectField},
        // Known, and refused.
        {"modalities", kListField, "Only [\"text\"]"},
        {"audio", kObjectField, "Not supported"},
        {"functions", kListField, "Not supported: use tools"},
        {"function_call", kTextField | kObjectField, "Not supported: use tool_choice"},
        {"web_search_options", kObjectField, "Not supported"},
    };
    add_sampling_fields(rows);
    add_openai_fields(rows);
    return rows;
  }();
  return table;
}

std::vector<int32_t> read_token_ids(const Json& list, const std::string& path, const SchemaContext& context) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const Json& id = list[i];
    if (!id.is_number_integer() || id < 0 || id >= context.vocab_size) {
      bad_field(element_path(path, i), fmt::format("expected a token id in [0, {}), found {}", context.vocab_size,
                                                   id.is_number() ? dump_json(id) : std::string(json_type_name(id))));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void read_chat_messages(const Json& messages, const std::string& path, SchemaContext& context, Chat& chat) {
  if (messages.empty()) bad_field(path, "the list is empty");
  check_count(path, messages.size(), context.limits.max_messages, "messages");
  for (size_t i = 0; i < messages.size(); ++i) {
    chat.messages.push_back(read_message(messages[i], element_path(path, i), context));
  }
  chat.continues_last = is_begun(messages.back(), element_path(path, messages.size() - 1));
}

void read_chat_tools(const Json& tools, const std::string& path, SchemaContext& context, Chat& chat) {
  check_count(path, tools.size(), context.limits.max_tools, "tools");
  std::set<std::string> names;
  for (size_t i = 0; i < tools.size(); ++i) {
    const Fields tool(tools[i], element_path(path, i), tool_table(), &context.remarks);
    if (const std::string type = *tool.text("type"); type != "function") {
      tool.fail_at("type", fmt::format("expected \"function\", found {}", quoted_name(type)));
    }
    if (!tool.has("function")) tool.fail_at("function", "is missing");
    const Fields function(*tool.find("function"), tool.path_of("function"), function_table(), &context.remarks);
    if (function.boolean("strict", false)) context.remark(function.path_of("strict") + ": not enforced");
    add_tool({function.path(), *function.text("name"), function.find("description"), function.find("parameters")},
             context, names, chat);
  }
}

GenerationJob read_chat_completion(const Json& json, SchemaContext& context) {
  const Fields body(json, "", chat_completion_table(), &context.remarks);
  GenerationJob job;
  Chat& chat = job.input.emplace<Chat>();
  job.model = body.text("model").value_or("");
  read_openai_fields(body, context, job);
  job.max_new_tokens =
      body.has("max_completion_tokens") ? body.integer("max_completion_tokens") : body.integer("max_tokens");
  read_chat_logprobs(body, job);
  for (const char* name : {"audio", "functions", "function_call", "web_search_options"}) {
    if (body.has(name)) body.fail_at(name, "is not supported");
  }
  if (const Json* modalities = body.find("modalities")) {
    if (*modalities != Json::array({"text"})) body.fail_at("modalities", "only [\"text\"] is supported");
  }
  read_response_format(body);
  read_chat_messages(*body.find("messages"), body.path_of("messages"), context, chat);
  if (const Json* tools = body.find("tools")) read_chat_tools(*tools, body.path_of("tools"), context, chat);
  read_tool_choice(body, context, chat);
  job.parallel_tool_calls = body.boolean("parallel_tool_calls", true);
  read_thinking(body, context, chat);
  read_answer_beginning(body, chat);
  return job;
}

const FieldTable& completion_table() {
  static const FieldTable table = [] {
    FieldTable rows = {
        {"model", kTextField, "Any: there is one model"},
        {.name = "prompt",
         .types = kTextField | kListField,
         .about = "A text, a list of texts, token ids, or a list of lists of them. Names of special tokens are tokens",
         .required = true},
        {"max_tokens", kIntegerField, "16 if absent", 0, kMaxCount},
        {"logprobs", kIntegerField, "The probabilities of the answer's tokens, and of so many of the likeliest", 0, 20},
        {"echo", kBooleanField, "The prompt before the answer"},
        {"suffix", kTextField, "What comes behind the answer: the model fills the gap"},
        {"best_of", kIntegerField, "Only as n", 1, kMaxCount},
    };
    add_sampling_fields(rows);
    add_openai_fields(rows);
    return rows;
  }();
  return table;
}

GenerationJob read_completion(const Json& json, SchemaContext& context) {
  constexpr int64_t kDefaultTokens = 16;  // as OpenAI has it
  const Fields body(json, "", completion_table(), &context.remarks);
  GenerationJob job;
  job.model = body.text("model").value_or("");
  read_openai_fields(body, context, job);
  job.max_new_tokens = body.integer("max_tokens").value_or(kDefaultTokens);
  job.top_logprobs = static_cast<int>(body.integer("logprobs").value_or(-1));
  job.echo = body.boolean("echo", false);
  job.suffix = body.text("suffix").value_or("");
  if (!job.suffix.empty() && job.echo && job.top_logprobs >= 0) {
    body.fail_at("suffix", "not with echo and logprobs: which text would they be of?");
  }
  if (body.integer("best_of").value_or(job.n) != job.n) body.fail_at("best_of", "is not supported but as n");
  job.input = read_prompts(body, context);
  if (static_cast<int64_t>(std::get<1>(job.input).size()) * job.n > context.limits.max_prompts) {
    body.fail_at("n", fmt::format("at most {} answers to one request", context.limits.max_prompts));
  }
  return job;
}

}  // namespace glimmer
