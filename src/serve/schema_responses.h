// The body of OpenAI's responses API. Fields as in the SDK `openai` 3.54; top_k, min_p, repetition_penalty and
// chat_template_kwargs besides. Nothing is stored: a request brings the whole conversation along.
#pragma once

#include <map>

#include "serve/schema_common.h"

namespace glimmer::serve {

const FieldTable& response_table();

// A function of a namespace, by its two names.
struct NamespacedTool {
  std::string name_space;
  std::string name;
};
// By the name that the model knows; and by its own alone where that is no other tool's, as models like to leave the
// rest out.
using NamespacedTools = std::map<std::string, NamespacedTool>;

struct ResponseJob {
  GenerationJob job;
  Json echo = Json::object();  // what the answer repeats of the request: instructions, tools, temperature, ...
  NamespacedTools namespaced;
};

// Throws ApiError 400 naming the field.
ResponseJob read_response(const Json& body, SchemaContext& context);

}  // namespace glimmer::serve
