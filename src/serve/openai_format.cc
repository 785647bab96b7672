#include "serve/openai_format.h"

#include <ctime>

#include "serve/served_model.h"
#include "session/random_id.h"

namespace glimmer::serve {
namespace {

Json token_json(const TokenChoice& token) {
  Json bytes = Json::array();
  for (const char byte : token.bytes) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", token_text(token)}, {"logprob", token.logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

AnswerIdentity new_identity(std::string_view prefix, const std::string& model) {
  return {random_id(prefix), model, static_cast<int64_t>(std::time(nullptr))};
}

std::string openai_finish_reason(const AnswerFinish& finish) {
  switch (finish.end) {
    case AnswerEnd::kStop:
    case AnswerEnd::kStopString:
      return "stop";
    case AnswerEnd::kToolCalls:
      return "tool_calls";
    case AnswerEnd::kLength:
    case AnswerEnd::kContextFull:
      return "length";
  }
  return "";
}

Json openai_usage(const AnswerUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

Json openai_logprobs(const std::vector<TokenRecord>& records) {
  Json out = Json::array();
  for (const TokenRecord& record : records) {
    Json entry = token_json(record.token);
    entry["top_logprobs"] = Json::array();
    for (const TokenChoice& token : record.top) entry["top_logprobs"].push_back(token_json(token));
    out.push_back(std::move(entry));
  }
  return out;
}

Json answer_schema(const Json& types) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const auto& [name, type] : types.items()) {
    properties[name] = {{"type", type}};
    required.push_back(name);
  }
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
}

}  // namespace glimmer::serve
