// Common parts of OpenAI's chat completions, completions and responses.
#pragma once

#include <string>

#include "serve/event_writer.h"

namespace glimmer::serve {

// What identifies an answer in all of its chunks.
struct AnswerIdentity {
  std::string id;
  std::string model;
  int64_t created = 0;  // Unix time in seconds
};

AnswerIdentity new_identity(std::string_view prefix, const std::string& model);

std::string openai_finish_reason(const AnswerFinish& finish);
Json openai_usage(const AnswerUsage& usage);

// [{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob", "bytes"}]}]
Json openai_logprobs(const std::vector<TokenRecord>& records);

// The schema of an answer with these members, all of them there: {"id": "string", "choices": "array", ...}.
Json answer_schema(const Json& types);

}  // namespace glimmer::serve
