// Streams an answer to the terminal: tokens to text as they are generated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate.h"
#include "session/answer_reader.h"
#include "text/output_parser.h"
#include "text/stream_decoder.h"

namespace glimmer::apps {

enum class AnswerStyle {
  kAsGenerated,  // every character, tags of reasoning and tool calls among them
  kForReading,   // without tags: reasoning apart from the answer, tool calls as name({"arguments"})
  kCollected,    // printed by nobody
};

// What kForReading does with reasoning.
enum class ShownReasoning { kDimmed, kPlain, kHidden };

// Dimmed on a terminal; in a pipe only the answer, and reasoning only if `asked`.
ShownReasoning shown_reasoning(bool is_terminal, bool asked);

struct AnswerOptions {
  AnswerStyle style = AnswerStyle::kAsGenerated;
  ShownReasoning reasoning = ShownReasoning::kDimmed;
  std::optional<OutputParserOptions> output;  // how the output is to be read; absent: it is the answer's text as it is
  std::vector<std::string> stop;              // the answer's text ends before the first of these
};

class AnswerStream {
 public:
  // Without a tokenizer the ids themselves are printed, with commas between, and the texts below stay empty.
  // `tokenizer` must outlive the stream.
  AnswerStream(const Tokenizer* tokenizer, const AnswerOptions& options);

  TokenAction take(int32_t id);      // kStop once a stop string is complete
  void finish(FinishReason reason);  // prints what was held back, and ends the line

  const std::string& text() const { return text_; }  // as generated, without what a stop string cut off
  const Answer& answer() const { return answer_; }

 private:
  void cut_text();
  void show(const AnswerDelta& delta);
  void set_dim(bool dim);
  void print(const std::string& text);

  AnswerStyle style_;
  ShownReasoning reasoning_;
  std::vector<std::string> remarks_;
  std::optional<AnswerReader> reader_;
  std::optional<StreamDecoder> decoder_;  // of text_
  Answer answer_;
  std::string text_;
  bool dim_ = false;
  bool line_open_ = false;  // something was printed, and its last character is not a line end
  bool any_id_ = false;
};

// "17 prompt tokens at 210.3 tok/s, 45 generated at 80.2 tok/s, 2.9 GB/s"
std::string statistics_line(const Sequence& sequence, const GenerationTimings& timings);

}  // namespace glimmer::apps
