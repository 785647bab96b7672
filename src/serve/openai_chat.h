// POST /v1/chat/completions. Source: OpenAI's API reference and the types of its SDK; reasoning_content is the field
// that DeepSeek's and GLM's own APIs add for reasoning.
#pragma once

#include "serve/exchange.h"
#include "serve/openai_format.h"

namespace glimmer::serve {

void chat_completions(Service& service, std::shared_ptr<Exchange> exchange);

struct ChatFormatOptions {
  int64_t answers = 1;
  bool include_usage = false;
  bool logprobs = false;
};
std::unique_ptr<EventWriter> chat_stream(const AnswerIdentity& identity, const ChatFormatOptions& options);
Json chat_object(const AnswerIdentity& identity, const ChatFormatOptions& options, const std::vector<Answer>& answers,
                 const AnswerUsage& usage);

Json chat_completion_request_schema();
Json chat_completion_response_schema();

}  // namespace glimmer::serve
