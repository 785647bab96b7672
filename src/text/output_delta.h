// Deltas of a model's parsed output: reasoning, content, tool calls.
#pragma once

#include <string>
#include <vector>

namespace glimmer {

enum class DeltaKind {
  kContent,            // text: a piece of the answer
  kReasoning,          // text: a piece of the reasoning
  kToolCallBegin,      // text: the name of the tool
  kToolCallArguments,  // text: a piece of the JSON text of the arguments, an object
  kToolCallEnd,  // text: empty, or what the arguments lack to be JSON, when the output was cut off inside the call
  kDiagnostic,   // text: what was malformed, for a log; it quotes nothing of the output
};

struct OutputDelta {
  DeltaKind kind = DeltaKind::kContent;
  std::string text;
  int call = -1;  // of tool calls: 0 for the first of the output, and so on

  bool operator==(const OutputDelta&) const = default;
};

using OutputDeltas = std::vector<OutputDelta>;

}  // namespace glimmer
