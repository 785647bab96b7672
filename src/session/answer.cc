#include "session/answer.h"

#include "base/utf8.h"

namespace glimmer {

void Answer::add(const AnswerDelta& delta) {
  switch (delta.kind) {
    case DeltaKind::kContent:
    case DeltaKind::kReasoning: {
      if (parts.empty() || parts.back().kind != delta.kind) parts.emplace_back().kind = delta.kind;
      AnswerPart& part = parts.back();
      part.text += delta.text;
      part.logprobs.insert(part.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
      break;
    }
    case DeltaKind::kToolCallBegin: {
      AnswerPart& part = parts.emplace_back();
      part.kind = delta.kind;
      part.call_id = delta.call_id;
      part.name = delta.text;
      break;
    }
    case DeltaKind::kToolCallArguments:
      parts.back().text += delta.text;
      break;
    case DeltaKind::kToolCallEnd:
      parts.back().missing = delta.text;
      break;
    case DeltaKind::kDiagnostic:
      break;
  }
}

std::string Answer::text(DeltaKind kind) const {
  std::string out;
  for (const AnswerPart& part : parts) {
    if (part.kind == kind) out += part.text;
  }
  return out;
}

std::vector<TokenRecord> Answer::logprobs() const {
  std::vector<TokenRecord> out;
  for (const AnswerPart& part : parts) out.insert(out.end(), part.logprobs.begin(), part.logprobs.end());
  return out;
}

std::string token_text(const TokenChoice& token) { return to_valid_utf8(token.bytes); }

}  // namespace glimmer
