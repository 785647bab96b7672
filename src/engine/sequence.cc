#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "engine/common_prefix.h"
#include "engine/runner.h"

namespace glimmer {
namespace {

void check_prompt(std::span<const int32_t> prompt, const GenerationOptions& options, const ModelConfig& config) {
  if (prompt.empty()) fail(ErrorCode::kUsage, "the prompt is empty: it has no tokens");
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] < 0 || prompt[i] >= config.vocab_size) {
      fail(ErrorCode::kInvalid, "token {} of the prompt is {}, but ids are in [0, {}) (vocab_size of {})", i, prompt[i],
           config.vocab_size, config.source);
    }
  }
  if (options.max_new_tokens && *options.max_new_tokens < 0) {
    fail(ErrorCode::kUsage, "max_new_tokens is {}, but must be at least 0", *options.max_new_tokens);
  }
  const int64_t context = config.max_position_embeddings;
  const int64_t wanted_room = options.max_new_tokens == 0 ? 0 : 1;
  if (static_cast<int64_t>(prompt.size()) + wanted_room > context) {
    fail(ErrorCode::kLimit,
         "the prompt has {} tokens, but the context holds {} (max_position_embeddings) with the answer: shorten it",
         prompt.size(), context);
  }
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

Sequence::Sequence(const ModelConfig& config, KvType kv_type) : config_(config), kv_(config, kv_type) {}

Sequence::Sequence(const ModelConfig& config, std::shared_ptr<KvPool> pool) : config_(config), kv_(std::move(pool)) {}

Sequence::Sequence(Runner& runner) : config_(runner.config()), kv_(runner.make_cache()) {}

void Sequence::start(std::vector<int32_t> prompt, const GenerationOptions& options) {
  check_prompt(prompt, options, config_);
  Sampler sampler(options.sampling, config_.vocab_size);
  sampler.observe_prompt(prompt);

  drop_drafts();
  const auto cached = tokens().first(static_cast<size_t>(kv_.size_tokens()));
  const size_t reused = std::min(common_prefix(cached, prompt), prompt.size() - 1);
  kv_.truncate(static_cast<int64_t>(reused));
  reused_count_ = static_cast<int64_t>(reused);
  prompt_count_ = static_cast<int64_t>(prompt.size());
  tokens_ = std::move(prompt);
  options_ = options;
  sampler_.emplace(std::move(sampler));
  finish_reason_.reset();
  if (!generates() && !options_.runs_prompt) finish_reason_ = FinishReason::kLength;
}

int64_t Sequence::pending_count() const {
  return finished() ? 0 : static_cast<int64_t>(tokens_.size()) - kv_.size_tokens();
}

std::span<const int32_t> Sequence::pending(int64_t max_tokens) const {
  const auto count = static_cast<size_t>(std::min(pending_count(), max_tokens));
  return std::span(tokens_).subspan(static_cast<size_t>(kv_.size_tokens()), count);
}

int64_t Sequence::logits_rows(int64_t max_tokens) const {
  return generates() && !finished() && pending_count() <= max_tokens ? draft_count_ + 1 : 0;
}

int64_t Sequence::draft_room() const {
  if (!generates() || pending_count() != 1) return 0;
  int64_t room = config_.max_position_embeddings - static_cast<int64_t>(tokens().size());
  if (options_.max_new_tokens) {
    room = std::min(room, *options_.max_new_tokens - static_cast<int64_t>(generated().size()));
  }
  return room - 1;  // a token follows the last draft too
}

void Sequence::draft(std::span<const int32_t> ids) {
  const auto count = static_cast<int64_t>(ids.size());
  GLIMMER_CHECK(count <= draft_room(), "{} drafts, room for {}", count, draft_room());
  for (const int32_t id : ids) GLIMMER_CHECK(id >= 0 && id < config_.vocab_size, "draft of token {}", id);
  tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  draft_count_ = count;
}

void Sequence::drop_drafts() {
  tokens_.resize(tokens_.size() - static_cast<size_t>(draft_count_));
  draft_count_ = 0;
  const auto left = static_cast<int64_t>(tokens_.size());
  if (kv_.size_tokens() > left) kv_.truncate(left);
}

void Sequence::finish(FinishReason reason) {
  drop_drafts();
  finish_reason_ = reason;
}

bool Sequence::is_stop_id(int32_t id) const {
  const auto& stop_ids = options_.stop_ids;
  return std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end();
}

// What the filter lets through now, and the stop ids where it lets the sequence end, there alone. Empty: all tokens.
std::span<const uint64_t> Sequence::allowed() {
  if (!options_.filter) return {};
  allowed_.assign(static_cast<size_t>(token_words(config_.vocab_size)), 0);
  options_.filter->allow(allowed_);
  for (const int32_t id : options_.stop_ids) {
    if (id >= 0 && id < config_.vocab_size) set_token(allowed_, id, options_.filter->may_end());
  }
  return allowed_;
}

int32_t Sequence::advance(std::span<const float> logits) {
  GLIMMER_CHECK(!finished() && generates(), "advance of a finished sequence");
  GLIMMER_CHECK(sampler_.has_value() && pending_count() == 0, "advance with {} tokens pending", pending_count());
  const int32_t token = sampler_->choose(logits, static_cast<int64_t>(generated().size()), allowed());
  sampler_->accept(token);
  if (options_.filter) options_.filter->accept(token);
  if (draft_count_ > 0 && tokens_[tokens().size()] == token) {
    --draft_count_;
  } else {
    drop_drafts();
    tokens_.push_back(token);
  }
  if (is_stop_id(token)) {
    finish(FinishReason::kStopToken);
  } else if (context_full() || static_cast<int64_t>(generated().size()) == options_.max_new_tokens) {
    finish(FinishReason::kLength);
  }
  return token;
}

}  // namespace glimmer
