// Separates a model's output into reasoning, answer and tool calls. Text comes piece by piece, and so do the deltas;
// joined, they are the same however the text was cut.
//
// Nothing of the text is lost: what is neither a tag nor white space beside one comes out as reasoning, content, name
// or arguments. What looks like a tool call and is none stays text, after a diagnostic. docs/tool-calls.md has all
// rules.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/output_delta.h"
#include "text/tool_call_format.h"
#include "text/tool_schema.h"

namespace glimmer {

// Whether text generated after this prompt begins inside reasoning: it ends with an open <think>, as the templates of
// GLM-4.7 and INTELLECT-3 do. Not so with <think></think> or </think> (thinking switched off), nor with a bare
// <|assistant|> (GLM-4.5: the model writes <think> itself).
bool prompt_opens_reasoning(std::string_view prompt);

struct OutputParserOptions {
  // kNone: tool calls stay text. So it is to be when a request declares no tools, or forbids to call them.
  ToolCallFormat format = ToolCallFormat::kNone;
  bool starts_in_reasoning = false;          // prompt_opens_reasoning(prompt)
  bool continues_text = false;               // the prompt ends with the beginning of the first section's text
  std::shared_ptr<const ToolSchemas> tools;  // null: none declared; then names are not checked, nor are types
  int max_calls = 0;                         // stop after so many; 0: no limit. parallel_tool_calls=false is 1
};

// Why the text ended.
enum class OutputEnd {
  kStop,  // the model ended it (EOS), or a stop string did: a call that is still open is completed
  kCut,   // length, cancelled, an error: a call that is still open stays so, lest someone runs half of it
};

class OutputParser {
 public:
  explicit OutputParser(OutputParserOptions options);
  OutputParser(OutputParser&&) noexcept;
  OutputParser& operator=(OutputParser&&) noexcept;
  ~OutputParser();

  // Any bytes, cut anywhere. Ill-formed UTF-8 becomes U+FFFD. Deltas are whole characters.
  OutputDeltas feed(std::string_view text);

  // No more text comes. Once, at the end.
  OutputDeltas finish(OutputEnd end);

  // max_calls calls have ended: generation should stop, and from here on nothing more comes out.
  bool wants_stop() const;

  int calls_begun() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A whole output, put together.
struct ParsedOutput {
  struct Call {
    std::string name;
    std::string arguments;  // JSON text of an object; of a call that was cut off, its beginning
    std::string missing;    // what the arguments lack to be JSON; empty if the call is complete
    bool operator==(const Call&) const = default;
  };

  std::string reasoning;
  std::string content;
  std::vector<Call> calls;
  std::vector<std::string> diagnostics;

  void add(const OutputDelta& delta);
  void add(const OutputDeltas& deltas);
  bool operator==(const ParsedOutput&) const = default;
};

ParsedOutput parse_output(std::string_view text, const OutputParserOptions& options, OutputEnd end = OutputEnd::kStop);

}  // namespace glimmer
