// A request in the one form that rendering and generation use, whichever API it came by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "engine/sampling_defaults.h"

namespace glimmer::serve {

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

struct Chat {
  std::vector<ChatMessage> messages;
  std::vector<Json> tools;              // {"type": "function", "function": {"name", "description", "parameters", ...}}
  std::optional<bool> thinking;         // absent: as the template does it
  Json template_args = Json::object();  // of chat_template_kwargs; they win over what the fields above imply
  bool continues_last = false;          // the answer continues the last message, which is the assistant's
  bool add_generation_prompt = true;    // the prompt ends with the beginning of an answer; not if it continues one
};

// Of /v1/completions: text in which the names of special tokens are those tokens, or ids.
using RawPrompt = std::variant<std::string, std::vector<int32_t>>;

struct GenerationJob {
  std::string model;  // as the request says; there is but one
  std::variant<Chat, std::vector<RawPrompt>> input;
  SamplingRequest sampling;               // of several answers, each has the seed + its index
  std::optional<int64_t> max_new_tokens;  // absent: until the context is full
  std::vector<std::string> stop;          // looked for in the answer's text: not in reasoning, not in tool calls
  std::vector<int32_t> stop_token_ids;    // besides the model's own
  bool ignore_eos = false;
  int64_t n = 1;          // answers to each prompt
  int top_logprobs = -1;  // -1: no logprobs
  bool stream = false;
  bool include_usage = false;               // a last chunk of the stream with it (OpenAI)
  bool echo = false;                        // the prompt's text before the answer (/v1/completions)
  std::string suffix;                       // /v1/completions: what comes behind the answer, which fills the gap
  bool parallel_tool_calls = true;          // false: the answer ends with its first tool call
  std::vector<std::string> unknown_fields;  // that were ignored
  int64_t json_values = 0;                  // that were read for it

  bool is_chat() const { return std::holds_alternative<Chat>(input); }
  const Chat& chat() const { return std::get<Chat>(input); }
  Chat& chat() { return std::get<Chat>(input); }
};

}  // namespace glimmer::serve
