// One sequence's state: its tokens, KV cache, sampler, and finish reason.
//
// A sequence never runs the model. The Generator (one sequence) or the Engine (many) asks for the pending tokens, runs
// them, and hands back the logits of the last:
//
//   sequence.start(prompt, options);
//   while (!sequence.finished()) {
//     run sequence.pending(n) on sequence.kv(), with logits of the last sequence.logits_rows(n) tokens;
//     for (each row of logits, while nothing is pending) sequence.advance(row);
//   }
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/token_filter.h"
#include "engine/sampler.h"
#include "model/config.h"
#include "model/kv_cache.h"

namespace glimmer {

class Runner;

enum class FinishReason {
  kStopToken,   // one of stop_ids was generated; it is the last token
  kStopString,  // the receiver of the tokens asked to stop
  kLength,      // max_new_tokens, or the context is full
  kCancelled,
};

// As the field's APIs spell it: "stop" (for both kinds), "length", "cancelled".
std::string_view finish_reason_name(FinishReason reason);

struct GenerationOptions {
  SamplingParams sampling;
  std::optional<int64_t> max_new_tokens;  // absent: until the context is full
  std::vector<int32_t> stop_ids;          // empty: nothing stops it (ignore_eos)
  std::shared_ptr<TokenFilter> filter;    // what tokens may come; of this generation alone. Null: all
  bool runs_prompt = false;               // even if max_new_tokens is 0
};

class Sequence {
 public:
  // `config` must outlive the sequence; `kv_type` is that of the context that runs it (Context::kv_type).
  explicit Sequence(const ModelConfig& config, KvType kv_type = KvType::kF32);
  Sequence(const ModelConfig& config, std::shared_ptr<KvPool> pool);  // its cache takes pages of the pool
  // With a cache that `runner` can run, of the runner's type, for a whole context. The runner must outlive it.
  explicit Sequence(Runner& runner);

  // Begins a generation from `prompt`. What an earlier one left in the cache is kept as far as its tokens begin like
  // `prompt`, but for the last token of it: its logits are needed.
  // Throws kUsage for an empty prompt, bad sampling parameters or a negative max_new_tokens, kInvalid for an id outside
  // the vocabulary, and kLimit when the context (max_position_embeddings) has no room for the prompt and one more
  // token; the sequence is then as it was.
  void start(std::vector<int32_t> prompt, const GenerationOptions& options);

  // The tokens that are not in the cache yet: at most `max_tokens` of them. Empty before start() and once finished.
  std::span<const int32_t> pending(int64_t max_tokens) const;
  int64_t pending_count() const;

  // How many of the last tokens of pending(max_tokens) need logits: none where more is pending behind them, or nothing
  // is generated.
  int64_t logits_rows(int64_t max_tokens) const;

  // Takes the logits [vocab_size] that follow the last token: samples the next, appends it and returns it. May finish
  // the sequence. CHECKs that nothing is pending and that it is not finished. Nothing is pending afterwards either
  // where that token was drafted, and so has run: the next row of logits follows it.
  int32_t advance(std::span<const float> logits);

  // Proposes ids, at most draft_room(), that may follow the last token: they are pending too, but none of tokens(),
  // until advance() has chosen them. Where it chooses another, or the sequence ends, the rest is forgotten.
  void draft(std::span<const int32_t> ids);
  int64_t draft_room() const;  // 0 unless one token is pending and more than one may follow
  void drop_drafts();

  void finish(FinishReason reason);  // from outside; in place of a reason that is there
  bool finished() const { return finish_reason_.has_value(); }
  std::optional<FinishReason> finish_reason() const { return finish_reason_; }

  // Prompt and generated, the stop token too.
  std::span<const int32_t> tokens() const {
    return std::span(tokens_).first(tokens_.size() - static_cast<size_t>(draft_count_));
  }
  std::span<const int32_t> generated() const { return tokens().subspan(static_cast<size_t>(prompt_count_)); }
  int64_t prompt_count() const { return prompt_count_; }
  int64_t reused_count() const { return reused_count_; }  // of the prompt, found in the cache by start()
  bool generates() const { return options_.max_new_tokens != 0; }
  bool context_full() const { return static_cast<int64_t>(tokens().size()) >= config_.max_position_embeddings; }

  KvCache& kv() { return kv_; }
  const KvCache& kv() const { return kv_; }

 private:
  bool is_stop_id(int32_t id) const;
  std::span<const uint64_t> allowed();

  const ModelConfig& config_;
  KvCache kv_;
  std::vector<int32_t> tokens_;  // the drafts last
  int64_t draft_count_ = 0;
  int64_t prompt_count_ = 0;
  int64_t reused_count_ = 0;
  GenerationOptions options_;
  std::optional<Sampler> sampler_;
  std::vector<uint64_t> allowed_;  // by the filter, next
  std::optional<FinishReason> finish_reason_;
};

}  // namespace glimmer
