#include "engine/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace glimmer {
namespace {

// Logits of a piece of a window, 110 tokens of a vocabulary of 150,000. Larger pieces would read the head's weights
// less often, but take more memory.
constexpr int64_t kLogitBytes = int64_t{64} << 20;

struct Moments {
  double mean = 0;
  double error = 0;  // standard error of the mean
};

// Two passes, so that a small variance about a large mean is not lost.
template <typename Value>
Moments moments(size_t count, const Value& value) {
  const auto n = static_cast<double>(count);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += value(i);
  const double mean = sum / n;
  double squares = 0;
  for (size_t i = 0; i < count; ++i) squares += (value(i) - mean) * (value(i) - mean);
  const double error =
      count < 2 ? std::numeric_limits<double>::quiet_NaN() : std::sqrt(squares / (n - 1)) / std::sqrt(n);
  return {mean, error};
}

// The value that a part `fraction` of the ascending values lies below.
double percentile(std::span<const double> ascending, double fraction) {
  const double at = fraction * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, ascending.size() - 1);
  return ascending[below] + (at - std::floor(at)) * (ascending[above] - ascending[below]);
}

int64_t argmax(std::span<const float> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

struct Normalizer {
  double max = 0;
  double log_sum = 0;  // ln of the sum of exp(logit - max)
  double log_p(float logit) const { return static_cast<double>(logit) - max - log_sum; }
};

Normalizer normalizer(std::span<const float> logits) {
  float max = logits[0];
  for (const float logit : logits) {
    if (!std::isfinite(logit)) fail(ErrorCode::kInvalid, "the model's logits are not finite: its weights are broken");
    max = std::max(max, logit);
  }
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
  return {.max = max, .log_sum = std::log(sum)};
}

// Tokens [begin, end) of a window, run at once.
struct Piece {
  int64_t begin = 0;
  int64_t end = 0;
  bool scored = false;  // the logits of all of them count
};

// All tokens of a window but the last, which predicts nothing.
std::vector<Piece> pieces_of(const TextWindows& windows, int64_t chunk_tokens, int64_t logit_tokens) {
  std::vector<Piece> pieces;
  const int64_t first = windows.first_scored() - 1;  // what this token predicts is scored
  const int64_t last = windows.window_tokens() - 1;
  for (int64_t begin = 0; begin < first; begin += chunk_tokens) {
    pieces.push_back({begin, std::min(begin + chunk_tokens, first), false});
  }
  for (int64_t begin = first; begin < last; begin += logit_tokens) {
    pieces.push_back({begin, std::min(begin + logit_tokens, last), true});
  }
  return pieces;
}

int64_t logit_tokens_of(const Runner& runner) {
  const int64_t row_bytes = runner.config().vocab_size * static_cast<int64_t>(sizeof(float));
  return std::clamp<int64_t>(kLogitBytes / row_bytes, 1, runner.chunk_tokens());
}

std::span<const float> logit_row(ConstTensorView logits, int64_t row) {
  const int64_t vocab_size = logits.shape[1];
  return {logits.as<float>() + row * vocab_size, static_cast<size_t>(vocab_size)};
}

// Calls score(row) for each row on all threads; the first error of a row is thrown, whichever thread met it.
template <typename Score>
void for_each_row(ThreadPool& pool, int64_t rows, const Score& score) {
  std::vector<std::optional<Error>> errors(static_cast<size_t>(rows));
  pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      try {
        score(row);
      } catch (const Error& error) {
        errors[static_cast<size_t>(row)] = error;
      }
    }
  });
  for (const std::optional<Error>& error : errors) {
    if (error) throw Error(*error);
  }
}

// Walks all windows piece by piece: run(window, piece) for each, then on_piece.
template <typename Run>
void walk(const TextWindows& windows, std::span<const Piece> pieces, const EvaluateCallback& progress, const Run& run) {
  EvaluateProgress state{.total_tokens = windows.count() * (windows.window_tokens() - 1)};
  for (int64_t index = 0; index < windows.count(); ++index) {
    const std::vector<int32_t> window = windows.window(index);
    for (const Piece& piece : pieces) {
      run(window, piece, state);
      state.done_tokens += piece.end - piece.begin;
      if (progress) progress(state);
    }
  }
}

ConstTensorView run_piece(Runner& runner, KvCache& kv, std::span<const int32_t> window, const Piece& piece) {
  if (piece.begin == 0) kv.truncate(0);
  const int64_t count = piece.end - piece.begin;
  return runner.run(window.subspan(static_cast<size_t>(piece.begin), static_cast<size_t>(count)), kv,
                    piece.scored ? count : 0);
}

