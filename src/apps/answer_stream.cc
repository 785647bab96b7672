#include "apps/answer_stream.h"

#include <cstdlib>

#include "apps/terminal.h"

namespace glimmer {
namespace {

// https://no-color.org
bool escapes_welcome() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

}  // namespace

AnswerStream::AnswerStream(const Tokenizer* tokenizer, const AnswerOptions& options)
    : style_(options.style),
      matcher_(options.stop),
      splitter_(options.reasoning_open ? ReasoningSplitter::Start::kReasoning : ReasoningSplitter::Start::kAnswer) {
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

void AnswerStream::finish() {
  if (decoder_) {
    show(matcher_.push(decoder_->flush()));
    show(matcher_.flush());
    show_pieces(splitter_.flush());
  }
  set_dim(false);
  if (line_open_) print("\n");
  if (style_ != AnswerStyle::kCollected) flush_output();
}

void AnswerStream::show(const std::string& text) {
  text_ += text;
  if (style_ == AnswerStyle::kAsGenerated) print(text);
  show_pieces(splitter_.push(text));
}

void AnswerStream::show_pieces(const std::vector<ReasoningSplitter::Piece>& pieces) {
  for (const ReasoningSplitter::Piece& piece : pieces) {
    const bool first_of_answer = !piece.reasoning && content_.empty() && !reasoning_.empty();
    (piece.reasoning ? reasoning_ : content_) += piece.text;
    if (style_ != AnswerStyle::kForReading) continue;
    set_dim(piece.reasoning);
    if (first_of_answer) print("\n\n");
    print(piece.text);
  }
}

void AnswerStream::set_dim(bool dim) {
  if (style_ != AnswerStyle::kForReading || dim == dim_) return;
  dim_ = dim;
  if (escapes_welcome()) write_output(dim ? "\033[2m" : "\033[0m");
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

}  // namespace glimmer
