// The forms in which GLM-4 models write tool calls, told from what the chat template itself renders.
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
};

std::string_view tool_call_format_name(ToolCallFormat format);  // "none", "glm_xml", "qwen3_coder"

// Renders an assistant's turn with a made-up call, and looks how it was written. A template that refuses such a turn
// has no tools: kNone.
ToolCallFormat detect_tool_call_format(const ChatTemplate& chat_template);

}  // namespace glimmer
