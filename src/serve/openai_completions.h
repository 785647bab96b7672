// POST /v1/completions: text completion. Source: OpenAI's API reference and the types of its SDK.
#pragma once

#include "serve/exchange.h"
#include "serve/openai_format.h"

namespace glimmer::serve {

void completions(Service& service, std::shared_ptr<Exchange> exchange);

struct CompletionFormatOptions {
  std::vector<std::string> echoes;  // of each answer: the prompt's text, which comes before it; empty: none
  bool include_usage = false;
  bool logprobs = false;
};
std::unique_ptr<EventWriter> completion_stream(const AnswerIdentity& identity, const CompletionFormatOptions& options);
Json completion_object(const AnswerIdentity& identity, const CompletionFormatOptions& options,
                       const std::vector<Answer>& answers, const AnswerUsage& usage);

Json completion_request_schema();
Json completion_response_schema();

}  // namespace glimmer::serve
