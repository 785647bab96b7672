// The bodies of OpenAI's chat completions and completions. Fields as in the SDK `openai` 3.54, and those that GLM's own
// API, vLLM and SGLang add: top_k, min_p, repetition_penalty, stop_token_ids, ignore_eos, chat_template_kwargs,
// thinking, continue_final_message; in messages reasoning_content.
#pragma once

#include "serve/schema_common.h"

namespace glimmer::serve {

const FieldTable& chat_completion_table();
const FieldTable& completion_table();

// Throw ApiError 400 naming the field.
GenerationJob read_chat_completion(const Json& body, SchemaContext& context);
GenerationJob read_completion(const Json& body, SchemaContext& context);

// A list of ids in the vocabulary.
std::vector<int32_t> read_token_ids(const Json& list, const std::string& path, const SchemaContext& context);

// Parts that /tokenize and /apply-template have too.
void read_chat_messages(const Json& messages, const std::string& path, SchemaContext& context, Chat& chat);
void read_chat_tools(const Json& tools, const std::string& path, SchemaContext& context, Chat& chat);

}  // namespace glimmer::serve
