// The bodies of Anthropic's messages API and of its token counting. Fields as in the SDK `anthropic` 2.12 and those
// that older ones sent (temperature, top_p, top_k); chat_template_kwargs besides.
#pragma once

#include "serve/schema_common.h"

namespace glimmer::serve {

const FieldTable& message_request_table();
const FieldTable& count_tokens_table();

struct MessageJob {
  GenerationJob job;
  bool omit_thinking = false;  // thinking.display is "omitted": blocks come without their text
};

// Throw ApiError 400 naming the field.
MessageJob read_message_request(const Json& body, SchemaContext& context);
Chat read_count_tokens(const Json& body, SchemaContext& context);

}  // namespace glimmer::serve
