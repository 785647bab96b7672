#include "serve/schema_responses.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quoted_name.h"

namespace glimmer {
namespace {

const FieldTable& item_table() {
  static const FieldTable table = {
      {"type", kTextField},
      {"id", kTextField},
      {"status", kTextField},
      {.name = "role", .choices = {"user", "assistant", "system", "developer"}},
      {"content", kTextField | kListField},
      {"phase", kTextField},
      {"call_id", kTextField},
      {"name", kTextField},
      {"arguments", kTextField},
      {"output", kTextField | kListField},
      {"summary", kListField},
      {"encrypted_content", kTextField},
  };
  return table;
}

const FieldTable& part_table() {
  static const FieldTable table = {
      {.name = "type", .required = true}, {"text", kTextField},     {"refusal", kTextField},
      {"annotations", kListField},        {"logprobs", kListField}, {"prompt_cache_breakpoint", kObjectField}};
  return table;
}

const FieldTable& tool_table() {
  static const FieldTable table = {{.name = "type", .required = true},
                                   {"name"},
                                   {"description"},
                                   {"parameters", kObjectField},
                                   {"strict", kBooleanField}};
  return table;
}

const FieldTable& tool_choice_table() {
  static const FieldTable table = {{.name = "type", .required = true},
                                   {"name"},
                                   {.name = "mode", .choices = {"auto", "required"}},
                                   {"tools", kListField}};
  return table;
}

const FieldTable& reasoning_table() {
  static const FieldTable table = {
      {.name = "effort", .choices = kReasoningEfforts},
      {.name = "summary", .choices = {"auto", "concise", "detailed"}},
      {.name = "generate_summary", .choices = {"auto", "concise", "detailed"}},
      {.name = "context", .choices = {"auto", "current_turn", "all_turns"}},
      {"mode"},
  };
  return table;
}

// The text of a string or of a list of parts of these types.
std::string text_of(const Fields& item, std::string_view name, std::initializer_list<std::string_view> types,
                    SchemaContext& context) {
  const Json* value = item.find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  std::string text;
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& part = (*value)[i];
    const std::string path = element_path(item.path_of(name), i);
    const Fields read(part, path, part_table(), nullptr);
    const std::string type = *read.text("type");
    if (std::find(types.begin(), types.end(), type) == types.end()) reads_text_only(path, type);
    const Fields logged(part, path, part_table(), &context.remarks);
    const std::string_view field = type == "refusal" ? "refusal" : "text";
    const auto part_text = read.text(field);
    if (!part_text) read.fail_at(field, "is missing");
    text += *part_text;
  }
  return text;
}

// Puts items together to messages: what the assistant thought, said and called in one turn is one message.
class InputReader {
 public:
  InputReader(SchemaContext& context, Chat& chat) : context_(context), chat_(chat) {}

  void read(const Json& item, const std::string& path) {
    const Fields fields(item, path, item_table(), nullptr);
    const std::string type = fields.text("type").value_or(fields.has("role") ? "message" : "");
    if (type == "message") {
      read_message(fields);
    } else if (type == "reasoning") {
      read_reasoning(fields);
    } else if (type == "function_call") {
      read_call(fields);
    } else if (type == "function_call_output") {
      if (!fields.has("output")) fields.fail_at("output", "is missing");
      ChatMessage& message = chat_.messages.emplace_back();
      message.role = ChatMessage::Role::kTool;
      message.tool_call_id = fields.text("call_id").value_or("");
      message.content = text_of(fields, "output", {"input_text", "output_text", "text"}, context_);
    } else {
      fields.fail_at("type", fmt::format("expected message, reasoning, function_call or function_call_output, found {}",
                                         quoted_name(type)));
    }
    const Fields logged(item, path, item_table(), &context_.remarks);
  }

 private:
  void read_message(const Fields& fields) {
    if (!fields.has("role")) fields.fail_at("role", "is missing");
    if (!fields.has("content")) fields.fail_at("content", "is missing");
    const std::string role = *fields.text("role");
    const std::string text = text_of(fields, "content", {"input_text", "output_text", "text", "refusal"}, context_);
    if (role == "assistant") {
      assistant().content += text;
      return;
    }
    ChatMessage& message = chat_.messages.emplace_back();
    message.role = role == "user" ? ChatMessage::Role::kUser : ChatMessage::Role::kSystem;
    message.content = text;
  }

