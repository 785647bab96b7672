// The items that a request of OpenAI's responses API brings as its conversation, put together to messages: what the
// assistant thought, said and called in one turn is one message.
//
//   message, reasoning, function_call(_output)              as they are
//   custom_tool_call, local_shell_call, shell_call, apply_patch_call, computer_call, and their _output
//                                                           a call of a function of that name, and its result
//   mcp_call, code_interpreter_call, file_search_call       a call and its result, where the item has one
//   item_reference, web_search_call, compaction, and any other
//                                                           left out, with a remark
#pragma once

#include <string>

#include "serve/schema_common.h"

namespace glimmer::serve {

// What a function of {"type": "namespace", "name", "tools"} is called towards the model, by both names; the answer
// tells them apart again.
std::string namespaced_tool_name(const std::string& name_space, const std::string& name);

// Of a list that is not empty. Throws ApiError 400 naming the item.
void read_response_input(const Json& items, SchemaContext& context, Chat& chat);

}  // namespace glimmer::serve
