#include "serve/answer_reader.h"

#include <utility>

namespace glimmer {
namespace {

constexpr size_t kMaxRemarks = 64;

}  // namespace

AnswerReader::AnswerReader(Setup setup, Emit emit, std::vector<std::string>& remarks)
    : setup_(std::move(setup)),
      emit_(std::move(emit)),
      remarks_(remarks),
      decoder_(setup_.model.tokenizer()),
      matcher_(setup_.job.stop) {
  if (setup_.format.reads_output) open_parser();
}

void AnswerReader::open_parser() {
  OutputParserOptions options;
  options.format = setup_.tools ? setup_.model.tool_call_format() : ToolCallFormat::kNone;
  options.starts_in_reasoning = prompt_opens_reasoning(setup_.prompt.text);
  options.tools = setup_.tools;
  options.max_calls = setup_.job.parallel_tool_calls ? 0 : 1;
  if (options.starts_in_reasoning) section_ = DeltaKind::kReasoning;
  parser_.emplace(std::move(options));
  // What the client wrote of the answer is no news to it.
  const Chat& chat = setup_.job.chat();
  if (chat.continues_last) parser_->feed(chat.messages.back().content);
}

void AnswerReader::take(const GeneratedToken& token) {
  ++tokens_;
  if (setup_.job.top_logprobs >= 0) pending_.push_back({pushed_bytes_, record_of(token)});
  take_text(decoder_.push(token.id));
  if (section_ == DeltaKind::kReasoning) ++reasoning_tokens_;
  if (section_ != DeltaKind::kContent) pending_.clear();
}

void AnswerReader::end(FinishReason reason, int64_t generated_tokens) {
  tokens_ = generated_tokens;
  take_text(decoder_.flush());
  const bool cut = reason == FinishReason::kLength;
  if (parser_ && !finish_) take_deltas(parser_->finish(cut ? OutputEnd::kCut : OutputEnd::kStop));
  if (finish_) return;  // a stop string was in what had been held back
  emit_content(matcher_.flush());
  if (cut) {
    const bool asked_for = setup_.job.max_new_tokens && tokens_ >= *setup_.job.max_new_tokens;
    finish_ = {asked_for ? AnswerEnd::kLength : AnswerEnd::kContextFull, {}};
  } else {
    const bool calls = parser_ && parser_->calls_begun() > 0;
    finish_ = {calls ? AnswerEnd::kToolCalls : AnswerEnd::kStop, {}};
  }
}

TokenRecord AnswerReader::record_of(const GeneratedToken& token) const {
  const Tokenizer& tokenizer = setup_.model.tokenizer();
  TokenRecord record{{std::string(tokenizer.token_bytes(token.id)), token.logprob}, {}};
  for (const TokenLogprob& top : token.top) {
    record.top.push_back({std::string(tokenizer.token_bytes(top.id)), top.logprob});
  }
  return record;
}

void AnswerReader::take_text(const std::string& text) {
  if (text.empty() || finish_) return;
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
  pushed_bytes_ += text.size();
  emit_content(matcher_.push(text));
  if (matcher_.matched()) finish_ = {AnswerEnd::kStopString, matcher_.match()};
}

// Reasoning and tool calls, in which no stop string counts.
void AnswerReader::take_other(const OutputDelta& delta) {
  emit_content(matcher_.flush());
  section_ = delta.kind == DeltaKind::kToolCallEnd ? DeltaKind::kContent : delta.kind;
  pending_.clear();  // tokens of tags
  AnswerDelta out{delta.kind, delta.text, delta.call, {}, {}};
  if (delta.kind == DeltaKind::kToolCallBegin) out.call_id = random_id(setup_.format.call_id_prefix);
  emit_(std::move(out));
}

void AnswerReader::emit_content(const std::string& text) {
  if (text.empty()) return;
  emitted_bytes_ += text.size();
  AnswerDelta out{DeltaKind::kContent, text, -1, {}, {}};
  while (!pending_.empty() && pending_.front().begin < emitted_bytes_) {
    out.logprobs.push_back(std::move(pending_.front().record));
    pending_.pop_front();
  }
  emit_(std::move(out));
}

}  // namespace glimmer
