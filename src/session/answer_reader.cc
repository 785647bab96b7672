#include "session/answer_reader.h"

#include <utility>

#include "session/random_id.h"

namespace glimmer {
namespace {

constexpr size_t kMaxRemarks = 64;

}  // namespace

AnswerReader::AnswerReader(Setup setup, Emit emit, std::vector<std::string>& remarks)
    : setup_(std::move(setup)),
      emit_(std::move(emit)),
      remarks_(remarks),
      decoder_(setup_.tokenizer),
      matcher_(setup_.stop) {
  if (setup_.top_logprobs >= 0) records_.emplace();
  if (!setup_.output) return;
  if (setup_.output->starts_in_reasoning) section_ = DeltaKind::kReasoning;
  parser_.emplace(*setup_.output);
}

void AnswerReader::take(const GeneratedToken& token) {
  ++tokens_;
  if (records_) records_->add(token_record(setup_.tokenizer, token));
  take_text(decoder_.push(token.id));
  if (section_ == DeltaKind::kReasoning) ++reasoning_tokens_;
}

void AnswerReader::end(FinishReason reason, int64_t generated_tokens) {
  tokens_ = generated_tokens;
  take_text(decoder_.flush());
  const bool cut = reason == FinishReason::kLength || reason == FinishReason::kCancelled;
  if (parser_ && !finish_) take_deltas(parser_->finish(cut ? OutputEnd::kCut : OutputEnd::kStop));
  if (finish_) return;  // the text held back contained a stop string
  emit_content(matcher_.flush());
  if (cut) {
    const bool asked_for = setup_.max_new_tokens && tokens_ >= *setup_.max_new_tokens;
    finish_ = {asked_for ? AnswerEnd::kLength : AnswerEnd::kContextFull, {}};
  } else {
    const bool calls = parser_ && parser_->calls_begun() > 0;
    finish_ = {calls ? AnswerEnd::kToolCalls : AnswerEnd::kStop, {}};
  }
}

void AnswerReader::take_text(const std::string& text) {
  if (text.empty() || finish_) return;
  if (records_) records_->add_text(text);
  if (!parser_) {
    take_content(text);
    return;
  }
  take_deltas(parser_->feed(text));
  if (parser_->wants_stop() && !finish_) finish_ = {AnswerEnd::kToolCalls, {}};
}

void AnswerReader::take_deltas(const OutputDeltas& deltas) {
  for (const OutputDelta& delta : deltas) {
    if (finish_) return;
    if (delta.kind == DeltaKind::kDiagnostic) {
      if (remarks_.size() < kMaxRemarks) remarks_.push_back("output: " + delta.text);
    } else if (delta.kind == DeltaKind::kContent) {
      section_ = DeltaKind::kContent;
      take_content(delta.text);
    } else {
      take_other(delta);
    }
  }
}

void AnswerReader::take_content(const std::string& text) {
  if (records_) records_->pass_content(text);
  emit_content(matcher_.push(text));
  if (matcher_.matched()) finish_ = {AnswerEnd::kStopString, matcher_.match()};
}

// Reasoning and tool calls, in which no stop string counts.
void AnswerReader::take_other(const OutputDelta& delta) {
  emit_content(matcher_.flush());
  section_ = delta.kind == DeltaKind::kToolCallEnd ? DeltaKind::kContent : delta.kind;
  if (records_ && delta.kind == DeltaKind::kReasoning) records_->pass_other(delta.text);
  if (records_ && delta.kind != DeltaKind::kReasoning) records_->drop();
  AnswerDelta out{delta.kind, delta.text, delta.call, {}, {}};
  if (delta.kind == DeltaKind::kToolCallBegin) out.call_id = random_id(setup_.call_id_prefix);
  emit_(std::move(out));
}

void AnswerReader::emit_content(const std::string& text) {
  if (text.empty()) return;
  emitted_bytes_ += text.size();
  AnswerDelta out{DeltaKind::kContent, text, -1, {}, {}};
  if (records_) out.logprobs = records_->take(emitted_bytes_);
  emit_(std::move(out));
}

}  // namespace glimmer
