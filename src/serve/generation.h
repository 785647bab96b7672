// Runs the answers to one request: tokens from the engine to text, to deltas, to the API's format.
//
// Everything runs on the exchange's I/O thread; the engine's thread only posts that there are new tokens. While the
// client does not read, no tokens are taken, and the engine pauses the request (EngineOptions::max_unread_tokens).
#pragma once

#include <memory>

#include "serve/event_writer.h"
#include "serve/exchange.h"
#include "serve/generation_job.h"
#include "serve/served_model.h"

namespace glimmer::serve {

// What a request is read to.
struct ReadRequest {
  GenerationJob job;
  AnswerFormat format;
};
using RequestReader = ReadRequest (*)(const Service& service, const std::string& body);

// Reads the request, prepares its prompts, submits job.n requests for each, and answers the exchange when they are
// done, or streams. What is wrong with the request is told before anything else is answered: ApiError, or as
// Engine::submit. When the client is gone, its requests end.
void answer_by_generation(Service& service, std::shared_ptr<Exchange> exchange, RequestReader read);

// ApiError 400 if the prompt leaves no room for an answer in the context.
void check_context(int64_t prompt_tokens, int64_t max_context_tokens, ErrorShape shape);

}  // namespace glimmer::serve