  void read_reasoning(const Fields& fields) {
    // The text itself; a summary only where there is none.
    std::string text = text_of(fields, "content", {"reasoning_text"}, context_);
    if (text.empty()) text = text_of(fields, "summary", {"summary_text"}, context_);
    if (text.empty()) {
      if (fields.has("encrypted_content")) context_.remark(fields.path() + ": encrypted reasoning is ignored");
      return;
    }
    const bool begins_turn = !chat_.messages.empty() &&
                             (!chat_.messages.back().content.empty() || !chat_.messages.back().tool_calls.empty());
    ChatMessage& message = begins_turn ? next_assistant() : assistant();
    message.reasoning = message.reasoning.value_or("") + text;
  }

  void read_call(const Fields& fields) {
    const auto name = fields.text("name");
    if (!name) fields.fail_at("name", "is missing");
    const std::string arguments = fields.text("arguments").value_or("");
    assistant().tool_calls.push_back(
        {fields.text("call_id").value_or(""), *name, tool_arguments(fields.path_of("arguments"), arguments, context_)});
  }

  ChatMessage& assistant() {
    if (!chat_.messages.empty() && chat_.messages.back().role == ChatMessage::Role::kAssistant) {
      return chat_.messages.back();
    }
    return next_assistant();
  }
  ChatMessage& next_assistant() {
    ChatMessage& message = chat_.messages.emplace_back();
    message.role = ChatMessage::Role::kAssistant;
    return message;
  }

  SchemaContext& context_;
  Chat& chat_;
};

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
  InputReader reader(context, chat);
  for (size_t i = 0; i < input.size(); ++i) reader.read(input[i], element_path("input", i));
  if (chat.messages.empty()) body.fail_at("input", "there is no message in it");
}

void read_tools(const Json& tools, SchemaContext& context, Chat& chat) {
  check_count("tools", tools.size(), context.limits.max_tools, "tools");
  std::set<std::string> names;
  for (size_t i = 0; i < tools.size(); ++i) {
    const Fields tool(tools[i], element_path("tools", i), tool_table(), nullptr);
    if (const std::string type = *tool.text("type"); type != "function") {
      tool.fail_at("type", fmt::format("expected \"function\", found {}: this server runs no tools of its own",
                                       quoted_name(type)));
    }
    if (!tool.has("name")) tool.fail_at("name", "is missing");
    const Fields logged(tools[i], tool.path(), tool_table(), &context.remarks);
    if (tool.boolean("strict", false)) context.remark(tool.path_of("strict") + ": not enforced");
    add_tool({tool.path(), *tool.text("name"), tool.find("description"), tool.find("parameters")}, context, names,
             chat);
  }
}

void read_tool_choice(const Fields& body, SchemaContext& context, Chat& chat) {
  const Json* choice = body.find("tool_choice");
  if (choice == nullptr) return;
  if (choice->is_string()) {
    const auto& name = choice->get_ref<const std::string&>();
    if (name == "required") not_yet_structured("tool_choice", "\"required\"");
    if (name == "none") chat.tools.clear();
    return;
  }
  const Fields read(*choice, "tool_choice", tool_choice_table(), &context.remarks);
  if (const std::string type = *read.text("type"); type != "allowed_tools") {
    not_yet_structured("tool_choice", "a named tool");
  }
  if (read.text("mode").value_or("auto") == "required") not_yet_structured("tool_choice.mode", "\"required\"");
  std::set<std::string> names;
  if (const Json* tools = read.find("tools")) {
    for (size_t i = 0; i < tools->size(); ++i) {
      const Fields tool((*tools)[i], element_path("tool_choice.tools", i), tool_table(), nullptr);
      names.insert(tool.text("name").value_or(""));
    }
  }
  allow_tools("tool_choice.tools", names, chat);
}

