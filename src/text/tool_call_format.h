// The tool-call formats of GLM-4 models, detected from what the chat template renders.
#pragma once

#include <string_view>

#include "text/chat_template.h"

namespace glimmer {

enum class ToolCallFormat {
  kNone,  // the template renders no tool calls, or in a form that is not known here
  // GLM-4.5 to 4.7 and later: <tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>, with line
  // ends between the parts or without
  kGlmXml,
  // INTELLECT-3: <tool_call><function=name><parameter=key>value</parameter></function></tool_call>, with line ends
  kQwen3Coder,
  // glm-4-9b-chat, GLM-4-0414, GLM-Z1: the name in the line behind <|assistant|>, which they call metadata, then the
  // arguments as JSON. Each further call begins with <|assistant|>.
  kGlmMetadata,
};

std::string_view tool_call_format_name(ToolCallFormat format);  // "none", "glm_xml", "qwen3_coder", "glm_metadata"

// Renders an assistant's turn with a made-up call, as OpenAI's API has it and as tool_turns.h says, and looks how it
// was written. A template that refuses such a turn has no tools: kNone.
ToolCallFormat detect_tool_call_format(const ChatTemplate& chat_template);

}  // namespace glimmer
