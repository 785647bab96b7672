#include "serve/schema_anthropic.h"

#include <fmt/format.h>

#include "base/quoted_name.h"

namespace glimmer {
namespace {

const FieldTable& message_table() {
  static const FieldTable table = {
      {.name = "role", .choices = {"user", "assistant", "system"}, .required = true},
      {.name = "content", .types = kTextField | kListField, .required = true},
  };
  return table;
}

const FieldTable& block_table() {
  static const FieldTable table = {
      {.name = "type", .required = true},
      {"text"},
      {"thinking"},
      {"signature"},
      {"data"},
      {"id"},
      {"name"},
      {"input", kObjectField},
      {"tool_use_id"},
      {"content", kTextField | kListField},
      {"is_error", kBooleanField},
      {"cache_control", kObjectField},
      {"citations", kListField | kObjectField},
      {"caller", kObjectField},
  };
  return table;
}

const FieldTable& tool_table() {
  static const FieldTable table = {
      {"type"},
      {.name = "name", .required = true},
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

const FieldTable& tool_choice_table() {
  static const FieldTable table = {{.name = "type", .choices = {"auto", "any", "tool", "none"}, .required = true},
                                   {"name"},
                                   {"disable_parallel_tool_use", kBooleanField}};
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

// Blocks are separate texts, which a template would run together.
void append_block(std::string& text, std::string_view block) {
  if (!text.empty() && !block.empty() && !text.ends_with('\n')) text += '\n';
  text += block;
}

std::string required_text(const Fields& block, std::string_view name) {
  const auto text = block.text(name);
  if (!text) block.fail_at(name, "is missing");
  return *text;
}

// A string, or a list of text blocks.
std::string text_of(const Json& content, const std::string& path, SchemaContext& context) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string block_path = element_path(path, i);
    const Fields block(content[i], block_path, block_table(), nullptr);
    if (const std::string type = *block.text("type"); type != "text") reads_text_only(block_path, type);
    const Fields logged(content[i], block_path, block_table(), &context.remarks);
    append_block(text, required_text(block, "text"));
  }
  return text;
}

// Puts blocks together to messages as templates know them: results of tools are messages of their own.
class MessageReader {
 public:
  MessageReader(SchemaContext& context, Chat& chat) : context_(context), chat_(chat) {}

  void read(const Json& json, const std::string& path) {
    const Fields message(json, path, message_table(), &context_.remarks);
    const std::string role = *message.text("role");
    role_ = role == "user"        ? ChatMessage::Role::kUser
            : role == "assistant" ? ChatMessage::Role::kAssistant
                                  : ChatMessage::Role::kSystem;
    const Json& content = *message.find("content");
    if (content.is_string()) {
      append_block(current().content, content.get_ref<const std::string&>());
      return;
    }
    if (content.empty()) current();
    for (size_t i = 0; i < content.size(); ++i) {
      read_block(content[i], element_path(message.path_of("content"), i));
    }
  }

 private:
  void read_block(const Json& json, const std::string& path) {
    const Fields block(json, path, block_table(), nullptr);
    const std::string type = *block.text("type");
    const bool assistant = role_ == ChatMessage::Role::kAssistant;
    if (type == "text") {
      append_block(current().content, required_text(block, "text"));
    } else if (type == "thinking" && assistant) {
      // Thinking after an answer or a call is of the next step.
      ChatMessage& message = current().content.empty() && current().tool_calls.empty() ? current() : next();
      message.reasoning = message.reasoning.value_or("") + required_text(block, "thinking");
    } else if (type == "redacted_thinking" && assistant) {
      context_.remark(path + ": redacted thinking is ignored");
    } else if (type == "tool_use" && assistant) {
      if (!block.has("input")) block.fail_at("input", "is missing");
      current().tool_calls.push_back({required_text(block, "id"), required_text(block, "name"), *block.find("input")});
    } else if (type == "tool_result" && role_ == ChatMessage::Role::kUser) {
      read_tool_result(block);
    } else {
      reads_text_only(path, type);
    }
    const Fields logged(json, path, block_table(), &context_.remarks);
  }

  void read_tool_result(const Fields& block) {
    ChatMessage message;
    message.role = ChatMessage::Role::kTool;
    message.tool_call_id = required_text(block, "tool_use_id");
    if (const Json* content = block.find("content")) {
      message.content = text_of(*content, block.path_of("content"), context_);
    }
    // Templates have no place for the flag; what failed says so itself, but for nothing at all.
    if (message.content.empty() && block.boolean("is_error", false)) message.content = "error";
    chat_.messages.push_back(std::move(message));
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
  std::string text = without_billing_line(text_of(*system, body.path_of("system"), context));
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
    if (const std::string type = tool.text("type").value_or("custom"); type != "custom") {
      tool.fail_at(
          "type", fmt::format("expected \"custom\", found {}: this server has no tools of its own", quoted_name(type)));
    }
    if (!tool.has("input_schema")) tool.fail_at("input_schema", "is missing");
    const Fields logged((*tools)[i], path, tool_table(), &context.remarks);
    if (tool.boolean("strict", false)) context.remark(tool.path_of("strict") + ": not enforced");
    add_tool({path, *tool.text("name"), tool.find("description"), tool.find("input_schema")}, context, names, chat);
  }
}

// Whether several calls in one answer are fine.
bool read_tool_choice(const Fields& body, SchemaContext& context, Chat& chat) {
  const Json* choice = body.find("tool_choice");
  if (choice == nullptr) return true;
  const Fields read(*choice, "tool_choice", tool_choice_table(), &context.remarks);
  const std::string type = *read.text("type");
  if (type == "any" || type == "tool") not_yet_structured("tool_choice", quoted_name(type));
  if (type == "none") chat.tools.clear();
  return !read.boolean("disable_parallel_tool_use", false);
}

// Whether the text of thinking blocks is left out.
bool read_thinking(const Fields& body, SchemaContext& context, Chat& chat) {
  // As Anthropic's API has it: who does not ask for thinking does not expect it.
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
    if (read.has("format")) not_yet_structured("output_config.format", "it");
    if (const auto effort = read.text("effort")) chat.template_args["reasoning_effort"] = *effort;
  }
  read_template_args(body, chat);
  return omitted;
}

FieldTable prompt_rows() {
  return {
      {"model", kTextField, "Any: there is one model"},
      {.name = "messages", .types = kListField, .about = "The conversation", .required = true},
      {"system", kTextField | kListField, "The system message: a text, or text blocks"},
      {"tools", kListField, "Tools that the model may use, with input_schema"},
      {"tool_choice", kObjectField, "{\"type\": \"auto\" or \"none\", \"disable_parallel_tool_use\"}"},
      {"thinking", kObjectField,
       "{\"type\": \"enabled\", \"adaptive\", \"between_tools\" or \"disabled\"}; absent: disabled"},
      {"output_config", kObjectField, "{\"effort\"}"},
      {"chat_template_kwargs", kObjectField, "Arguments of the chat template"},
      // Accepted, and of no effect here.
      {"cache_control", kObjectField},
      {"speed", kTextField},
      {"context_management", kObjectField},
      {"user_profile_id", kTextField},
      {"workspace_id", kTextField},
      {"betas", kListField},
      // Known, and refused.
      {"mcp_servers", kListField, "Not supported"},
  };
}

struct ReadPrompt {
  bool parallel_tool_calls = true;
  bool omit_thinking = false;
};

ReadPrompt read_prompt(const Fields& body, SchemaContext& context, Chat& chat) {
  if (const Json* servers = body.find("mcp_servers"); servers != nullptr && !servers->empty()) {
    body.fail_at("mcp_servers", "is not supported: this server has no tools of its own");
  }
  const Json& messages = *body.find("messages");
  if (messages.empty()) body.fail_at("messages", "the list is empty");
  check_count("messages", messages.size(), context.limits.max_messages, "messages");
  read_system(body, context, chat);
  MessageReader reader(context, chat);
  for (size_t i = 0; i < messages.size(); ++i) reader.read(messages[i], element_path("messages", i));
  read_tools(body, context, chat);
  ReadPrompt out;
  out.parallel_tool_calls = read_tool_choice(body, context, chat);
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
         .about = "Of the answer, thinking and all",
         .minimum = 0,
         .maximum = kMaxCount,
         .required = true},
        {"stop_sequences", kListField, "The answer ends before the first of these"},
        {"stream", kBooleanField, "Server-sent events"},
        {"metadata", kObjectField},
        {"service_tier", kTextField},
        {"inference_geo", kTextField},
        {"diagnostics", kObjectField},
        {"container", kTextField | kObjectField, "Not supported"},
    };
    rows.insert(rows.end(), more.begin(), more.end());
    add_sampling_fields(rows);
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
  if (body.has("container")) body.fail_at("container", "is not supported");
  read_sampling(body, job.sampling);
  job.max_new_tokens = body.integer("max_tokens");
  job.stop = read_stop(body, "stop_sequences", context);
  job.stream = body.boolean("stream", false);
  static const FieldTable metadata_table = {{"user_id"}};
  if (const Json* metadata = body.find("metadata")) {
    const Fields read(*metadata, "metadata", metadata_table, &context.remarks);
  }
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

}  // namespace glimmer
