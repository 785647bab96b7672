#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "base/token_filter.h"
#include "engine/random.h"

namespace glimmer {
namespace {

// Phrased so that NaN counts as out of range.
void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    fail(ErrorCode::kUsage, "{} is {}, but must be in [{}, {}]", name, value, low, high);
  }
}

// e^x for x <= 0 with a relative error of about 1e-7; below -87 it returns e^-87, which is negligible. Plain
// arithmetic: fast, and the same on every machine, unlike the C library's.
float exp_of_negative(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;  // few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer in the lowest bits
  const float clamped = x > -87.0F ? x : -87.0F;
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;  // in [-ln 2 / 2, ln 2 / 2]
  // The minimax polynomial of Cephes' expf.
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  const auto exponent = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  return p * std::bit_cast<float>(exponent);
}

// Histogram of logits below the largest: 128 nats, beyond which exp() is 0 in f32. Bins of 1/8 nat leave few tokens to
// sort at the edge of a cut.
constexpr int32_t kBins = 1024;
constexpr float kBinsPerNat = 8;

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

void Sampler::accept(int32_t id) {
  GLIMMER_CHECK(id >= 0 && id < vocab_size_, "token {} of {}", id, vocab_size_);
  ++seen_[id].generated;
  ++accepted_;
}

int32_t Sampler::sample(std::span<const float> logits) {
  const int32_t id = choose(logits, accepted_);
  accept(id);
  return id;
}

int32_t Sampler::choose(std::span<const float> logits, int64_t position, std::span<const uint64_t> allowed) {
  GLIMMER_CHECK(static_cast<int64_t>(logits.size()) == vocab_size_, "{} logits for a vocabulary of {}", logits.size(),
                vocab_size_);
  list(allowed);
  const bool penalizes =
      params_.repetition_penalty != 1 || params_.presence_penalty != 0 || params_.frequency_penalty != 0;
  if (penalizes || !params_.logit_bias.empty() || !ids_.empty()) {
    adjusted_.assign(logits.begin(), logits.end());
    penalize(adjusted_);
    // Ids ascend, so that each is at or behind the place that it gets.
    for (size_t i = 0; i < ids_.size(); ++i) adjusted_[i] = adjusted_[static_cast<size_t>(ids_[i])];
    if (!ids_.empty()) adjusted_.resize(ids_.size());
    logits = adjusted_;
  }
  const size_t best = index_of_max(logits);
  return id_at(params_.greedy() ? best : draw(logits, logits[best], position));
}

void Sampler::list(std::span<const uint64_t> allowed) {
  ids_.clear();
  if (allowed.empty()) return;
  GLIMMER_CHECK(static_cast<int64_t>(allowed.size()) == token_words(vocab_size_), "{} words for a vocabulary of {}",
                allowed.size(), vocab_size_);
  for (size_t word = 0; word < allowed.size(); ++word) {
    for (uint64_t left = allowed[word]; left != 0; left &= left - 1) {
      const auto id = static_cast<int64_t>(word) * kTokensPerWord + std::countr_zero(left);
      if (id < vocab_size_) ids_.push_back(static_cast<int32_t>(id));
    }
  }
  if (ids_.empty()) {
    fail(ErrorCode::kInvalid,
         "no token may come next: what constrains the output allows none of the {} in the vocabulary", vocab_size_);
  }
}

// Index of the largest value, the first among equals. Throws kInvalid on a value that is not finite.
size_t Sampler::index_of_max(std::span<const float> logits) const {
  size_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) {
      fail(ErrorCode::kInvalid,
           "the model's logit of token {} is {}: weights or arithmetic are broken (compare with --backend ref)",
           id_at(i), logits[i]);
    }
    if (logits[i] > logits[best]) best = i;
  }
  return best;
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

size_t Sampler::draw(std::span<const float> logits, float max_logit, int64_t position) {
  weigh(logits, max_logit);
  const Cut last = cut(logits, max_logit);
  const auto size = static_cast<int32_t>(logits.size());
  double total = 0;
  for (int32_t i = 0; i < size; ++i) {
    if (!last.keeps(logits[i], i)) weights_[i] = 0;
    total += weights_[i];
  }
  const double target = random_unit(params_.seed, static_cast<uint64_t>(position)) * total;
  double sum = 0;
  size_t drawn = 0;
  for (size_t i = 0; i < logits.size() && sum <= target; ++i) {
    if (weights_[i] > 0) drawn = i;  // the last one, should rounding have raised the target to the total
    sum += weights_[i];
  }
  return drawn;
}

