#include "serve/schema_responses.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quoted_name.h"
#include "serve/foreign_fields.h"
#include "serve/responses_input.h"

namespace glimmer::serve {
namespace {

constexpr std::string_view kStateless = "this server stores nothing, send the whole conversation as input";

const FieldTable& tool_table() {
  static const FieldTable table = {{"type"},
                                   {"name"},
                                   {"description"},
                                   {"parameters", kObjectField},
                                   {"strict", kBooleanField},
                                   {"defer_loading", kBooleanField},
                                   {"function", kObjectField}};
  return table;
}

const FieldTable& namespace_table() {
  static const FieldTable table = {{.name = "type", .required = true},
                                   {.name = "name", .required = true},
                                   {"description"},
                                   {.name = "tools", .types = kListField, .required = true}};
  return table;
}

const FieldTable& allowed_tool_table() {
  static const FieldTable table = {{"type"}, {"name"}, {"namespace"}};
  return table;
}

const FieldTable& reasoning_table() {
  static const FieldTable table = {
      {.name = "effort", .choices = kReasoningEfforts},
      {.name = "summary", .choices = {"auto", "concise", "detailed", "none"}},
      {.name = "generate_summary", .choices = {"auto", "concise", "detailed", "none"}},
      {.name = "context", .choices = {"auto", "current_turn", "all_turns"}},
      {"mode"},
  };
  return table;
}

void read_input(const Fields& body, SchemaContext& context, Chat& chat) {
  if (const auto instructions = body.text("instructions")) {
    ChatMessage& message = chat.messages.emplace_back();
    message.role = ChatMessage::Role::kSystem;
    message.content = *instructions;
  }
  const Json& input = *body.find("input");
  if (input.is_string()) {
    chat.messages.emplace_back().content = input.get<std::string>();
    return;
  }
  if (input.empty()) body.fail_at("input", "the list is empty");
  check_count("input", input.size(), context.limits.max_messages, "items");
  read_response_input(input, context, chat);
  if (chat.messages.empty()) body.fail_at("input", "there is no message in it");
}

// Puts the declared functions into the chat, those of namespaces by both their names.
class ToolsReader {
 public:
  ToolsReader(SchemaContext& context, ResponseJob& out) : context_(context), out_(out) {}

  void read(const Json& tools, const std::string& path, const std::string& name_space) {
    check_count(path, tools.size(), context_.limits.max_tools, "tools");
    for (size_t i = 0; i < tools.size(); ++i) {
      const std::string tool_path = element_path(path, i);
      const Fields tool(tools[i], tool_path, tool_table(), nullptr);
      const std::string type = tool.text("type").value_or("function");
      if (type == "function") {
        read_function(tools[i], tool, name_space);
      } else if (type == "namespace" && name_space.empty()) {
        const Fields group(tools[i], tool_path, namespace_table(), &context_.remarks);
        read(*group.find("tools"), group.path_of("tools"), *group.text("name"));
      } else {
        context_.leave_out(tool_path,
                           fmt::format("a tool of type {}, which this server does not run", quoted_name(type)));
      }
    }
  }

 private:
  void read_function(const Json& json, const Fields& tool, const std::string& name_space) {
    // As in chat completions, there may be an object in between.
    const bool nested = !tool.has("name") && tool.has("function");
    const Fields function(nested ? *tool.find("function") : json, nested ? tool.path_of("function") : tool.path(),
                          tool_table(), &context_.remarks);
    const auto name = function.text("name");
    if (!name) function.fail_at("name", "is missing");
    if (function.boolean("strict", false)) context_.remark(function.path_of("strict") + ": not enforced");
    const std::string full_name = namespaced_tool_name(name_space, *name);
    add_tool({function.path(), full_name, function.find("description"), function.find("parameters")}, context_, names_,
             out_.job.chat());
    if (!name_space.empty()) out_.namespaced[full_name] = {name_space, *name};
  }

