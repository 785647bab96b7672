// GET /v1/models and /v1/models/{id}, in a form that the SDKs of both OpenAI and Anthropic read.
#pragma once

#include "base/json.h"
#include "serve/exchange.h"

namespace glimmer::serve {

void list_models(Service& service, std::shared_ptr<Exchange> exchange);
void show_model(Service& service, std::shared_ptr<Exchange> exchange);

Json model_list_schema();
Json model_schema();

}  // namespace glimmer::serve
