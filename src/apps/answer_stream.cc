#include "apps/answer_stream.h"

#include <algorithm>
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
    : style_(options.style), reasoning_(options.reasoning) {
  if (tokenizer == nullptr) return;
  decoder_.emplace(*tokenizer);
  reader_.emplace(
      AnswerReader::Setup{.tokenizer = *tokenizer, .output = options.output, .stop = options.stop},
      [this](const AnswerDelta& delta) { show(delta); }, remarks_);
}

TokenAction AnswerStream::take(int32_t id) {
  if (reader_) {
    text_ += decoder_->push(id);
    reader_->take({.id = id});
  } else if (style_ != AnswerStyle::kCollected) {
    print(fmt::format("{}{}", any_id_ ? "," : "", id));
    any_id_ = true;
  }
  if (style_ != AnswerStyle::kCollected) flush_output();
  return reader_ && reader_->finish() ? TokenAction::kStop : TokenAction::kContinue;
}

void AnswerStream::finish(FinishReason reason) {
  if (reader_) {
    text_ += decoder_->flush();
    if (!reader_->finish()) reader_->end(reason, reader_->tokens());
    answer_.finish = *reader_->finish();
    cut_text();
  }
  set_dim(false);
  if (line_open_) print("\n");
  if (style_ != AnswerStyle::kCollected) flush_output();
}

// The stop string that ended the answer stands behind all that was shown of it; earlier ones are in the reasoning, and
// one token may bring several.
void AnswerStream::cut_text() {
  if (answer_.finish.stop_string.empty()) return;
  size_t shown = 0;
  for (const AnswerPart& part : answer_.parts) {
    const std::string& text = part.kind == DeltaKind::kToolCallBegin ? part.name : part.text;
    if (const size_t at = text_.find(text, shown); at != text_.npos) shown = at + text.size();
  }
  text_.resize(std::min(text_.size(), text_.find(answer_.finish.stop_string, shown)));
}

void AnswerStream::show(const AnswerDelta& delta) {
  const bool after_reasoning = answer_.parts.size() == 1 && answer_.parts.front().kind == DeltaKind::kReasoning;
  answer_.add(delta);
  if (style_ == AnswerStyle::kAsGenerated) return print(delta.text);
  if (delta.kind == DeltaKind::kReasoning && reasoning_ == ShownReasoning::kHidden) return;
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
