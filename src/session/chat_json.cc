#include "session/chat_json.h"

#include <array>
#include <span>
#include <string>

#include "base/error.h"
#include "base/json_numbers.h"

namespace glimmer {
namespace {

// An object's members, each to be taken once.
class Members {
 public:
  Members(const Json& object, std::string where, std::span<const std::string_view> known)
      : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail(ErrorCode::kInvalid, "{}: expected an object, found {}", where_, object.type_name());
    for (const auto& [name, value] : object.items()) {
      bool is_known = false;
      for (const std::string_view each : known) is_known = is_known || each == name;
      if (!is_known)
        fail(ErrorCode::kInvalid, "{}: unknown member '{}'; known: {}", where_, name, fmt::join(known, ", "));
    }
  }

  const Json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string where(const char* name) const { return where_ + "." + name; }

  std::optional<std::string> text(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) wrong(name, "a string", *value);
    return value->get<std::string>();
  }
  std::string required_text(const char* name) const {
    std::optional<std::string> value = text(name);
    if (!value) fail(ErrorCode::kInvalid, "{}: '{}' is missing", where_, name);
    return std::move(*value);
  }
  bool flag(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return false;
    if (!value->is_boolean()) wrong(name, "true or false", *value);
    return value->get<bool>();
  }
  const Json& list(const char* name) const {
    static const Json none = Json::array();
    const Json* value = find(name);
    if (value == nullptr) return none;
    if (!value->is_array()) wrong(name, "a list", *value);
    return *value;
  }
  [[noreturn]] void wrong(const char* name, const char* expected, const Json& found) const {
    fail(ErrorCode::kInvalid, "{}: expected {}, found {}", where(name), expected, found.type_name());
  }

 private:
  const Json& object_;
  std::string where_;
};

ChatMessage::Role role_of(const Members& message) {
  using Role = ChatMessage::Role;
  const std::string name = message.required_text("role");
  for (const Role role : {Role::kSystem, Role::kUser, Role::kAssistant, Role::kTool}) {
    if (role_name(role) == name) return role;
  }
  fail(ErrorCode::kInvalid, "{}: '{}' is not one of system, user, assistant, tool", message.where("role"), name);
}

// Arguments as an object, or as the text of one.
Json arguments_of(const Members& function) {
  const Json* given = function.find("arguments");
  if (given == nullptr) return Json::object();
  Json arguments =
      given->is_string() ? parse_exact_json(given->get_ref<const std::string&>(), function.where("arguments")) : *given;
  if (!arguments.is_object()) function.wrong("arguments", "an object", arguments);
  return arguments;
}

ChatToolCall call_of(const Json& json, const std::string& where) {
  static constexpr std::array<std::string_view, 3> kCall = {"id", "type", "function"};
  static constexpr std::array<std::string_view, 2> kFunction = {"name", "arguments"};
  const Members call(json, where, kCall);
  const Json* function = call.find("function");
  if (function == nullptr) fail(ErrorCode::kInvalid, "{}: 'function' is missing", where);
  const Members named(*function, call.where("function"), kFunction);
  return {.id = call.text("id").value_or(""), .name = named.required_text("name"), .arguments = arguments_of(named)};
}

ChatMessage message_of(const Json& json, const std::string& where) {
  static constexpr std::array<std::string_view, 5> kMessage = {"role", "content", "reasoning_content", "tool_calls",
                                                               "tool_call_id"};
  const Members members(json, where, kMessage);
  ChatMessage message{.role = role_of(members), .content = members.text("content").value_or("")};
  message.reasoning = members.text("reasoning_content");
  message.tool_call_id = members.text("tool_call_id").value_or("");
  const Json& calls = members.list("tool_calls");
  for (size_t i = 0; i < calls.size(); ++i) {
    message.tool_calls.push_back(call_of(calls[i], fmt::format("{}[{}]", members.where("tool_calls"), i)));
  }
  return message;
}

}  // namespace

Chat chat_of_json(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kChat = {"messages", "tools", "template_args", "continue"};
  const Json json = parse_exact_json(text, "conversation");
  const Members members(json, "conversation", kChat);
  Chat chat;
  const Json& messages = members.list("messages");
  for (size_t i = 0; i < messages.size(); ++i) {
    chat.messages.push_back(message_of(messages[i], fmt::format("messages[{}]", i)));
  }
  if (chat.messages.empty()) fail(ErrorCode::kInvalid, "conversation: there are no messages");
  for (const Json& tool : members.list("tools")) {
    if (!tool.is_object()) members.wrong("tools", "objects", tool);
    chat.tools.push_back(tool);
  }
  if (const Json* args = members.find("template_args")) {
    if (!args->is_object()) members.wrong("template_args", "an object", *args);
    chat.template_args = *args;
  }
  chat.continues_last = members.flag("continue");
  return chat;
}

}  // namespace glimmer