// The last token of a window is only predicted, not run, so the model does not see an id outside its vocabulary there.
void check_ids(const TextWindows& windows, const ModelConfig& config) {
  for (int64_t index = 0; index < windows.count(); ++index) {
    const int32_t id = windows.window(index).back();
    if (id < 0 || id >= config.vocab_size) {
      fail(ErrorCode::kInvalid, "token id {}: expected 0 to {} (vocab_size {} in {})", id, config.vocab_size - 1,
           config.vocab_size, config.source);
    }
  }
}

}  // namespace

TextWindows::TextWindows(std::span<const int32_t> text, const WindowOptions& options)
    : stream_(options.head), head_(options.head), text_tokens_(static_cast<int64_t>(text.size())) {
  const auto head_tokens = static_cast<int64_t>(head_.size());
  const auto first_scored = [&](int64_t tokens) {
    const int64_t first = options.scored == ScoredTokens::kAll ? 1 : tokens / 2 + 1;
    return std::max(first, head_tokens);
  };
  if (options.context <= first_scored(options.context)) {
    fail(ErrorCode::kUsage, "a window of {} tokens, {} of them its head, leaves none to score", options.context,
         head_tokens);
  }
  if (options.max_windows && *options.max_windows < 1) {
    fail(ErrorCode::kUsage, "{} windows: expected at least 1", *options.max_windows);
  }
  stream_.insert(stream_.end(), text.begin(), text.end());
  const auto all_tokens = static_cast<int64_t>(stream_.size());
  window_tokens_ = std::min(options.context, all_tokens);
  first_scored_ = first_scored(window_tokens_);
  if (window_tokens_ <= first_scored_) {
    fail(ErrorCode::kInvalid, "the text has {} tokens, too few to score one", text_tokens_);
  }
  count_ = std::min(all_tokens / window_tokens_, options.max_windows.value_or(all_tokens));
}

std::vector<int32_t> TextWindows::window(int64_t index) const {
  GLIMMER_CHECK(index >= 0 && index < count_, "window {} of {}", index, count_);
  const auto begin = stream_.begin() + index * window_tokens_;
  std::vector<int32_t> ids(begin, begin + window_tokens_);
  std::copy(head_.begin(), head_.end(), ids.begin());
  return ids;
}

int64_t TextWindows::left_out_tokens() const { return static_cast<int64_t>(stream_.size()) - count_ * window_tokens_; }

double negative_log_likelihood(std::span<const float> logits, int32_t token) {
  GLIMMER_CHECK(token >= 0 && static_cast<size_t>(token) < logits.size(), "token {} of {}", token, logits.size());
  return -normalizer(logits).log_p(logits[static_cast<size_t>(token)]);
}

TokenComparison compare_predictions(std::span<const float> base, std::span<const float> other, int32_t token) {
  GLIMMER_CHECK(base.size() == other.size() && token >= 0 && static_cast<size_t>(token) < base.size(),
                "token {} of {} and {}", token, base.size(), other.size());
  const Normalizer base_norm = normalizer(base);
  const Normalizer other_norm = normalizer(other);
  double kld = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double log_p = base_norm.log_p(base[i]);
    kld += std::exp(log_p) * (log_p - other_norm.log_p(other[i]));
  }
  const auto at = static_cast<size_t>(token);
  return {.base_nll = -base_norm.log_p(base[at]),
          .other_nll = -other_norm.log_p(other[at]),
          .kld = std::max(kld, 0.0),  // rounding may bring equal distributions below
          .same_top = argmax(base) == argmax(other)};
}

PerplexityResult summarize_nll(std::span<const double> nll) {
  GLIMMER_CHECK(!nll.empty(), "no tokens");
  const Moments m = moments(nll.size(), [&](size_t i) { return nll[i]; });
  const double perplexity = std::exp(m.mean);
  return {.tokens = static_cast<int64_t>(nll.size()),
          .nll = {m.mean, m.error},
          .perplexity = {perplexity, perplexity * m.error}};
}

