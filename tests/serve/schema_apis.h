// The bodies of all APIs, read alike.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "serve/schema_anthropic.h"
#include "serve/schema_openai.h"
#include "serve/schema_responses.h"

namespace glimmer::serve {

inline constexpr int64_t kVocab = 4096;

struct Api {
  const char* name;
  const FieldTable& table;
  Json minimal;
  std::function<GenerationJob(const Json&, SchemaContext&)> read;
};

inline Json user_message() { return Json::array({{{"role", "user"}, {"content", "hi"}}}); }

inline const std::vector<Api>& apis() {
  static const std::vector<Api> all = {
      {"chat",
       chat_completion_table(),
       {{"messages", user_message()}},
       [](const Json& body, SchemaContext& context) { return read_chat_completion(body, context); }},
      {"completions",
       completion_table(),
       {{"prompt", "hi"}},
       [](const Json& body, SchemaContext& context) { return read_completion(body, context); }},
      {"responses",
       response_table(),
       {{"input", "hi"}},
       [](const Json& body, SchemaContext& context) { return read_response(body, context).job; }},
      {"messages",
       message_request_table(),
       {{"max_tokens", 100}, {"messages", user_message()}},
       [](const Json& body, SchemaContext& context) { return read_message_request(body, context).job; }},
      {"count_tokens",
       count_tokens_table(),
       {{"messages", user_message()}},
       [](const Json& body, SchemaContext& context) {
         GenerationJob job;
         job.input = read_count_tokens(body, context);
         return job;
       }},
  };
  return all;
}

inline const Api& api(std::string_view name) {
  for (const Api& found : apis()) {
    if (found.name == name) return found;
  }
  throw std::logic_error("no such API");
}

inline GenerationJob read(std::string_view name, const Json& fields, std::vector<std::string>* remarks = nullptr,
                          const ApiLimits& limits = {}) {
  Json body = api(name).minimal;
  body.update(fields);
  SchemaContext context{limits, kVocab, {}};
  GenerationJob job = api(name).read(body, context);
  if (remarks != nullptr) *remarks = context.remarks;
  return job;
}

// The field that the 400 names, and its message.
struct Refusal {
  std::string param;
  std::string message;
};
inline Refusal refusal(std::string_view name, const Json& fields, const ApiLimits& limits = {}) {
  try {
    read(name, fields, nullptr, limits);
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status, 400);
    return {error.param.value_or(""), error.what()};
  }
  ADD_FAILURE() << name << " takes " << dump_json(fields);
  return {};
}

}  // namespace glimmer::serve
