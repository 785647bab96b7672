// Turns the token ids of one answer into text, and the text into deltas (reasoning, content, tool calls), up to a stop
// string.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "session/answer.h"
#include "session/token_records.h"
#include "text/output_parser.h"
#include "text/stop_matcher.h"
#include "text/stream_decoder.h"

namespace glimmer {

class AnswerReader {
 public:
  struct Setup {
    const Tokenizer& tokenizer;
    std::optional<OutputParserOptions> output;  // absent: the model's text as it is, thinking, calls and all
    std::vector<std::string> stop;              // looked for in the answer's text: not in reasoning, not in tool calls
    int top_logprobs = -1;                      // -1: no logprobs
    std::optional<int64_t> max_new_tokens;      // that were asked for
    std::string_view call_id_prefix = "call_";
  };
  using Emit = std::function<void(AnswerDelta delta)>;  // receives the deltas; diagnostics are not among them

  // The tokenizer and `remarks` must outlive the reader. Diagnostics of the output go to `remarks`.
  AnswerReader(Setup setup, Emit emit, std::vector<std::string>& remarks);

  // The next token. May set finish(), at a stop string or after the only call allowed; no more tokens may follow then.
  void take(const GeneratedToken& token);

  // No more tokens come, for this reason of the engine's; sets finish(). `generated_tokens` as the engine counts them.
  void end(FinishReason reason, int64_t generated_tokens);

  const std::optional<AnswerFinish>& finish() const { return finish_; }
  int64_t tokens() const { return tokens_; }
  int64_t reasoning_tokens() const { return reasoning_tokens_; }  // including tags, as far as they can be told apart

 private:
  void take_text(const std::string& text);
  void take_deltas(const OutputDeltas& deltas);
  void take_content(const std::string& text);
  void take_other(const OutputDelta& delta);
  void emit_content(const std::string& text);

  Setup setup_;
  Emit emit_;
  std::vector<std::string>& remarks_;
  StreamDecoder decoder_;
  StopMatcher matcher_;
  std::optional<OutputParser> parser_;
  DeltaKind section_ = DeltaKind::kContent;  // of what came last
  std::optional<TokenRecords> records_;      // where logprobs are asked for
  size_t emitted_bytes_ = 0;                 // of the answer's text
  int64_t tokens_ = 0;
  int64_t reasoning_tokens_ = 0;
  std::optional<AnswerFinish> finish_;
};

}  // namespace glimmer
