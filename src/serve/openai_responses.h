// POST /v1/responses. Source: OpenAI's API reference and the types of its SDK.
#pragma once

#include "serve/exchange.h"
#include "serve/openai_format.h"
#include "serve/schema_responses.h"

namespace glimmer::serve {

void responses(Service& service, std::shared_ptr<Exchange> exchange);

struct ResponseFormatOptions {
  Json echo = Json::object();  // of the request
  NamespacedTools namespaced;  // calls of these are told by both names
  bool logprobs = false;
  // Makes the ids of items, from "msg_", "rs_" or "fc_".
  std::function<std::string(std::string_view prefix)> new_id;
};
std::unique_ptr<EventWriter> response_stream(const AnswerIdentity& identity, const ResponseFormatOptions& options);
Json response_object(const AnswerIdentity& identity, const ResponseFormatOptions& options, const Answer& answer,
                     const AnswerUsage& usage);

Json response_request_schema();
Json response_response_schema();

}  // namespace glimmer::serve
