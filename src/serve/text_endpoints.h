// POST /tokenize, /detokenize and /apply-template. Field names of requests and answers are those of both vLLM's and
// llama.cpp's server.
#pragma once

#include "base/json.h"
#include "serve/exchange.h"

namespace glimmer::serve {

void tokenize(Service& service, std::shared_ptr<Exchange> exchange);
void detokenize(Service& service, std::shared_ptr<Exchange> exchange);
void apply_template(Service& service, std::shared_ptr<Exchange> exchange);

Json tokenize_request_schema();
Json tokenize_response_schema();
Json detokenize_request_schema();
Json detokenize_response_schema();
Json apply_template_request_schema();
Json apply_template_response_schema();

}  // namespace glimmer::serve
