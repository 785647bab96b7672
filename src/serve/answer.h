// The parts of an answer, common to all APIs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api_error.h"
#include "text/output_delta.h"

namespace glimmer::serve {

// A token of the answer's text, where logprobs are asked for.
struct TokenChoice {
  std::string bytes;  // perhaps part of a character
  float logprob = 0;
};
struct TokenRecord {
  TokenChoice token;
  std::vector<TokenChoice> top;  // the likeliest, descending
  // Of an echoed prompt: nothing predicts the first token, and what the tokenizer put before a text is not in it.
  bool predicted = true;
  bool in_text = true;
};

// A delta of an answer, in order. Tool calls do not overlap: one ends before anything else begins.
struct AnswerDelta {
  DeltaKind kind = DeltaKind::kContent;
  std::string text;
  int call = -1;                      // of tool calls: which
  std::string call_id;                // of kToolCallBegin
  std::vector<TokenRecord> logprobs;  // of kContent: those of tokens that became whole with this text
};

enum class AnswerEnd {
  kStop,        // the model ended its turn
  kStopString,  // a stop string of the request came
  kToolCalls,   // the turn ended, and there are calls in it
  kLength,      // max_new_tokens
  kContextFull,
};

struct AnswerFinish {
  AnswerEnd end = AnswerEnd::kStop;
  std::string stop_string;
};

struct AnswerUsage {  // of all answers to a request together
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;  // of those
};

// A stretch of one kind.
struct AnswerPart {
  DeltaKind kind = DeltaKind::kContent;  // kContent, kReasoning or kToolCallBegin
  std::string text;                      // of a call: the JSON text of its arguments
  std::string missing;                   // of a call that was cut off: what the arguments lack to be JSON
  std::string call_id;
  std::string name;  // of the tool
  std::vector<TokenRecord> logprobs;
};

struct Answer {
  std::vector<AnswerPart> parts;
  AnswerFinish finish;

  void add(const AnswerDelta& delta);
  std::string text(DeltaKind kind) const;  // of all parts of that kind
  std::vector<TokenRecord> logprobs() const;
};

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

// Token text as JSON may hold it: an incomplete character becomes U+FFFD.
std::string token_text(const TokenChoice& token);

}  // namespace glimmer::serve
