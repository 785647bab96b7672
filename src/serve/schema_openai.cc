#include "serve/schema_openai.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quoted_name.h"
#include "serve/content_parts.h"
#include "serve/foreign_fields.h"

namespace glimmer::serve {
namespace {

const FieldTable& message_table() {
  static const FieldTable table = {
      {.name = "role", .choices = {"system", "developer", "user", "assistant", "tool", "function"}, .required = true},
      {"content", kTextField | kListField},
      {"reasoning_content", kTextField},
      {"reasoning", kTextField},
      {"thinking", kTextField},
      {"thinking_blocks", kListField},
      {"reasoning_details", kListField},
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
  static const FieldTable table = {{"id", kTextField},
                                   {"type", kTextField},
                                   {"index", kIntegerField},
                                   {"function", kObjectField},
                                   {"custom", kObjectField}};
  return table;
}

const FieldTable& called_function_table() {
  static const FieldTable table = {{.name = "name", .required = true},
                                   {"arguments", kTextField | kObjectField | kListField}};
  return table;
}

const FieldTable& called_custom_table() {
  static const FieldTable table = {{.name = "name", .required = true}, {"input", kTextField}};
  return table;
}

const FieldTable& tool_table() {
  static const FieldTable table = {{"type"}, {"function", kObjectField}};
  return table;
}

const FieldTable& function_table() {
  static const FieldTable table = {{.name = "name", .required = true},
                                   {"description"},
                                   {"parameters", kObjectField},
                                   {"strict", kBooleanField},
                                   {"type"}};
  return table;
}

const FieldTable& thinking_table() {
  static const FieldTable table = {{.name = "type", .choices = {"enabled", "disabled"}, .required = true},
                                   {"clear_thinking", kBooleanField}};
  return table;
}

// {"name", "arguments"}, as tool_calls have it and once function_call.
ChatToolCall read_called_function(const Json& called, const std::string& path, SchemaContext& context) {
  const Fields function(called, path, called_function_table(), &context.remarks);
  const Json arguments = tool_arguments(function.path_of("arguments"), function.find("arguments"), context);
  return {"", *function.text("name"), arguments};
}

ChatToolCall read_tool_call(const Json& call, const std::string& path, SchemaContext& context) {
  const Fields read(call, path, tool_call_table(), &context.remarks);
  const std::string type = read.text("type").value_or("");
  ChatToolCall out;
  if (type == "custom") {
    if (!read.has("custom")) read.fail_at("custom", "is missing");
    const Fields custom(*read.find("custom"), read.path_of("custom"), called_custom_table(), &context.remarks);
    out = {"", *custom.text("name"), {{"input", custom.text("input").value_or("")}}};
  } else if (type.empty() || type == "function") {
    if (!read.has("function")) read.fail_at("function", "is missing");
    out = read_called_function(*read.find("function"), read.path_of("function"), context);
  } else {
    read.fail_at("type", fmt::format("expected function or custom, found {}", quoted_name(type)));
  }
  out.id = read.text("id").value_or("");
  return out;
}

// Whether the last message asks to be continued: "prefix" in DeepSeek's and Mistral's APIs, "partial" in Moonshot's and
// Qwen's.
bool is_begun(const Json& message, const std::string& path) {
  const Fields read(message, path, message_table(), nullptr);
  return read.boolean("prefix", false) || read.boolean("partial", false);
}

// The first present of the fields in which clients send reasoning back.
std::optional<std::string> read_reasoning(const Fields& message, SchemaContext& context) {
  for (const char* name : {"reasoning_content", "reasoning", "thinking"}) {
    if (message.has(name)) return message.text(name);
  }
  // Lists of Anthropic's thinking blocks (LiteLLM), and of OpenRouter's "reasoning.text", "reasoning.summary", ...
  for (const char* name : {"thinking_blocks", "reasoning_details"}) {
    const Json* blocks = message.find(name);
    if (blocks == nullptr) continue;
    std::string text;
    for (const Json& block : *blocks) {
      for (const char* field : {"thinking", "text", "summary"}) {
        if (!block.is_object() || !block.contains(field) || !block[field].is_string()) continue;
        text += block[field].get<std::string>();
        break;
      }
    }
    if (!text.empty()) return text;
    if (!blocks->empty()) context.leave_out(message.path_of(name), "reasoning without a text");
  }
  return std::nullopt;
}

ChatMessage read_message(const Json& message, const std::string& path, SchemaContext& context) {
  const Fields read(message, path, message_table(), &context.remarks);
  const std::string role = *read.text("role");
  const bool tool = role == "tool" || role == "function";
  const ContentRules rules{.unknown = tool ? UnknownParts::kLeaveOut : UnknownParts::kRefuse};
  ContentText content = read_content(read.find("content"), read.path_of("content"), rules, context);
  ChatMessage out;
  out.content = std::move(content.text);
  if (role == "assistant") {
    out.role = ChatMessage::Role::kAssistant;
    out.reasoning = read_reasoning(read, context);
    if (!out.reasoning) out.reasoning = std::move(content.reasoning);
    if (out.content.empty()) out.content = read.text("refusal").value_or("");
    if (const Json* call = read.find("function_call")) {
      out.tool_calls.push_back(read_called_function(*call, read.path_of("function_call"), context));
    }
    if (const Json* calls = read.find("tool_calls")) {
      for (size_t i = 0; i < calls->size(); ++i) {
        const std::string call_path = element_path(read.path_of("tool_calls"), i);
        out.tool_calls.push_back(read_tool_call((*calls)[i], call_path, context));
      }
    }
    return out;
  }
  if (content.reasoning) context.leave_out(read.path_of("content"), "reasoning that is not the assistant's");
  if (role == "user") {
    out.role = ChatMessage::Role::kUser;
  } else if (tool) {
    out.role = ChatMessage::Role::kTool;
    out.tool_call_id = read.text("tool_call_id").value_or("");
  } else {
    out.role = ChatMessage::Role::kSystem;
  }
  return out;
}

// The names in a list of {"type": "function", "function": {"name"}}.
std::set<std::string> allowed_names(const ToolChoice& choice, SchemaContext& context) {
  std::set<std::string> names;
  for (size_t i = 0; i < choice.allowed->size(); ++i) {
    const Json& element = (*choice.allowed)[i];
    const std::string path = element_path(choice.allowed_path, i);
    const Fields tool(element, path, tool_table(), nullptr);
    if (const std::string type = tool.text("type").value_or("function"); type != "function") {
      context.leave_out(path, "a tool of type " + quoted_name(type));
      continue;
    }
    const Json* inner = tool.find("function");
    const Fields function(inner != nullptr ? *inner : element, inner != nullptr ? tool.path_of("function") : path,
                          function_table(), nullptr);
    names.insert(*function.text("name"));
  }
  return names;
}

void choose_tools(const Fields& body, SchemaContext& context, GenerationJob& job) {
  const ToolChoice choice = read_tool_choice(body);
  if (!choice.parallel) job.parallel_tool_calls = false;
  if (choice.kind == ToolChoice::Kind::kNone) job.chat().tools.clear();
  if (choice.kind != ToolChoice::Kind::kAllowed) return;
  allow_tools(choice.allowed_path, allowed_names(choice, context), job.chat());
}

const FieldTable& reasoning_table() {
  static const FieldTable table = {
      {"enabled", kBooleanField},  {.name = "effort", .choices = kReasoningEfforts},
      ignored_field("max_tokens"), ignored_field("exclude"),
      ignored_field("summary"),
  };
  return table;
}

void read_thinking(const Fields& body, SchemaContext& context, Chat& chat) {
  if (const Json* reasoning = body.find("reasoning")) {  // as OpenRouter has it
    const Fields read(*reasoning, body.path_of("reasoning"), reasoning_table(), &context.remarks);
    if (const auto enabled = read.boolean("enabled")) chat.thinking = *enabled;
    if (const auto effort = read.text("effort")) apply_reasoning_effort(*effort, chat);
  }
  if (const auto effort = body.text("reasoning_effort")) apply_reasoning_effort(*effort, chat);
  if (const auto enabled = body.boolean("enable_thinking")) chat.thinking = *enabled;  // as Qwen's API has it
  if (const Json* thinking = body.find("thinking")) {                                  // as GLM's own API has it
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
        {"model", kTextField, "Any value: there is one model"},
        {.name = "messages", .types = kListField, .about = "The conversation", .required = true},
        {"max_tokens", kIntegerField, "Limit of the answer, including reasoning; -1: no limit", -1, kMaxCount},
        {"max_completion_tokens", kIntegerField, "Alias of max_tokens; takes precedence", -1, kMaxCount},
        {"logprobs", kBooleanField, "Return the log probability of each token of the answer's text"},
        {"top_logprobs", kIntegerField, "Also return those of this many likeliest tokens", 0, 20},
        {"tools", kListField, "Functions that the model may call"},
        {"tool_choice", kTextField | kObjectField, "auto, none, or {\"type\": \"allowed_tools\", ...} with mode auto"},
        {"parallel_tool_calls", kBooleanField, "false: the answer ends with its first call"},
        {.name = "reasoning_effort", .about = "none and minimal: no thinking", .choices = kReasoningEfforts},
        {"reasoning", kObjectField, "{\"effort\", \"enabled\"} (OpenRouter)"},
        {"enable_thinking", kBooleanField, "Switch reasoning on or off (Qwen's API)"},
        {"thinking", kObjectField, "{\"type\": \"enabled\" or \"disabled\", \"clear_thinking\"}"},
        {"chat_template_kwargs", kObjectField, "Arguments of the chat template: enable_thinking, ..."},
        {"continue_final_message", kBooleanField, "Continue the last message, the assistant's"},
        {"add_generation_prompt", kBooleanField, "false: the prompt ends with the last message"},
        ignored_field("metadata"),
        ignored_field("store", "Nothing is stored"),
        ignored_field("service_tier"),
        ignored_field("safety_identifier"),
        ignored_field("prompt_cache_key", "Prefixes are always cached"),
        ignored_field("prompt_cache_options"),
        ignored_field("prompt_cache_retention"),
        ignored_field("verbosity"),
        ignored_field("prediction"),
        ignored_field("moderation"),
        refused_field("modalities", "answers are text", {Json::array({"text"})}),
        refused_field("audio", "answers are text"),
        refused_field("functions", "use tools", {Json::array()}),
        refused_field("function_call", "use tool_choice", {"auto", "none"}),
        refused_field("web_search_options", "this server searches nothing"),
    };
    add_sampling_fields(rows);
    add_openai_fields(rows);
    add_length_fields(rows);
    add_foreign_fields(rows);
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
    const Fields tool(tools[i], element_path(path, i), tool_table(), nullptr);
    if (const std::string type = tool.text("type").value_or("function"); type != "function") {
      context.leave_out(tool.path(),
                        fmt::format("a tool of type {}, which this server does not run", quoted_name(type)));
      continue;
    }
    // As /v1/responses has it, a function's fields may be the tool's.
    const bool flat = !tool.has("function") && tools[i].contains("name");
    if (!flat && !tool.has("function")) tool.fail_at("function", "is missing");
    const Fields function(flat ? tools[i] : *tool.find("function"), flat ? tool.path() : tool.path_of("function"),
                          function_table(), &context.remarks);
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
  job.max_new_tokens = limit_of(read_length(body, kLengthNames, 1));
  read_chat_logprobs(body, job);
  read_chat_messages(*body.find("messages"), body.path_of("messages"), context, chat);
  if (const Json* tools = body.find("tools")) read_chat_tools(*tools, body.path_of("tools"), context, chat);
  job.parallel_tool_calls = body.boolean("parallel_tool_calls", true);
  choose_tools(body, context, job);
  read_thinking(body, context, chat);
  read_answer_beginning(body, chat);
  return job;
}

const FieldTable& completion_table() {
  static const FieldTable table = [] {
    FieldTable rows = {
        {"model", kTextField, "Any value: there is one model"},
        {.name = "prompt",
         .types = kTextField | kListField,
         .about = "A text, a list of texts, token ids, or a list of lists of them. Names of special tokens are tokens",
         .required = true},
        {"max_tokens", kIntegerField, "16 if absent; -1: no limit", -1, kMaxCount},
        {"max_completion_tokens", kIntegerField, "Alias of max_tokens; takes precedence", -1, kMaxCount},
        {"logprobs", kIntegerField,
         "Return the log probabilities of the answer's tokens, and of this many likeliest ones", 0, 20},
        {"echo", kBooleanField, "Return the prompt before the answer"},
        {"suffix", kTextField, "Text after the answer: the model fills in the middle"},
        {"best_of", kIntegerField, "Only the value of n", 1, kMaxCount},
    };
    add_sampling_fields(rows);
    add_openai_fields(rows);
    add_length_fields(rows);
    add_foreign_fields(rows);
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
  job.max_new_tokens = limit_of(read_length(body, kLengthNames, 0).value_or(kDefaultTokens));
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

}  // namespace glimmer::serve
