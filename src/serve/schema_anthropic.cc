#include "serve/schema_anthropic.h"

#include <fmt/format.h>

#include <map>

#include "base/quoted_name.h"
#include "serve/content_parts.h"
#include "serve/foreign_fields.h"

namespace glimmer::serve {
namespace {

const FieldTable& message_table() {
  static const FieldTable table = {
      {.name = "role", .choices = {"user", "assistant", "system"}, .required = true},
      {"content", kTextField | kListField},
  };
  return table;
}

// Of blocks that are calls and their results; content_parts.h has the others.
const FieldTable& call_table() {
  static const FieldTable table = {
      {.name = "type", .required = true},
      {"id"},
      {"name"},
      {"input", kTextField | kObjectField | kListField},
      {"cache_control", kObjectField},
      {"caller", kObjectField},
  };
  return table;
}

const FieldTable& result_table() {
  static const FieldTable table = {
      {.name = "type", .required = true},   {"tool_use_id"},
      {"content", kTextField | kListField}, {"is_error", kBooleanField},
      {"cache_control", kObjectField},
  };
  return table;
}

const FieldTable& type_table() {
  static const FieldTable table = {{.name = "type", .required = true}};
  return table;
}

const FieldTable& tool_table() {
  static const FieldTable table = {
      {"type"},
      {"name"},
      {"description"},
      {"input_schema", kObjectField},
      {"cache_control", kObjectField},
      {"strict", kBooleanField},
      {"eager_input_streaming", kBooleanField},
      {"defer_loading", kBooleanField},
      {"input_examples", kListField},
      {"allowed_callers", kListField},
  };
  return table;
}

const FieldTable& thinking_table() {
  static const FieldTable table = {
      {.name = "type", .choices = {"enabled", "disabled", "adaptive", "between_tools"}, .required = true},
      {"budget_tokens", kIntegerField, "Checked, but not enforced", 1024, kMaxCount},
      {"display", kTextField, "\"omitted\": without the text; others, such as \"summarized\": with it"},
  };
  return table;
}

// Blocks are separate texts, which a template would join without a separator.
constexpr std::string_view kBetweenBlocks = "\n";

std::string required_text(const Fields& block, std::string_view name) {
  const auto text = block.text(name);
  if (!text) block.fail_at(name, "is missing");
  return *text;
}

// The result of a server tool, without the parts that only the server can read: texts, titles, URLs, program output.
void append_result(const Json& value, std::string& text) {
  if (value.is_string()) return append_text(text, value.get_ref<const std::string&>(), kBetweenBlocks);
  if (value.is_array()) {
    for (const Json& element : value) append_result(element, text);
    return;
  }
  if (!value.is_object()) return;
  for (const char* name : {"title", "url", "text", "stdout", "stderr", "error_code", "file_id", "tool_name"}) {
    if (value.contains(name) && value[name].is_string()) append_result(value[name], text);
  }
  if (value.contains("return_code") && value["return_code"].is_number()) {
    append_text(text, "exit code " + dump_json(value["return_code"]), kBetweenBlocks);
  }
  for (const char* name : {"content", "source", "data"}) {
    const bool binary = name == std::string_view("data") && value.value("type", Json()) != "text";
    if (value.contains(name) && !binary) append_result(value[name], text);
  }
}

// Assembles blocks into messages as templates expect them, with tool results as messages of their own.
class MessageReader {
 public:
  MessageReader(SchemaContext& context, Chat& chat) : context_(context), chat_(chat) {}

  void read(const Json& json, const std::string& path) {
    const Fields message(json, path, message_table(), &context_.remarks);
    const std::string role = *message.text("role");
    role_ = role == "user"        ? ChatMessage::Role::kUser
            : role == "assistant" ? ChatMessage::Role::kAssistant
                                  : ChatMessage::Role::kSystem;
    const Json* content = message.find("content");
    if (content == nullptr || content->empty()) {
      current();
    } else if (content->is_string()) {
      append_text(current().content, content->get_ref<const std::string&>(), kBetweenBlocks);
    } else {
      for (size_t i = 0; i < content->size(); ++i) {
        read_block((*content)[i], element_path(message.path_of("content"), i));
      }
    }
  }

  // After the last message: calls of the server's tools whose results never came are left out.
  void end() {
    for (const auto& [id, call] : server_calls_) context_.leave_out(call.path, "a call without its result");
  }

