#include "serve/responses_input.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quoted_name.h"
#include "serve/content_parts.h"

namespace glimmer::serve {
namespace {

const FieldTable& head_table() {
  static const FieldTable table = {{"type", kTextField}, {"role", kTextField}, {"id", kTextField}};
  return table;
}

const FieldTable& item_table() {
  static const FieldTable table = {
      {"type", kTextField},
      {"id", kTextField},
      {"status", kTextField},
      {.name = "role", .choices = {"user", "assistant", "system", "developer"}},
      {"content", kTextField | kListField},
      {"phase", kTextField},
      {"call_id", kTextField},
      {"namespace", kTextField},
      {"name", kTextField},
      {"arguments", kTextField | kObjectField | kListField},
      {"output", kTextField | kListField | kObjectField},
      {"summary", kTextField | kListField},
      {"encrypted_content", kTextField},
  };
  return table;
}

// Calls of non-function tools, and how their arguments are built.
struct OtherCall {
  std::string_view type;
  std::string_view name;      // of the function that the model sees; empty: the item's own
  std::string_view member;    // of the item: what the call says
  std::string_view argument;  // its name among the arguments; empty: the member is an object, and is the arguments
};
constexpr OtherCall kOtherCalls[] = {
    {"custom_tool_call", "", "input", "input"},  {"local_shell_call", "local_shell", "action", ""},
    {"shell_call", "shell", "action", ""},       {"apply_patch_call", "apply_patch", "operation", ""},
    {"computer_call", "computer", "action", ""},
};

// Calls with their results in one item.
struct WholeCall {
  std::string_view type;
  std::string_view name;    // empty: the item's own
  std::string_view member;  // what the call says, under the same name among the arguments
  std::string_view result;
};
constexpr WholeCall kWholeCalls[] = {
    {"mcp_call", "", "arguments", "output"},
    {"code_interpreter_call", "code_interpreter", "code", "outputs"},
    {"file_search_call", "file_search", "queries", "results"},
};

template <typename Row, size_t size>
const Row* find_row(const Row (&rows)[size], std::string_view type) {
  const auto* found = std::find_if(std::begin(rows), std::end(rows), [&](const Row& row) { return row.type == type; });
  return found == std::end(rows) ? nullptr : found;
}

const Json* member(const Json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_member(const Json& object, std::string_view name) {
  const Json* found = object.is_object() ? member(object, name) : nullptr;
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

// The text of a shell's output, a log or a found file; other objects as they are.
std::string object_text(const Json& object) {
  if (!object.is_object()) return dump_json(object);
  std::string text = text_member(object, "filename");
  bool known = false;
  for (const char* name : {"stdout", "stderr", "logs", "text", "message"}) {
    if (!object.contains(name)) continue;
    known = true;
    append_text(text, text_member(object, name), "\n");
  }
  if (!known) return dump_json(object);
  if (const Json* outcome = member(object, "outcome"); outcome != nullptr && outcome->is_object()) {
    const Json* status = member(*outcome, "exit_code");
    append_text(text, status != nullptr ? "exit code " + dump_json(*status) : text_member(*outcome, "type"), "\n");
  }
  return text;
}

// Of content, as messages have it.
bool is_part(const Json& value) {
  const std::string type = text_member(value, "type");
  return value.is_string() || (!type.empty() && type != "logs");
}

class InputReader {
 public:
  InputReader(SchemaContext& context, Chat& chat) : context_(context), chat_(chat) {}

  void read(const Json& item, const std::string& path) {
    const Fields head(item, path, head_table(), nullptr);
    const std::string type = type_of(head);
    if (type == "message") return read_message(item, path);
    if (type == "reasoning") return read_reasoning(item, path);
    if (type == "function_call") return read_call(item, path);
    if (const OtherCall* call = find_row(kOtherCalls, type)) return read_other_call(item, path, *call);
    if (const WholeCall* call = find_row(kWholeCalls, type)) return read_whole_call(item, path, *call);
    if (type == "function_call_output" || is_output_of_call(type)) return read_output(item, path);
    // A message with a misspelt type must not get lost; unknown items of other servers may.
    if (head.has("role")) head.fail_at("type", fmt::format("expected message, found {}", quoted_name(type)));
    context_.leave_out(path, "an item of type " + quoted_name(type));
  }

 private:
  static std::string type_of(const Fields& head) {
    if (const auto type = head.text("type")) return *type;
    if (head.has("role")) return "message";
    if (head.has("id")) return "item_reference";
    head.fail_at("type", "is missing");
  }

  static bool is_output_of_call(const std::string& type) {
    return std::any_of(std::begin(kOtherCalls), std::end(kOtherCalls),
                       [&](const OtherCall& call) { return type == std::string(call.type) + "_output"; });
  }

  void read_message(const Json& item, const std::string& path) {
    const Fields fields(item, path, item_table(), &context_.remarks);
    if (!fields.has("role")) fields.fail_at("role", "is missing");
    const std::string role = *fields.text("role");
    ContentText content = read_content(fields.find("content"), fields.path_of("content"), {}, context_);
    if (role == "assistant") {
      if (content.reasoning) add_reasoning(*content.reasoning);
      assistant().content += content.text;
      return;
    }
    if (content.reasoning) context_.leave_out(fields.path_of("content"), "reasoning that is not the assistant's");
    ChatMessage& message = chat_.messages.emplace_back();
    message.role = role == "user" ? ChatMessage::Role::kUser : ChatMessage::Role::kSystem;
    message.content = std::move(content.text);
  }

  void read_reasoning(const Json& item, const std::string& path) {
    const Fields fields(item, path, item_table(), &context_.remarks);
    // The text itself; a summary only where there is none.
    for (const char* name : {"content", "summary"}) {
      const ContentText content = read_content(fields.find(name), fields.path_of(name), {}, context_);
      const std::string text = content.reasoning.value_or("") + content.text;
      if (!text.empty()) return add_reasoning(text);
    }
    if (fields.has("encrypted_content")) context_.leave_out(path, "encrypted reasoning");
  }

  void add_reasoning(const std::string& text) {
    const bool begins_turn = !chat_.messages.empty() &&
                             (!chat_.messages.back().content.empty() || !chat_.messages.back().tool_calls.empty());
    ChatMessage& message = begins_turn ? next_assistant() : assistant();
    message.reasoning = message.reasoning.value_or("") + text;
  }

  void read_call(const Json& item, const std::string& path) {
    const Fields fields(item, path, item_table(), &context_.remarks);
    const auto name = fields.text("name");
    if (!name) fields.fail_at("name", "is missing");
    const Json arguments = tool_arguments(fields.path_of("arguments"), fields.find("arguments"), context_);
    add_call({fields.text("call_id").value_or(""), namespaced_tool_name(fields.text("namespace").value_or(""), *name),
              arguments});
  }

  void read_other_call(const Json& item, const std::string& path, const OtherCall& call) {
    std::string name(call.name);
    if (name.empty()) name = namespaced_tool_name(text_member(item, "namespace"), text_member(item, "name"));
    if (name.empty()) bad_field(path + ".name", "is missing");
    const Json* said = member(item, call.member);
    Json arguments = Json::object();
    if (!call.argument.empty()) {
      arguments[std::string(call.argument)] = said != nullptr ? *said : Json("");
    } else if (said != nullptr && said->is_object()) {
      arguments = *said;
      arguments.erase("type");  // "exec" and the like
    }
    add_call({id_of(item), name, arguments});
  }

  void read_whole_call(const Json& item, const std::string& path, const WholeCall& call) {
    std::string name(call.name.empty() ? text_member(item, "name") : call.name);
    if (name.empty()) bad_field(path + ".name", "is missing");
    const Json* result = member(item, call.result);
    const Json* error = member(item, "error");
    if (result == nullptr && error == nullptr)
      return context_.leave_out(path, fmt::format("a {} without its result", call.type));
    const Json* said = member(item, call.member);
    Json arguments = Json::object();
    if (call.member == "arguments") {
      arguments = tool_arguments(path + ".arguments", said, context_);
    } else if (said != nullptr) {
      arguments[std::string(call.member)] = *said;
    }
    add_call({id_of(item), name, arguments});
    std::string text = result != nullptr ? output_text(*result, path + '.' + std::string(call.result)) : "";
    if (error != nullptr) append_text(text, error->is_string() ? error->get<std::string>() : object_text(*error), "\n");
    add_output(id_of(item), std::move(text));
  }

  void read_output(const Json& item, const std::string& path) {
    const Json* output = member(item, "output");
    const std::string text = output != nullptr ? output_text(*output, path + ".output") : text_member(item, "status");
    add_output(id_of(item), text);
  }

  // The text of a tool's result, in whatever form its kind has.
  std::string output_text(const Json& output, const std::string& path) {
    if (output.is_string()) return output.get<std::string>();
    if (!output.is_array() && !output.is_object()) {
      bad_field(path, fmt::format("expected a string, an object or a list, found {}", json_type_name(output)));
    }
    Json parts = output.is_array() ? output : Json::array({output});
    std::string_view separator;
    for (Json& part : parts) {
      if (is_part(part)) continue;
      part = {{"type", "text"}, {"text", object_text(part)}};
      separator = "\n";
    }
    return read_content(&parts, path, {separator, UnknownParts::kLeaveOut}, context_).text;
  }

  static std::string id_of(const Json& item) {
    std::string id = text_member(item, "call_id");
    return id.empty() ? text_member(item, "id") : id;
  }

  void add_call(ChatToolCall call) { assistant().tool_calls.push_back(std::move(call)); }

  void add_output(std::string id, std::string text) {
    ChatMessage& message = chat_.messages.emplace_back();
    message.role = ChatMessage::Role::kTool;
    message.tool_call_id = std::move(id);
    message.content = std::move(text);
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

}  // namespace

std::string namespaced_tool_name(const std::string& name_space, const std::string& name) {
  if (name_space.empty() || name.starts_with(name_space)) return name;
  const bool separates = std::string_view("_.:/").find(name_space.back()) != std::string_view::npos;
  return name_space + (separates ? "" : "__") + name;
}

void read_response_input(const Json& items, SchemaContext& context, Chat& chat) {
  InputReader reader(context, chat);
  for (size_t i = 0; i < items.size(); ++i) reader.read(items[i], element_path("input", i));
}

}  // namespace glimmer::serve
