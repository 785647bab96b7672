// A request as the engine keeps it: what its reader sees, and what the engine's thread alone touches.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>

#include "base/bell.h"
#include "engine/engine.h"
#include "engine/scheduler.h"

namespace glimmer {

class EngineSequence : public RequestHandle {
 public:
  using Clock = std::chrono::steady_clock;

  // `bell` wakes the engine's thread, and is shared: handles may outlive the engine.
  EngineSequence(const EngineRequest& request, std::function<void()> notify, const ModelConfig& config,
                 std::shared_ptr<KvPool> pool, std::shared_ptr<Bell> bell);

  // ---- any thread ----
  News take() override;
  RequestUsage usage() const override;
  void finish(FinishReason reason) override;

  // ---- the engine's thread ----
  Sequence sequence;
  const int top_logprobs;
  const int prompt_logprobs;
  const std::string tenant;
  const std::string cache_scope;
  SchedulerRank rank;
  int64_t max_unread_tokens = 0;
  bool has_rested = false;    // since it last ran
  bool is_displaced = false;  // under the engine's lock

  std::optional<FinishReason> wanted_finish() const;
  // Tokens from the prompt's beginning whose logits nobody needs: the prefix cache may have them.
  int64_t cacheable_tokens() const;
  // Positions of the prompt, from the first, whose logits have been used.
  int64_t scored_tokens = 0;
  // Whether its reader has left so much that no more shall be made.
  bool rests() const { return unread_.load(std::memory_order_relaxed) >= max_unread_tokens; }

  double seconds_since_submitted() const;
  void started(int64_t cached_tokens);  // taken to run; counts a preemption if it ran before
  bool has_started() const { return has_started_; }
  // Seconds since the token before, or since submit().
  double publish(GeneratedToken token);
  void publish_prompt(std::vector<GeneratedToken> tokens);
  void publish_stop_token(GeneratedToken token);
  void end(std::optional<FinishReason> reason, std::exception_ptr error);

 private:
  void tell();

  const std::function<void()> notify_;
  const std::shared_ptr<Bell> bell_;
  const Clock::time_point submitted_ = Clock::now();
  Clock::time_point last_token_ = submitted_;
  bool has_started_ = false;
  std::atomic<int> wanted_finish_{-1};
  std::atomic<int64_t> unread_{0};

  mutable std::mutex mutex_;  // of what follows
  News news_;
  RequestUsage usage_;
  bool told_ = false;
};

}  // namespace glimmer