 private:
  struct ServerCall {
    std::string path;
    ChatToolCall call;
  };

  void read_block(const Json& json, const std::string& path) {
    const Fields block(json, path, type_table(), nullptr);
    const std::string type = *block.text("type");
    const bool assistant = role_ == ChatMessage::Role::kAssistant;
    if (type == "tool_use" || type == "tool_result") {
      const bool call = type == "tool_use";
      if (call != assistant || role_ == ChatMessage::Role::kSystem) {
        bad_field(path, fmt::format("{} stands in messages of the {} only", type, call ? "assistant" : "user"));
      }
      return call ? read_tool_use(json, path) : read_tool_result(json, path);
    }
    if (!assistant) return read_part(json, path);
    if (type == "server_tool_use" || type == "mcp_tool_use") return read_server_call(json, path);
    if (type.ends_with("_tool_result")) return read_server_result(json, path);
    if (type == "compaction") return read_part(compacted(json), path);
    if (is_text_part(type)) return read_part(json, path);
    // What the server once said that has no text; a note of it would be words in the assistant's mouth.
    context_.leave_out(path, "a block of type " + quoted_name(type));
  }

  // The summary that stands for what was before it.
  static Json compacted(const Json& json) {
    return {{"type", "text"}, {"text", json.contains("content") ? json["content"] : Json()}};
  }

  void read_part(const Json& json, const std::string& path) {
    const ContentText content = read_content_part(json, path, {.separator = kBetweenBlocks}, context_);
    if (content.reasoning && role_ == ChatMessage::Role::kAssistant) {
      // Thinking after an answer or a call is of the next step.
      ChatMessage& message = current().content.empty() && current().tool_calls.empty() ? current() : next();
      message.reasoning = message.reasoning.value_or("") + *content.reasoning;
    } else if (content.reasoning) {
      context_.leave_out(path, "thinking that is not the assistant's");
    }
    if (!content.text.empty()) append_text(current().content, content.text, kBetweenBlocks);
  }

  void read_tool_use(const Json& json, const std::string& path) {
    const Fields block(json, path, call_table(), &context_.remarks);
    const Json input = tool_arguments(block.path_of("input"), block.find("input"), context_);
    current().tool_calls.push_back({required_text(block, "id"), required_text(block, "name"), input});
  }

  void read_tool_result(const Json& json, const std::string& path) {
    const Fields block(json, path, result_table(), &context_.remarks);
    const ContentRules rules{kBetweenBlocks, UnknownParts::kLeaveOut};
    std::string text = read_content(block.find("content"), block.path_of("content"), rules, context_).text;
    // Templates have no place for the error flag; the result text says what failed, unless it is empty.
    if (text.empty() && block.boolean("is_error", false)) text = "error";
    add_result(required_text(block, "tool_use_id"), std::move(text));
  }

  // Tools that ran at the server are calls and results like others to the model.
  void read_server_call(const Json& json, const std::string& path) {
    const Fields block(json, path, call_table(), nullptr);
    const std::string id = required_text(block, "id");
    const Json input = tool_arguments(block.path_of("input"), block.find("input"), context_);
    server_calls_[id] = {path, {id, required_text(block, "name"), input}};
  }

  void read_server_result(const Json& json, const std::string& path) {
    const Json id = json.value("tool_use_id", Json());
    const auto found = id.is_string() ? server_calls_.find(id.get<std::string>()) : server_calls_.end();
    if (found == server_calls_.end()) return context_.leave_out(path, "a result without its call");
    current().tool_calls.push_back(std::move(found->second.call));
    server_calls_.erase(found);
    std::string text;
    if (json.contains("content")) append_result(json["content"], text);
    add_result(id.get<std::string>(), std::move(text));
  }

  void add_result(std::string id, std::string text) {
    ChatMessage& message = chat_.messages.emplace_back();
    message.role = ChatMessage::Role::kTool;
    message.tool_call_id = std::move(id);
    message.content = std::move(text);
  }

  // Consecutive messages of one role are one turn.
  ChatMessage& current() {
    if (!chat_.messages.empty() && chat_.messages.back().role == role_) return chat_.messages.back();
    return next();
  }
  ChatMessage& next() {
    chat_.messages.emplace_back().role = role_;
    return chat_.messages.back();
  }