void read_text_format(const Fields& body, SchemaContext& context) {
  static const FieldTable text_table = {{"format", kObjectField}, {"verbosity"}};
  static const FieldTable format_table = {
      {.name = "type", .choices = {"text", "json_object", "json_schema"}, .required = true}};
  const Json* text = body.find("text");
  if (text == nullptr) return;
  const Fields read(*text, "text", text_table, &context.remarks);
  if (!read.has("format")) return;
  const Fields format(*read.find("format"), "text.format", format_table, nullptr);
  if (const std::string type = *format.text("type"); type != "text")
    not_yet_structured("text.format", quoted_name(type));
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

void refuse_what_needs_storage(const Fields& body) {
  for (const char* name : {"previous_response_id", "conversation", "prompt"}) {
    if (body.has(name)) {
      body.fail_at(name, "is not supported: this server stores nothing, send the whole conversation as input");
    }
  }
  if (body.boolean("background", false)) {
    body.fail_at("background", "is not supported: this server stores nothing, stay connected");
  }
}

// The last item of the assistant's is gone on with if it says that it is not complete, or the request says so.
void read_continue(const Fields& body, Chat& chat) {
  const Json& input = *body.find("input");
  if (input.is_array()) {
    const Fields last(input.back(), element_path("input", input.size() - 1), item_table(), nullptr);
    const std::string status = last.text("status").value_or("");
    chat.continues_last = (status == "in_progress" || status == "incomplete") &&
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
  }
  echo["text"] = {{"format", {{"type", "text"}}}};
  return echo;
}

}  // namespace

const FieldTable& response_table() {
  static const FieldTable table = [] {
    FieldTable rows = {
        {"model", kTextField, "Any: there is one model"},
        {.name = "input",
         .types = kTextField | kListField,
         .about = "A text, or items: message, reasoning, function_call, function_call_output",
         .required = true},
        {"instructions", kTextField, "The system message"},
        {"max_output_tokens", kIntegerField, "Of the answer, reasoning and all", 1, kMaxCount},
        {"tools", kListField, "Functions that the model may call"},
        {.name = "tool_choice", .types = kTextField | kObjectField, .choices = {"none", "auto", "required"}},
        {"parallel_tool_calls", kBooleanField, "false: the answer ends with its first call"},
        {"max_tool_calls", kIntegerField, "Of tools that the server runs: there are none", 0, kMaxCount},
        {"reasoning", kObjectField, "{\"effort\", \"context\"}"},
        {"text", kObjectField, "Only the format {\"type\": \"text\"}"},
        {"include", kListField, "message.output_text.logprobs"},
        {"top_logprobs", kIntegerField, "Of the likeliest tokens", 0, 20},
        {"stream", kBooleanField, "Server-sent events"},
        {"stream_options", kObjectField},
        {.name = "truncation", .about = "No effect: what is too long is refused", .choices = {"auto", "disabled"}},
        {"chat_template_kwargs", kObjectField, "Arguments of the chat template"},
        {"continue_final_message", kBooleanField, "The answer goes on where the last item, the assistant's, ends"},
        {"seed", kIntegerField, "Same seed, same answer"},
        // Accepted, and of no effect here.
        {"store", kBooleanField},
        {"metadata", kObjectField},
        {"service_tier", kTextField},
        {"safety_identifier", kTextField},
        {"prompt_cache_key", kTextField},
        {"prompt_cache_options", kObjectField},
        {"prompt_cache_retention", kTextField},
        {"user", kTextField},
        // Known, and refused.
        {"previous_response_id", kTextField, "Not supported"},
        {"conversation", kTextField | kObjectField, "Not supported"},
        {"prompt", kObjectField, "Not supported"},
        {"background", kBooleanField, "Not supported"},
    };
    add_sampling_fields(rows);
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
  refuse_what_needs_storage(body);
  read_sampling(body, job.sampling);
  if (const auto seed = body.integer("seed")) job.sampling.seed = static_cast<uint64_t>(*seed);
  job.max_new_tokens = body.integer("max_output_tokens");
  job.stream = body.boolean("stream", false);
  read_input(body, context, chat);
  if (const Json* tools = body.find("tools")) read_tools(*tools, context, chat);
  read_tool_choice(body, context, chat);
  job.parallel_tool_calls = body.boolean("parallel_tool_calls", true);
  read_reasoning(body, context, chat);
  read_text_format(body, context);
  read_include(body, context, job);
  read_continue(body, chat);
  out.echo = echo_of(body);
  return out;
}

}  // namespace glimmer