void Sampler::weigh(std::span<const float> logits, float max_logit) {
  weights_.resize(logits.size());
  const auto factor = static_cast<float>(1 / params_.temperature);
  for (size_t i = 0; i < logits.size(); ++i) weights_[i] = exp_of_negative((logits[i] - max_logit) * factor);
}

Sampler::Cut Sampler::cut(std::span<const float> logits, float max_logit) {
  Cut last{-std::numeric_limits<float>::infinity(), 0};
  const auto tighten = [&](const Cut& other) {
    if (last.keeps(other.logit, other.id)) last = other;
  };
  if (params_.min_p > 0) {
    const double lowest = max_logit + params_.temperature * std::log(params_.min_p);
    auto logit = static_cast<float>(lowest);
    if (logit < lowest) logit = std::nextafter(logit, max_logit);
    tighten({logit, std::numeric_limits<int32_t>::max()});
  }
  const bool cuts_count = params_.top_k > 0 && params_.top_k < static_cast<int64_t>(logits.size());
  if (!cuts_count && params_.top_p == 1) return last;
  fill_bins(logits, max_logit);
  double kept_weight = 0;
  for (const Bin& bin : bins_) kept_weight += bin.weight;
  if (cuts_count) tighten(cut_after_count(logits, params_.top_k, kept_weight));
  if (params_.top_p < 1) tighten(cut_after_weight(logits, params_.top_p * kept_weight));
  return last;
}

// Bins by the distance from the largest logit, which ranks tokens as their logits do: rounding keeps the order.
void Sampler::fill_bins(std::span<const float> logits, float max_logit) {
  bins_.assign(kBins, {});
  bin_of_.resize(logits.size());
  const auto factor = static_cast<float>(kBinsPerNat / params_.temperature);
  for (size_t i = 0; i < logits.size(); ++i) {
    const float distance = (max_logit - logits[i]) * factor;
    bin_of_[i] = static_cast<int32_t>(distance < kBins - 1 ? distance : kBins - 1);
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    Bin& bin = bins_[static_cast<size_t>(bin_of_[i])];
    ++bin.count;
    bin.weight += weights_[i];
  }
}

// Keeps the `count` best; `kept_weight` becomes their total weight.
Sampler::Cut Sampler::cut_after_count(std::span<const float> logits, int64_t count, double& kept_weight) {
  kept_weight = 0;
  int32_t bin = 0;
  for (; bins_[static_cast<size_t>(bin)].count < count; ++bin) {
    count -= bins_[static_cast<size_t>(bin)].count;
    kept_weight += bins_[static_cast<size_t>(bin)].weight;
  }
  order_bin(logits, bin);
  for (int64_t i = 0; i < count; ++i)
    kept_weight += weights_[static_cast<size_t>(candidates_[static_cast<size_t>(i)].id)];
  return candidates_[static_cast<size_t>(count - 1)];
}

// Keeps the fewest of the best that weigh at least `weight`.
Sampler::Cut Sampler::cut_after_weight(std::span<const float> logits, double weight) {
  int32_t bin = 0;
  for (; bin + 1 < kBins && bins_[static_cast<size_t>(bin)].weight < weight; ++bin) {
    weight -= bins_[static_cast<size_t>(bin)].weight;
  }
  order_bin(logits, bin);
  for (const Cut& candidate : candidates_) {
    weight -= weights_[static_cast<size_t>(candidate.id)];
    if (weight <= 0) return candidate;
  }
  return {-std::numeric_limits<float>::infinity(), 0};  // a rounding error is left: nothing is cut
}

// Fills candidates_ with the tokens of one bin, best first.
void Sampler::order_bin(std::span<const float> logits, int32_t bin) {
  candidates_.clear();
  for (size_t i = 0; i < bin_of_.size(); ++i) {
    if (bin_of_[i] == bin) candidates_.push_back({logits[i], static_cast<int32_t>(i)});
  }
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Cut& a, const Cut& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; });
}

}  // namespace glimmer
