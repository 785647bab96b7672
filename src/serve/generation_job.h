// A request in the one form that rendering and generation use, whichever API it came by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/sampling_defaults.h"
#include "session/conversation.h"

namespace glimmer::serve {

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
