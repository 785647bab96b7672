#include "apps/answer_stream.h"

#include <cstdlib>

#include "apps/terminal.h"

namespace glimmer::apps {
namespace {

// https://no-color.org
bool escapes_welcome() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

}  // namespace

ShownReasoning shown_reasoning(bool is_terminal, bool asked) {
  if (is_terminal) return ShownReasoning::kDimmed;
  return asked ? ShownReasoning::kPlain : ShownReasoning::kHidden;
}

AnswerStream::AnswerStream(const Tokenizer* tokenizer, const AnswerOptions& options)
    : style_(options.style), reasoning_(options.reasoning), matcher_(options.stop), parser_(options.output) {
  if (tokenizer != nullptr) decoder_.emplace(*tokenizer);
}

TokenAction AnswerStream::take(int32_t id) {
  if (decoder_) {
    show(matcher_.push(decoder_->push(id)));
  } else if (style_ != AnswerStyle::kCollected) {
    print(fmt::format("{}{}", any_id_ ? "," : "", id));
    any_id_ = true;
  }
  if (style_ != AnswerStyle::kCollected) flush_output();
  return matcher_.matched() ? TokenAction::kStop : TokenAction::kContinue;
}

void AnswerStream::finish(FinishReason reason) {
  if (decoder_) {
    show(matcher_.push(decoder_->flush()));
    show(matcher_.flush());
    const bool stopped = reason == FinishReason::kStopToken || reason == FinishReason::kStopString;
    show_deltas(parser_.finish(stopped ? OutputEnd::kStop : OutputEnd::kCut));
  }
  set_dim(false);
  if (line_open_) print("\n");
  if (style_ != AnswerStyle::kCollected) flush_output();
}

void AnswerStream::show(const std::string& text) {
  text_ += text;
  if (style_ == AnswerStyle::kAsGenerated) print(text);
  show_deltas(parser_.feed(text));
}

void AnswerStream::show_deltas(const OutputDeltas& deltas) {
  for (const OutputDelta& delta : deltas) {
    const bool after_reasoning = parsed_.content.empty() && parsed_.calls.empty() && !parsed_.reasoning.empty();
    parsed_.add(delta);
    if (style_ != AnswerStyle::kForReading || delta.kind == DeltaKind::kDiagnostic) continue;
    if (delta.kind == DeltaKind::kReasoning && reasoning_ == ShownReasoning::kHidden) continue;
    set_dim(delta.kind == DeltaKind::kReasoning);
    if (after_reasoning && delta.kind != DeltaKind::kReasoning && line_open_) print("\n\n");
    if (delta.kind == DeltaKind::kToolCallBegin) {
      print((line_open_ ? "\n" : "") + delta.text + '(');
    } else if (delta.kind == DeltaKind::kToolCallEnd) {
      print(")\n");
    } else {
      print(delta.text);
    }
  }
}

void AnswerStream::set_dim(bool dim) {
  if (style_ != AnswerStyle::kForReading || reasoning_ != ShownReasoning::kDimmed || dim == dim_) return;
  dim_ = dim;
  if (escapes_welcome()) write_terminal_code(dim ? "\033[2m" : "\033[0m");
}

void AnswerStream::print(const std::string& text) {
  if (style_ == AnswerStyle::kCollected || text.empty()) return;
  write_output(text);
  line_open_ = !text.ends_with('\n');
}

std::string statistics_line(const Sequence& sequence, const GenerationTimings& timings) {
  std::string line = fmt::format("{} prompt tokens", sequence.prompt_count());
  if (sequence.reused_count() > 0) line += fmt::format(" ({} reused)", sequence.reused_count());
  if (timings.prefill_tokens > 0) line += fmt::format(" at {:.1f} tok/s", timings.prefill_tokens_per_s());
  line += fmt::format(", {} generated", sequence.generated().size());
  if (timings.decode_tokens > 0) {
    line += fmt::format(" at {:.1f} tok/s, {:.1f} GB/s", timings.decode_tokens_per_s(), timings.decode_gb_per_s());
  }
  return line;
}

}  // namespace glimmer::apps
