// A conversation, whoever it came from, in the one form that is rendered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"

namespace glimmer {

struct ChatToolCall {
  std::string id;
  std::string name;
  Json arguments = Json::object();  // an object
};

struct ChatMessage {
  enum class Role { kSystem, kUser, kAssistant, kTool };
  Role role = Role::kUser;
  std::string content;
  std::optional<std::string> reasoning;  // of the assistant, as an earlier answer gave it
  std::vector<ChatToolCall> tool_calls;  // of the assistant
  std::string tool_call_id;              // of a tool's result: which call it answers
};

std::string_view role_name(ChatMessage::Role role);  // as templates and the APIs spell it

struct Chat {
  std::vector<ChatMessage> messages;
  std::vector<Json> tools;              // {"type": "function", "function": {"name", "description", "parameters", ...}}
  std::optional<bool> thinking;         // absent: as the template does it
  Json template_args = Json::object();  // of chat_template_kwargs; they win over what the fields above imply
  bool continues_last = false;          // the answer continues the last message, which is the assistant's
  bool add_generation_prompt = true;    // the prompt ends with the beginning of an answer; not if it continues one
};

// A prompt without a conversation: text in which the names of special tokens are those tokens, or ids.
using RawPrompt = std::variant<std::string, std::vector<int32_t>>;

}  // namespace glimmer
