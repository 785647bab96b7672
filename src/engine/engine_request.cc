#include "engine/engine_request.h"

#include <utility>

namespace glimmer {
namespace {

double seconds_between(EngineSequence::Clock::time_point from, EngineSequence::Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

EngineSequence::EngineSequence(const EngineRequest& request, std::function<void()> notify, const ModelConfig& config,
                               std::shared_ptr<KvPool> pool, std::shared_ptr<Bell> bell)
    : sequence(config, std::move(pool)),
      top_logprobs(request.top_logprobs),
      prompt_logprobs(request.prompt_logprobs),
      tenant(request.tenant),
      cache_scope(request.cache_scope),
      notify_(std::move(notify)),
      bell_(std::move(bell)) {
  rank.priority = request.priority;
  usage_.prompt_tokens = static_cast<int64_t>(request.prompt.size());
}

RequestHandle::News EngineSequence::take() {
  News news;
  {
    const std::lock_guard lock(mutex_);
    told_ = false;
    news.prompt = std::exchange(news_.prompt, {});
    news.tokens = std::exchange(news_.tokens, {});
    news.stop_token = std::exchange(news_.stop_token, {});
    news.finish_reason = news_.finish_reason;
    news.error = news_.error;
  }
  const auto taken = static_cast<int64_t>(news.tokens.size());
  if (unread_.fetch_sub(taken) >= max_unread_tokens) bell_->ring();
  return news;
}

RequestUsage EngineSequence::usage() const {
  const std::lock_guard lock(mutex_);
  return usage_;
}

void EngineSequence::finish(FinishReason reason) {
  wanted_finish_.store(static_cast<int>(reason));
  bell_->ring();
}

std::optional<FinishReason> EngineSequence::wanted_finish() const {
  const int wanted = wanted_finish_.load();
  if (wanted < 0) return std::nullopt;
  return static_cast<FinishReason>(wanted);
}

double EngineSequence::seconds_since_submitted() const { return seconds_between(submitted_, Clock::now()); }

void EngineSequence::started(int64_t cached_tokens) {
  const std::lock_guard lock(mutex_);
  if (has_started_) {
    ++usage_.preemptions;
    return;
  }
  has_started_ = true;
  usage_.queue_s = seconds_since_submitted();
  usage_.cached_tokens = cached_tokens;
}

double EngineSequence::publish(GeneratedToken token) {
  const Clock::time_point now = Clock::now();
  const double seconds = seconds_between(last_token_, now);
  last_token_ = now;
  unread_.fetch_add(1);
  {
    const std::lock_guard lock(mutex_);
    if (usage_.generated_tokens == 0) usage_.first_token_s = seconds;
    ++usage_.generated_tokens;
    news_.tokens.push_back(std::move(token));
  }
  tell();
  return seconds;
}

int64_t EngineSequence::cacheable_tokens() const {
  // The logits of the last token are needed, whatever the cache has.
  const int64_t known = static_cast<int64_t>(sequence.tokens().size()) - 1;
  const bool scored = prompt_logprobs < 0 || scored_tokens >= sequence.prompt_count() - 1;
  return scored ? known : scored_tokens;
}

void EngineSequence::publish_prompt(std::vector<GeneratedToken> tokens) {
  scored_tokens += static_cast<int64_t>(tokens.size());
  {
    const std::lock_guard lock(mutex_);
    news_.prompt.insert(news_.prompt.end(), std::make_move_iterator(tokens.begin()),
                        std::make_move_iterator(tokens.end()));
  }
  tell();
}

// The finish reason is published right after.
void EngineSequence::publish_stop_token(GeneratedToken token) {
  const std::lock_guard lock(mutex_);
  if (usage_.generated_tokens == 0) usage_.first_token_s = seconds_since_submitted();
  ++usage_.generated_tokens;
  news_.stop_token = std::move(token);
}

void EngineSequence::end(std::optional<FinishReason> reason, std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    usage_.total_s = seconds_since_submitted();
    news_.finish_reason = reason;
    news_.error = std::move(error);
  }
  tell();
}

void EngineSequence::tell() {
  {
    const std::lock_guard lock(mutex_);
    if (told_) return;
    told_ = true;
  }
  if (notify_) notify_();
}

}  // namespace glimmer