  SchemaContext& context_;
  ResponseJob& out_;
  std::set<std::string> names_;
};

// The functions that an element of allowed_tools stands for.
std::set<std::string> allowed_by(const Json& element, const std::string& path, const ResponseJob& job,
                                 SchemaContext& context) {
  const Fields tool(element, path, allowed_tool_table(), nullptr);
  const std::string type = tool.text("type").value_or("function");
  const std::string name = tool.text("name").value_or("");
  std::set<std::string> names;
  if (type == "function") {
    names.insert(namespaced_tool_name(tool.text("namespace").value_or(""), name));
  } else if (type == "namespace") {
    for (const auto& [full_name, parts] : job.namespaced) {
      if (parts.name_space == name) names.insert(full_name);
    }
    if (names.empty()) bad_field(path, fmt::format("there is no namespace {}", quoted_name(name)));
  } else {
    context.leave_out(path, "a tool of type " + quoted_name(type));
  }
  return names;
}

void add_bare_names(const Chat& chat, NamespacedTools& tools) {
  std::map<std::string, NamespacedTool> bare;
  std::set<std::string> taken;
  for (const Json& tool : chat.tools) taken.insert(tool["function"]["name"].get<std::string>());
  for (const auto& [full_name, parts] : tools) {
    if (!taken.insert(parts.name).second) {
      bare.erase(parts.name);
    } else {
      bare.emplace(parts.name, parts);
    }
  }
  tools.merge(bare);
}

void choose_tools(const Fields& body, SchemaContext& context, ResponseJob& out) {
  const ToolChoice choice = read_tool_choice(body);
  if (!choice.parallel) out.job.parallel_tool_calls = false;
  Chat& chat = out.job.chat();
  if (choice.kind == ToolChoice::Kind::kNone) chat.tools.clear();
  if (choice.kind != ToolChoice::Kind::kAllowed) return;
  std::set<std::string> names;
  for (size_t i = 0; i < choice.allowed->size(); ++i) {
    names.merge(allowed_by((*choice.allowed)[i], element_path(choice.allowed_path, i), out, context));
  }
  allow_tools(choice.allowed_path, names, chat);
}

void read_text_format(const Fields& body, SchemaContext& context) {
  static const FieldTable text_table = {{"format", kObjectField}, {"verbosity"}};
  static const FieldTable format_table = {{.name = "type", .required = true}};
  const Json* text = body.find("text");
  if (text == nullptr) return;
  const Fields read(*text, "text", text_table, &context.remarks);
  if (!read.has("format")) return;
  const Fields format(*read.find("format"), "text.format", format_table, nullptr);
  if (const std::string type = *format.text("type"); type != "text") {
    not_yet_structured("text.format", quoted_name(type));
  }
}

void read_reasoning(const Fields& body, SchemaContext& context, Chat& chat) {
  if (const Json* reasoning = body.find("reasoning")) {
    const Fields read(*reasoning, "reasoning", reasoning_table(), &context.remarks);
    if (const auto effort = read.text("effort")) apply_reasoning_effort(*effort, chat);
    if (read.text("context").value_or("") == "all_turns") chat.template_args["clear_thinking"] = false;
  }
  read_template_args(body, chat);
}

void read_include(const Fields& body, SchemaContext& context, GenerationJob& job) {
  const int top = static_cast<int>(body.integer("top_logprobs").value_or(0));
  if (top > 0) job.top_logprobs = top;
  const Json* include = body.find("include");
  if (include == nullptr) return;
  for (size_t i = 0; i < include->size(); ++i) {
    const Json& name = (*include)[i];
    if (!name.is_string()) {
      bad_field(element_path("include", i), fmt::format("expected a string, found {}", json_type_name(name)));
    }
    if (name == "message.output_text.logprobs") {
      job.top_logprobs = top;
    } else {
      context.remark(element_path("include", i) + ": there is no such thing here");
    }
  }
}

// The assistant's last item is continued if it is marked as incomplete, or if the request says so.
void read_continue(const Fields& body, Chat& chat) {
  const Json& input = *body.find("input");
  if (input.is_array()) {
    const Json& last = input.back();
    const Json status = last.value("status", Json());
    const Json type = last.value("type", Json("message"));
    const bool seen = type == "message" || type == "reasoning" || type == "function_call";  // others are left out
    chat.continues_last = seen && (status == "in_progress" || status == "incomplete") &&
                          chat.messages.back().role == ChatMessage::Role::kAssistant;
  }
  chat.continues_last = body.boolean("continue_final_message", chat.continues_last);
  if (!chat.continues_last) return;
  const ChatMessage& last = chat.messages.back();
  if (last.role != ChatMessage::Role::kAssistant || !last.tool_calls.empty()) {
    body.fail_at("continue_final_message", "the last item must be a message or the reasoning of the assistant");
  }
}

Json echo_of(const Fields& body) {
  Json echo = Json::object();
  for (const char* name : {"instructions", "max_output_tokens", "max_tool_calls", "metadata", "temperature", "top_p",
                           "top_logprobs", "user", "safety_identifier", "prompt_cache_key"}) {
    if (body.has(name)) echo[name] = *body.find(name);
  }
  echo["tools"] = body.has("tools") ? *body.find("tools") : Json::array();
  echo["tool_choice"] = body.has("tool_choice") ? *body.find("tool_choice") : Json("auto");
  echo["parallel_tool_calls"] = body.boolean("parallel_tool_calls", true);
  echo["reasoning"] = {{"effort", nullptr}, {"summary", nullptr}};
  if (const Json* reasoning = body.find("reasoning")) {
    for (const char* name : {"effort", "summary"}) echo["reasoning"][name] = reasoning->value(name, Json());
    if (echo["reasoning"]["summary"] == "none") echo["reasoning"]["summary"] = nullptr;
  }
  echo["text"] = {{"format", {{"type", "text"}}}};
  return echo;
}

}  // namespace

const FieldTable& response_table() {
  static const FieldTable table = [] {
    FieldTable rows = {
        {"model", kTextField, "Any value: there is one model"},
        {.name = "input",
         .types = kTextField | kListField,
         .about = "A text, or items: message, reasoning, function_call, function_call_output, ...",
         .required = true},
        {"instructions", kTextField, "The system message"},
        {"max_output_tokens", kIntegerField, "Limit of the answer, including reasoning; -1: no limit", -1, kMaxCount},
        {"max_tokens", kIntegerField, "Alias of max_output_tokens", -1, kMaxCount},
        {"max_completion_tokens", kIntegerField, "Alias of max_output_tokens", -1, kMaxCount},
        {"tools", kListField,
         "Functions that the model may call, and namespaces of functions; other tools are left out"},
        {"tool_choice", kTextField | kObjectField, "auto, none, or {\"type\": \"allowed_tools\", ...} with mode auto"},
        {"parallel_tool_calls", kBooleanField, "false: the answer ends with its first call"},
        ignored_field("max_tool_calls", "Applies to tools that the server runs: there are none"),
        {"reasoning", kObjectField, "{\"effort\", \"context\"}"},
        {"text", kObjectField, "Only the format {\"type\": \"text\"}"},
        {"include", kListField, "message.output_text.logprobs"},
        {"top_logprobs", kIntegerField, "Return the log probabilities of this many likeliest tokens", 0, 20},
        {"stream", kBooleanField, "Stream the answer as server-sent events"},
        {"metadata", kObjectField, "Returned as is"},
        {"stream_options", kObjectField},
        ignored_field("truncation", "Input that is too long is refused"),
        {"chat_template_kwargs", kObjectField, "Arguments of the chat template"},
        {"continue_final_message", kBooleanField, "Continue the last item, the assistant's"},
        ignored_field("store", "Nothing is stored"),
        ignored_field("service_tier"),
        ignored_field("safety_identifier"),
        ignored_field("prompt_cache_key", "Prefixes are always cached"),
        ignored_field("prompt_cache_options"),
        ignored_field("prompt_cache_retention"),
        ignored_field("context_management", "The context is used as sent"),
        ignored_field("user"),
        refused_field("previous_response_id", kStateless, {""}),
        refused_field("conversation", kStateless, {""}),
        refused_field("prompt", kStateless),
        refused_field("background", "this server stores nothing, stay connected", {false}),
    };
    add_sampling_fields(rows);
    add_length_fields(rows);
    add_foreign_fields(rows);
    return rows;
  }();
  return table;
}

ResponseJob read_response(const Json& json, SchemaContext& context) {
  const Fields body(json, "", response_table(), &context.remarks);
  ResponseJob out;
  GenerationJob& job = out.job;
  Chat& chat = job.input.emplace<Chat>();
  job.model = body.text("model").value_or("");
  read_sampling(body, context, job);
  std::vector<std::string_view> length_names = {"max_output_tokens"};
  length_names.insert(length_names.end(), kLengthNames.begin(), kLengthNames.end());
  job.max_new_tokens = limit_of(read_length(body, length_names, 1));
  job.stream = body.boolean("stream", false);
  read_input(body, context, chat);
  if (const Json* tools = body.find("tools")) ToolsReader(context, out).read(*tools, "tools", "");
  job.parallel_tool_calls = body.boolean("parallel_tool_calls", true);
  choose_tools(body, context, out);
  add_bare_names(chat, out.namespaced);
  read_reasoning(body, context, chat);
  read_text_format(body, context);
  read_include(body, context, job);
  read_continue(body, chat);
  out.echo = echo_of(body);
  return out;
}

}  // namespace glimmer::serve
