// What strangers send to the server: bodies of every API, targets and headers. Any bytes give a job whose numbers are
// in range, or an error of status 400. The first byte says of what kind the rest is.
#include "base/check.h"
#include "base/error.h"
#include "serve/auth.h"
#include "serve/http_text.h"
#include "serve/request_log.h"
#include "serve/schema_anthropic.h"
#include "serve/schema_openai.h"
#include "serve/schema_responses.h"

namespace glimmer::serve {
namespace {

constexpr int64_t kVocab = 1000;

void check(const GenerationJob& job, const ApiLimits& limits) {
  GLIMMER_CHECK(job.n >= 1 && job.n <= limits.max_n, "n is {}", job.n);
  GLIMMER_CHECK(job.max_new_tokens.value_or(0) >= 0, "max_new_tokens is {}", *job.max_new_tokens);
  GLIMMER_CHECK(job.top_logprobs >= -1 && job.top_logprobs <= 20, "top_logprobs is {}", job.top_logprobs);
  GLIMMER_CHECK(static_cast<int64_t>(job.stop.size()) <= limits.max_stop_strings, "{} stops", job.stop.size());
  for (const auto& [id, bias] : job.sampling.logit_bias) {
    GLIMMER_CHECK(id >= 0 && id < kVocab && bias >= -100 && bias <= 100, "bias {} of {}", bias, id);
  }
  for (const int32_t id : job.stop_token_ids) GLIMMER_CHECK(id >= 0 && id < kVocab, "stop id {}", id);
}

void read_body(char kind, std::string_view text) {
  static const ApiLimits limits;
  SchemaContext context{limits, kVocab, {}};
  const Json body = parse_json(text, "the body");
  switch (kind % 5) {
    case 0:
      return check(read_chat_completion(body, context), limits);
    case 1:
      return check(read_completion(body, context), limits);
    case 2:
      return check(read_response(body, context).job, limits);
    case 3:
      return check(read_message_request(body, context).job, limits);
    default:
      read_count_tokens(body, context);
  }
}

void read_head(std::string_view text) {
  static const ApiKeys keys({"a-key-of-the-fuzzer"});
  HttpRequest request;
  request.headers = {{"authorization", std::string(text)}, {"x-api-key", std::string(text)}};
  GLIMMER_CHECK(
      keys.identify(request).has_value() == (text.find("a-key-of-the-fuzzer") != text.npos) || text.size() > 19,
      "a key was taken for another");
  if (const std::optional<Target> target = parse_target(text)) request.path = target->path;
  host_without_port(text);
  const std::string head = response_head({.request_id = "id"}, {{"Name", std::string(text)}});
  GLIMMER_CHECK(head.find("\r\n\r\n") == head.size() - 4, "a header ends the head");
  const RequestNotes notes;
  const Json fields = log_fields({.request = request, .notes = notes, .method = "GET", .outcome = "ok"});
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = log_line(format, "now", fields);
    GLIMMER_CHECK(line.find('\n') == line.size() - 1, "a line of the log has an end within");
  }
}

}  // namespace
}  // namespace glimmer::serve

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const char kind = static_cast<char>(data[0]);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (kind == 'h') {
    glimmer::serve::read_head(text);
    return 0;
  }
  try {
    glimmer::serve::read_body(kind, text);
  } catch (const glimmer::serve::ApiError& error) {
    GLIMMER_CHECK(error.status >= 400 && error.status < 500, "status {}", error.status);
  } catch (const glimmer::Error&) {
  }
  return 0;
}
