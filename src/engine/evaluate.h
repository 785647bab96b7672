// Perplexity of a model on a text, and KL divergence of another model from it. Tokens in, numbers out.
//
// A text is split into independent windows. By default the second half of a window is scored: with n tokens in
// it, token n / 2 + 1 and all that follow, so that each has at least half a window of context. This is what llama.cpp's
// perplexity tool does by default, so the figures are comparable. kAll scores every token but the first.
//
// All sums are f64, from f32 logits by log-sum-exp; logarithms are natural. Nothing depends on the number of threads.
// Standard errors take the tokens as independent, as is usual, though neighbours are not.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/runner.h"

namespace glimmer {

enum class ScoredTokens { kSecondHalf, kAll };

struct WindowOptions {
  int64_t context = 512;      // tokens of a window, the head's among them
  std::vector<int32_t> head;  // stands at the head of each window, in the place of as many tokens of the text
  ScoredTokens scored = ScoredTokens::kSecondHalf;
  std::optional<int64_t> max_windows;  // the first ones; absent: all
};

// The windows of a text: head and text follow each other, are cut every `context` tokens, and the head takes the place
// of each window's first tokens (it is never scored). What is left at the end is left out, but a text that is shorter
// than a window is one short window.
class TextWindows {
 public:
  // Throws kUsage for a context that leaves nothing to score or max_windows below 1, kInvalid for a text too short.
  TextWindows(std::span<const int32_t> text, const WindowOptions& options);

  int64_t count() const { return count_; }
  int64_t window_tokens() const { return window_tokens_; }
  std::vector<int32_t> window(int64_t index) const;

  int64_t first_scored() const { return first_scored_; }  // place in a window; that token and all that follow
  int64_t scored_per_window() const { return window_tokens_ - first_scored_; }
  int64_t scored_tokens() const { return count_ * scored_per_window(); }
  int64_t text_tokens() const { return text_tokens_; }
  int64_t left_out_tokens() const;  // of the text, behind the last window

 private:
  std::vector<int32_t> stream_;  // head, then text
  std::vector<int32_t> head_;
  int64_t text_tokens_ = 0;
  int64_t window_tokens_ = 0;
  int64_t count_ = 0;
  int64_t first_scored_ = 0;
};

struct Estimate {
  double value = 0;
  double error = 0;  // standard error; NaN for a single token
};

// -ln p(token), p = softmax(logits). Throws kInvalid for logits that are not finite.
double negative_log_likelihood(std::span<const float> logits, int32_t token);

// Two models' predictions of one token.
struct TokenComparison {
  double base_nll = 0;  // -ln p(token)
  double other_nll = 0;
  double kld = 0;         // sum over the vocabulary of p_base ln(p_base / p_other); at least 0
  bool same_top = false;  // both have the same most probable token (ties: the lowest id)
};
TokenComparison compare_predictions(std::span<const float> base, std::span<const float> other, int32_t token);

struct PerplexityResult {
  int64_t tokens = 0;   // scored
  Estimate nll;         // mean of -ln p(token)
  Estimate perplexity;  // exp of it
};

struct KldResult {
  PerplexityResult base;
  PerplexityResult other;
  Estimate log_ratio;  // ln(perplexity of other / of base), its error from the differences token by token
  Estimate kld;        // mean, nats a token
  double kld_min = 0;
  double kld_p1 = 0;  // percentiles, interpolated linearly between neighbours
  double kld_median = 0;
  double kld_p90 = 0;
  double kld_p99 = 0;
  double kld_max = 0;
  Estimate same_top;     // part of the tokens with the same most probable token
  Estimate delta_p;      // mean of p_other(token) - p_base(token)
  Estimate rms_delta_p;  // root of the mean of its square
};

PerplexityResult summarize_nll(std::span<const double> nll);                    // CHECKs that there is one
KldResult summarize_comparisons(std::span<const TokenComparison> comparisons);  // the same

struct EvaluateProgress {
  int64_t done_tokens = 0;  // run through the model, of total_tokens
  int64_t total_tokens = 0;
  int64_t scored_tokens = 0;  // so far
  double mean_nll = 0;        // of those; of the other model in measure_kld. 0 before the first
  double mean_kld = 0;        // measure_kld
};
// Called after each piece of a window; may throw (kCancelled) to stop.
using EvaluateCallback = std::function<void(const EvaluateProgress&)>;

// Beside the model it takes a window's keys and values and the logits of a piece, at most 64 MiB or one token's.
// Throws kInvalid for ids outside the vocabulary and logits that are not finite; what the model throws passes through.
PerplexityResult measure_perplexity(Runner& runner, const TextWindows& windows, const EvaluateCallback& progress = {});

// Runs both models side by side, piece by piece, so both are in memory at once (mapped weights need not be resident),
// with keys, values and logits as above for each. KLD of a model against itself is exactly 0.
// The other's keys and values are of `other_kv_type` if that is given: what it costs to keep them so.
// Throws as measure_perplexity; kInvalid when the vocabularies differ in size.
KldResult measure_kld(Runner& base, Runner& other, const TextWindows& windows, const EvaluateCallback& progress = {},
                      std::optional<KvType> other_kv_type = std::nullopt);

}  // namespace glimmer
