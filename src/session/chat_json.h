// A conversation as JSON, for programs that hold it so.
#pragma once

#include <string_view>

#include "session/conversation.h"

namespace glimmer {

// {"messages": [...], "tools": [...], "template_args": {...}, "continue": bool}, as include/glimmer/glimmer.h says.
// Throws kInvalid, naming the member, for what is malformed, and for members that it does not know.
Chat chat_of_json(std::string_view text);

}  // namespace glimmer
