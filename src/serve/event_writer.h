// How an API writes answers, streamed and whole.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api_error.h"
#include "session/answer.h"

namespace glimmer::serve {

// Writes the events of a streamed answer; each function appends to `out`. The deltas of an answer, joined, equal the
// object that the API returns without streaming.
class EventWriter {
 public:
  virtual ~EventWriter() = default;
  virtual void begin(const AnswerUsage& usage, std::string& out) = 0;  // of the prompt only
  virtual void delta(int64_t index, const AnswerDelta& delta, std::string& out) = 0;
  virtual void finish(int64_t index, const AnswerFinish& finish, std::string& out) = 0;
  virtual void end(const AnswerUsage& usage, std::string& out) = 0;  // after all have finished
  virtual void error(const ApiError& error, std::string& out) = 0;   // in place of what is left
};

// How an API formats its answers.
struct AnswerFormat {
  ErrorShape errors = ErrorShape::kOpenAi;
  std::string_view call_id_prefix = "call_";
  std::string heartbeat;                // of streams
  std::unique_ptr<EventWriter> stream;  // of a job that streams
  std::function<Json(const std::vector<Answer>& answers, const AnswerUsage& usage)> object;
  bool reads_output = true;  // false: the model's text as it is, thinking, calls and all
};

}  // namespace glimmer::serve