  SchemaContext& context_;
  Chat& chat_;
  ChatMessage::Role role_ = ChatMessage::Role::kUser;
  std::map<std::string, ServerCall> server_calls_;  // whose results have not come, by id
};

// Claude Code begins its system prompt with a line of its own that differs in each request and says nothing to a model.
// Left in, no two requests would share a prefix. Source: github.com/anthropics/claude-code issue 24168.
std::string without_billing_line(std::string text) {
  constexpr std::string_view kLine = "x-anthropic-billing-header:";
  if (!text.starts_with(kLine)) return text;
  const size_t end = text.find('\n');
  return end == std::string::npos ? std::string() : text.substr(end + 1);
}

void read_system(const Fields& body, SchemaContext& context, Chat& chat) {
  const Json* system = body.find("system");
  if (system == nullptr) return;
  const ContentText content = read_content(system, body.path_of("system"), {.separator = kBetweenBlocks}, context);
  std::string text = without_billing_line(content.text);
  if (text.empty()) return;
  ChatMessage& message = chat.messages.emplace_back();
  message.role = ChatMessage::Role::kSystem;
  message.content = std::move(text);
}

void read_tools(const Fields& body, SchemaContext& context, Chat& chat) {
  const Json* tools = body.find("tools");
  if (tools == nullptr) return;
  check_count("tools", tools->size(), context.limits.max_tools, "tools");
  std::set<std::string> names;
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string path = element_path("tools", i);
    const Fields tool((*tools)[i], path, tool_table(), nullptr);
    const std::string type = tool.text("type").value_or("custom");
    if (type != "custom" && !tool.has("input_schema")) {
      context.leave_out(path, fmt::format("a tool of type {}, which this server does not run", quoted_name(type)));
      continue;
    }
    if (!tool.has("name")) tool.fail_at("name", "is missing");
    if (!tool.has("input_schema")) tool.fail_at("input_schema", "is missing");
    const Fields logged((*tools)[i], path, tool_table(), &context.remarks);
    if (tool.boolean("strict", false)) context.remark(tool.path_of("strict") + ": not enforced");
    add_tool({path, *tool.text("name"), tool.find("description"), tool.find("input_schema")}, context, names, chat);
  }
}

// Whether several calls in one answer are fine.
bool choose_tools(const Fields& body, Chat& chat) {
  const ToolChoice choice = read_tool_choice(body);
  if (choice.kind == ToolChoice::Kind::kNone) chat.tools.clear();
  if (choice.kind == ToolChoice::Kind::kAllowed) {
    std::set<std::string> names;
    for (size_t i = 0; i < choice.allowed->size(); ++i) {
      static const FieldTable table = {{.name = "name", .required = true}};
      names.insert(*Fields((*choice.allowed)[i], element_path(choice.allowed_path, i), table, nullptr).text("name"));
    }
    allow_tools(choice.allowed_path, names, chat);
  }
  return choice.parallel;
}

// Whether the text of thinking blocks is left out.
bool read_thinking(const Fields& body, SchemaContext& context, Chat& chat) {
  // As in Anthropic's API: without a request for thinking, clients do not expect it.
  chat.thinking = false;
  bool omitted = false;
  if (const Json* thinking = body.find("thinking")) {
    const Fields read(*thinking, "thinking", thinking_table(), &context.remarks);
    const std::string type = *read.text("type");
    chat.thinking = type != "disabled";
    omitted = read.text("display").value_or("") == "omitted";
    if (type == "enabled" && !read.has("budget_tokens")) read.fail_at("budget_tokens", "is missing");
  }
  static const FieldTable output_table = {
      {.name = "effort", .choices = kReasoningEfforts}, {"format", kObjectField}, {"task_budget", kObjectField}};
  if (const Json* output = body.find("output_config")) {
    const Fields read(*output, "output_config", output_table, &context.remarks);
    if (read.has("format") && read.find("format")->value("type", Json()) != "text") {
      not_yet_structured("output_config.format", "it");
    }
    if (const auto effort = read.text("effort")) chat.template_args["reasoning_effort"] = *effort;
  }
  read_template_args(body, chat);
  return omitted;
}

FieldTable prompt_rows() {
  return {
      {"model", kTextField, "Any value: there is one model"},
      {.name = "messages", .types = kListField, .about = "The conversation", .required = true},
      {"system", kTextField | kListField, "The system message: a text, or text blocks"},
      {"tools", kListField, "Tools that the model may use, with input_schema"},
      {"tool_choice", kTextField | kObjectField, "{\"type\": \"auto\" or \"none\", \"disable_parallel_tool_use\"}"},
      {"thinking", kObjectField,
       "{\"type\": \"enabled\", \"adaptive\", \"between_tools\" or \"disabled\"}; absent: disabled"},
      {"output_config", kObjectField, "{\"effort\"}"},
      {"chat_template_kwargs", kObjectField, "Arguments of the chat template"},
      ignored_field("cache_control", "Prefixes are always cached"),
      ignored_field("speed"),
      ignored_field("context_management", "The context is used as sent"),
      ignored_field("user_profile_id"),
      ignored_field("workspace_id"),
      ignored_field("betas"),
      ignored_field("mcp_servers", "Left out with a remark: this server runs no tools"),
  };
}

struct ReadPrompt {
  bool parallel_tool_calls = true;
  bool omit_thinking = false;
};

ReadPrompt read_prompt(const Fields& body, SchemaContext& context, Chat& chat) {
  if (const Json* servers = body.find("mcp_servers"); servers != nullptr && !servers->empty()) {
    context.leave_out("mcp_servers", "tools that this server does not run");
  }
  const Json& messages = *body.find("messages");
  if (messages.empty()) body.fail_at("messages", "the list is empty");
  check_count("messages", messages.size(), context.limits.max_messages, "messages");
  read_system(body, context, chat);
  MessageReader reader(context, chat);
  for (size_t i = 0; i < messages.size(); ++i) reader.read(messages[i], element_path("messages", i));
  reader.end();
  if (chat.messages.empty()) body.fail_at("messages", "there is no text in any of them");
  read_tools(body, context, chat);
  ReadPrompt out;
  out.parallel_tool_calls = choose_tools(body, chat);
  out.omit_thinking = read_thinking(body, context, chat);
  // An assistant's message at the end is the beginning of the answer.
  const ChatMessage& last = chat.messages.back();
  if (last.role == ChatMessage::Role::kAssistant) {
    if (!last.tool_calls.empty()) body.fail_at("messages", "the last tool_use has no tool_result");
    chat.continues_last = true;
  }
  return out;
}

}  // namespace

