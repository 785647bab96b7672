// Adapts the tools, calls and results of a conversation to a chat template. Most templates take OpenAI's form; those of
// the first GLM-4 models have one of their own, described in their model cards.
#pragma once

#include "base/json.h"
#include "text/chat_template.h"

namespace glimmer {

struct ToolTurns {
  // glm-4-9b-chat, GLM-4-0414, GLM-Z1: each call is a turn, {"role": "assistant", "metadata": name, "content": the
  // arguments as JSON text}, and each result one of {"role": "observation"}. "tool_calls" are not looked at.
  bool as_metadata = false;
  // glm-4-9b-chat: the tools are a member of the first message.
  bool tools_in_message = false;
};

// Told from what the template renders, as detect_tool_call_format does.
ToolTurns detect_tool_turns(const ChatTemplate& chat_template);

// Inputs of ChatTemplate::render in which the messages and tools are as OpenAI's API has them, in the template's form.
// What an assistant said besides its calls is a turn in front of them.
Json with_tool_turns(const ToolTurns& turns, Json inputs);

}  // namespace glimmer