KldResult summarize_comparisons(std::span<const TokenComparison> all) {
  GLIMMER_CHECK(!all.empty(), "no tokens");
  std::vector<double> values(all.size());
  const auto take = [&](const auto& value) {
    std::transform(all.begin(), all.end(), values.begin(), value);
    return std::span<const double>(values);
  };
  const auto estimate = [&](const auto& value) {
    const Moments m = moments(all.size(), [&](size_t i) { return value(all[i]); });
    return Estimate{m.mean, m.error};
  };
  const auto delta_p = [](const TokenComparison& c) { return std::exp(-c.other_nll) - std::exp(-c.base_nll); };

  KldResult result;
  result.base = summarize_nll(take([](const TokenComparison& c) { return c.base_nll; }));
  result.other = summarize_nll(take([](const TokenComparison& c) { return c.other_nll; }));
  result.log_ratio = estimate([](const TokenComparison& c) { return c.other_nll - c.base_nll; });
  result.kld = estimate([](const TokenComparison& c) { return c.kld; });
  result.same_top = estimate([](const TokenComparison& c) { return c.same_top ? 1.0 : 0.0; });
  result.delta_p = estimate(delta_p);
  const Estimate square = estimate([&](const TokenComparison& c) { return delta_p(c) * delta_p(c); });
  const double rms = std::sqrt(square.value);
  result.rms_delta_p = {rms, rms > 0 ? square.error / (2 * rms) : square.error};

  take([](const TokenComparison& c) { return c.kld; });
  std::sort(values.begin(), values.end());
  result.kld_min = values.front();
  result.kld_p1 = percentile(values, 0.01);
  result.kld_median = percentile(values, 0.5);
  result.kld_p90 = percentile(values, 0.9);
  result.kld_p99 = percentile(values, 0.99);
  result.kld_max = values.back();
  return result;
}

PerplexityResult measure_perplexity(Runner& runner, const TextWindows& windows, const EvaluateCallback& progress) {
  check_ids(windows, runner.config());
  KvCache kv = runner.make_cache();
  std::vector<double> nll;
  double sum = 0;
  const std::vector<Piece> pieces = pieces_of(windows, runner.chunk_tokens(), logit_tokens_of(runner));
  walk(windows, pieces, progress, [&](std::span<const int32_t> window, const Piece& piece, EvaluateProgress& state) {
    const ConstTensorView logits = run_piece(runner, kv, window, piece);
    if (!piece.scored) return;
    const size_t first = nll.size();
    nll.resize(first + static_cast<size_t>(piece.end - piece.begin));
    for_each_row(runner.pool(), piece.end - piece.begin, [&](int64_t row) {
      nll[first + static_cast<size_t>(row)] =
          negative_log_likelihood(logit_row(logits, row), window[static_cast<size_t>(piece.begin + row + 1)]);
    });
    for (size_t i = first; i < nll.size(); ++i) sum += nll[i];
    state.scored_tokens = static_cast<int64_t>(nll.size());
    state.mean_nll = sum / static_cast<double>(nll.size());
  });
  return summarize_nll(nll);
}

KldResult measure_kld(Runner& base, Runner& other, const TextWindows& windows, const EvaluateCallback& progress,
                      std::optional<KvType> other_kv_type) {
  const ModelConfig& base_config = base.config();
  const ModelConfig& other_config = other.config();
  if (base_config.vocab_size != other_config.vocab_size) {
    fail(ErrorCode::kInvalid, "the vocabularies differ: vocab_size {} in {}, {} in {}", base_config.vocab_size,
         base_config.source, other_config.vocab_size, other_config.source);
  }
  check_ids(windows, base_config);
  KvCache base_kv = base.make_cache();
  KvCache other_kv = other.make_cache(other_kv_type.value_or(other.kv_type()));
  std::vector<TokenComparison> all;
  double nll_sum = 0;
  double kld_sum = 0;
  const std::vector<Piece> pieces = pieces_of(windows, std::min(base.chunk_tokens(), other.chunk_tokens()),
                                              std::min(logit_tokens_of(base), logit_tokens_of(other)));
  walk(windows, pieces, progress, [&](std::span<const int32_t> window, const Piece& piece, EvaluateProgress& state) {
    const ConstTensorView base_logits = run_piece(base, base_kv, window, piece);
    const ConstTensorView other_logits = run_piece(other, other_kv, window, piece);
    if (!piece.scored) return;
    const size_t first = all.size();
    all.resize(first + static_cast<size_t>(piece.end - piece.begin));
    for_each_row(base.pool(), piece.end - piece.begin, [&](int64_t row) {
      all[first + static_cast<size_t>(row)] =
          compare_predictions(logit_row(base_logits, row), logit_row(other_logits, row),
                              window[static_cast<size_t>(piece.begin + row + 1)]);
    });
    for (size_t i = first; i < all.size(); ++i) {
      nll_sum += all[i].other_nll;
      kld_sum += all[i].kld;
    }
    state.scored_tokens = static_cast<int64_t>(all.size());
    state.mean_nll = nll_sum / static_cast<double>(all.size());
    state.mean_kld = kld_sum / static_cast<double>(all.size());
  });
  return summarize_comparisons(all);
}

}  // namespace glimmer
