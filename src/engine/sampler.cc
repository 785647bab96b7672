#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "engine/random.h"

namespace glimmer {
namespace {

// Written so that NaN is out of range.
void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    fail(ErrorCode::kUsage, "{} is {}, but must be in [{}, {}]", name, value, low, high);
  }
}

// The index of the largest, the first among equals. Throws kInvalid on a value that is not finite.
int32_t index_of_max(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) {
      fail(ErrorCode::kInvalid,
           "the model's logit of token {} is {}: weights or arithmetic are broken (compare with --backend ref)", i,
           logits[i]);
    }
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<int32_t>(best);
}

}  // namespace

void validate(const SamplingParams& params, int64_t vocab_size) {
  check_range("temperature", params.temperature, 0, 100);
  if (params.top_k < -1) fail(ErrorCode::kUsage, "top_k is {}, but must be at least 0 (0: off)", params.top_k);
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    fail(ErrorCode::kUsage, "top_p is {}, but must be in (0, 1]", params.top_p);
  }
  check_range("min_p", params.min_p, 0, 1);
  check_range("repetition_penalty", params.repetition_penalty, 0.01, 100);
  check_range("presence_penalty", params.presence_penalty, -2, 2);
  check_range("frequency_penalty", params.frequency_penalty, -2, 2);
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      fail(ErrorCode::kUsage, "logit_bias names token {}, but ids are in [0, {})", id, vocab_size);
    }
    check_range("logit_bias", bias, -100, 100);
  }
}

Sampler::Sampler(const SamplingParams& params, int64_t vocab_size) : params_(params), vocab_size_(vocab_size) {
  validate(params, vocab_size);
}

void Sampler::observe_prompt(std::span<const int32_t> ids) {
  for (const int32_t id : ids) seen_[id].in_prompt = true;
}

int32_t Sampler::sample(std::span<const float> logits) {
  GLIMMER_CHECK(static_cast<int64_t>(logits.size()) == vocab_size_, "{} logits for a vocabulary of {}", logits.size(),
                vocab_size_);
  const int32_t id = pick(logits);
  ++seen_[id].generated;
  ++drawn_;
  return id;
}

int32_t Sampler::pick(std::span<const float> logits) {
  int32_t best = index_of_max(logits);
  const bool penalized =
      params_.repetition_penalty != 1 || params_.presence_penalty != 0 || params_.frequency_penalty != 0;
  if (penalized || !params_.logit_bias.empty()) {
    adjusted_.assign(logits.begin(), logits.end());
    penalize(adjusted_);
    logits = adjusted_;
    best = index_of_max(logits);
  }
  if (params_.greedy()) return best;
  const float max_logit = logits[best];
  const bool cuts = (params_.top_k > 0 && params_.top_k < vocab_size_) || params_.top_p < 1 || params_.min_p > 0;
  return cuts ? draw_from_best(logits, max_logit) : draw_from_all(logits, max_logit);
}

void Sampler::penalize(std::span<float> logits) const {
  const double repetition = params_.repetition_penalty;
  for (const auto& [id, seen] : seen_) {
    double logit = logits[id];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    if (seen.generated > 0) {
      logit -= params_.frequency_penalty * static_cast<double>(seen.generated) + params_.presence_penalty;
    }
    logits[id] = static_cast<float>(logit);
  }
  for (const auto& [id, bias] : params_.logit_bias) logits[id] += static_cast<float>(bias);
}

// A token's probability, but for the common factor.
double Sampler::weight(float logit, float max_logit) const {
  return std::exp((static_cast<double>(logit) - max_logit) / params_.temperature);
}

int32_t Sampler::draw_from_all(std::span<const float> logits, float max_logit) {
  double total = 0;
  for (const float logit : logits) total += weight(logit, max_logit);
  const double target = random_unit(params_.seed, drawn_) * total;
  double sum = 0;
  int32_t last = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double w = weight(logits[i], max_logit);
    if (w > 0) last = static_cast<int32_t>(i);
    sum += w;
    if (sum > target) break;
  }
  return last;
}

int32_t Sampler::draw_from_best(std::span<const float> logits, float max_logit) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) candidates_.push_back({logits[i], static_cast<int32_t>(i)});
  sorted_ = 0;
  if (params_.top_k > 0 && params_.top_k < vocab_size_) {
    sort_next(static_cast<size_t>(params_.top_k));
    candidates_.resize(sorted_);
  }
  double total = 0;
  for (const Candidate& candidate : candidates_) total += weight(candidate.logit, max_logit);
  if (params_.top_p < 1) {
    keep_top_p(total, max_logit);
  } else if (sorted_ < candidates_.size()) {
    // Only min_p cuts. What it keeps is known from the logits; order just those.
    std::erase_if(candidates_, [&](const Candidate& c) { return weight(c.logit, max_logit) < params_.min_p; });
    sort_next(candidates_.size());
  }
  std::erase_if(candidates_, [&](const Candidate& c) { return weight(c.logit, max_logit) < params_.min_p; });
  return draw(candidates_, max_logit);
}

// Cuts candidates_ to the shortest prefix of the order whose weights reach top_p of `total`. Orders ever more of them
// until it is reached: a few hundred of a vocabulary of 150,000 as a rule.
void Sampler::keep_top_p(double total, float max_logit) {
  const double target = params_.top_p * total;
  double sum = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == sorted_) sort_next(std::max<size_t>(256, sorted_ * 4));
    sum += weight(candidates_[i].logit, max_logit);
    if (sum >= target) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

// Puts the next `count` best of the unordered rest in order behind those that are.
void Sampler::sort_next(size_t count) {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto begin = candidates_.begin() + static_cast<ptrdiff_t>(sorted_);
  const size_t left = candidates_.size() - sorted_;
  const auto end = begin + static_cast<ptrdiff_t>(std::min(count, left));
  if (count < left) std::nth_element(begin, end, candidates_.end(), better);
  std::sort(begin, end, better);
  sorted_ += std::min(count, left);
}

int32_t Sampler::draw(std::span<const Candidate> candidates, float max_logit) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += weight(candidate.logit, max_logit);
  const double target = random_unit(params_.seed, drawn_) * total;
  double sum = 0;
  for (const Candidate& candidate : candidates) {
    sum += weight(candidate.logit, max_logit);
    if (sum > target) return candidate.id;
  }
  return candidates.back().id;
}

}  // namespace glimmer
