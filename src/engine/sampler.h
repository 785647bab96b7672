// Picks the next token from logits.
//
// The steps, in this order (transformers' generate and vLLM agree on it):
//   1. repetition_penalty  on every id in prompt or output: logit > 0 ? logit / r : logit * r
//   2. frequency_penalty   on every id in the output: logit -= f * times it was generated
//      presence_penalty    on every id in the output: logit -= p
//   3. logit_bias          logit += bias
//   4. temperature         0: the largest logit, ties to the lowest id, and done; else logit /= temperature
//   5. top_k               keeps the k largest
//   6. top_p               keeps the fewest of the largest whose probabilities sum to at least top_p
//   7. min_p               keeps those with at least min_p times the largest probability
//   8. a draw: u = random_unit(seed, tokens generated so far); the first candidate whose cumulative probability exceeds
//   u.
//      Candidates stand by descending logit, then ascending id; if none was cut, by ascending id.
// Equal logits rank by ascending id throughout. So the same seed and logits give the same tokens on any thread count.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

namespace glimmer {

struct SamplingParams {
  double temperature = 0;                // [0, 100]; below 1e-5 means greedy
  int64_t top_k = 0;                     // 0 or -1: off
  double top_p = 1;                      // (0, 1]
  double min_p = 0;                      // [0, 1]
  double repetition_penalty = 1;         // [0.01, 100]
  double presence_penalty = 0;           // [-2, 2]
  double frequency_penalty = 0;          // [-2, 2]
  std::map<int32_t, double> logit_bias;  // id -> [-100, 100]
  uint64_t seed = 0;

  bool greedy() const { return temperature < 1e-5; }
};

// Throws kUsage naming the parameter, its range and what was given; ids of logit_bias must be below vocab_size.
void validate(const SamplingParams& params, int64_t vocab_size);

// One sequence's sampler: it remembers what the sequence holds, for the penalties and for the place in the random
// stream.
class Sampler {
 public:
  Sampler(const SamplingParams& params, int64_t vocab_size);  // validates

  void observe_prompt(std::span<const int32_t> ids);  // ids in [0, vocab_size)

  // The next token; logits [vocab_size]. Takes it as generated: the next call counts it. Throws kInvalid when a logit
  // is NaN or infinite, naming the id.
  int32_t sample(std::span<const float> logits);

  const SamplingParams& params() const { return params_; }

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  struct Seen {
    bool in_prompt = false;
    int64_t generated = 0;
  };

  int32_t pick(std::span<const float> logits);
  void penalize(std::span<float> logits) const;
  int32_t draw_from_all(std::span<const float> logits, float max_logit);
  int32_t draw_from_best(std::span<const float> logits, float max_logit);
  void keep_top_p(double total, float max_logit);
  int32_t draw(std::span<const Candidate> candidates, float max_logit);
  double weight(float logit, float max_logit) const;
  void sort_next(size_t count);

  SamplingParams params_;
  int64_t vocab_size_;
  uint64_t drawn_ = 0;
  std::unordered_map<int32_t, Seen> seen_;
  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;
  size_t sorted_ = 0;  // candidates_[0, sorted_) are the best, in order
};

}  // namespace glimmer
