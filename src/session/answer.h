// The parts of an answer, common to all APIs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/output_delta.h"

namespace glimmer {

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

// Token text as JSON may hold it: an incomplete character becomes U+FFFD.
std::string token_text(const TokenChoice& token);

}  // namespace glimmer