const FieldTable& message_request_table() {
  static const FieldTable table = [] {
    FieldTable rows = prompt_rows();
    const FieldTable more = {
        {.name = "max_tokens",
         .types = kIntegerField,
         .about = "Limit of the answer, including thinking; -1: no limit",
         .minimum = -1,
         .maximum = kMaxCount,
         .required = true},
        {"stream", kBooleanField, "Stream the answer as server-sent events"},
        ignored_field("metadata"),
        ignored_field("service_tier"),
        ignored_field("inference_geo"),
        ignored_field("diagnostics"),
        ignored_field("container", "Left out with a remark: this server runs no code"),
    };
    rows.insert(rows.end(), more.begin(), more.end());
    add_sampling_fields(rows);
    add_foreign_fields(rows);
    return rows;
  }();
  return table;
}

const FieldTable& count_tokens_table() {
  static const FieldTable table = prompt_rows();
  return table;
}

MessageJob read_message_request(const Json& json, SchemaContext& context) {
  const Fields body(json, "", message_request_table(), &context.remarks);
  MessageJob out;
  GenerationJob& job = out.job;
  Chat& chat = job.input.emplace<Chat>();
  job.model = body.text("model").value_or("");
  if (body.has("container")) context.leave_out("container", "this server runs no code");
  read_sampling(body, context, job);
  constexpr std::string_view kLengthName[] = {"max_tokens"};
  job.max_new_tokens = limit_of(read_length(body, kLengthName, 0));
  job.stream = body.boolean("stream", false);
  const ReadPrompt prompt = read_prompt(body, context, chat);
  job.parallel_tool_calls = prompt.parallel_tool_calls;
  out.omit_thinking = prompt.omit_thinking;
  return out;
}

Chat read_count_tokens(const Json& json, SchemaContext& context) {
  const Fields body(json, "", count_tokens_table(), &context.remarks);
  Chat chat;
  read_prompt(body, context, chat);
  return chat;
}

}  // namespace glimmer::serve
