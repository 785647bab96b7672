// Turns the token ids of one answer into text, and the text into deltas (reasoning, content, tool calls), up to a stop
// string.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "serve/answer.h"
#include "serve/generation_job.h"
#include "serve/served_model.h"
#include "serve/token_records.h"
#include "text/output_parser.h"
#include "text/stop_matcher.h"
#include "text/stream_decoder.h"

namespace glimmer::serve {

class AnswerReader {
 public:
  struct Setup {
    const ServedModel& model;
    const GenerationJob& job;
    const AnswerFormat& format;
    const PreparedPrompt& prompt;
    std::shared_ptr<const ToolSchemas> tools;  // null: none are declared; then calls stay text
  };
  using Emit = std::function<void(AnswerDelta delta)>;  // receives the deltas; diagnostics are not among them

  // What `setup` refers to and `remarks` must outlive the reader. Diagnostics of the output go to `remarks`.
  AnswerReader(Setup setup, Emit emit, std::vector<std::string>& remarks);

  // The next token. May set finish(), at a stop string or after the only call allowed; no more tokens may follow then.
  void take(const GeneratedToken& token);

  // No more tokens come, for this reason of the engine's; sets finish(). `generated_tokens` as the engine counts them.
  void end(FinishReason reason, int64_t generated_tokens);

  const std::optional<AnswerFinish>& finish() const { return finish_; }
  int64_t tokens() const { return tokens_; }
  int64_t reasoning_tokens() const { return reasoning_tokens_; }  // including tags, as far as they can be told apart

 private:
  void open_parser();
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

}  // namespace glimmer::serve
