// Picks the next token from logits.
//
// The steps, in this order (transformers' generate and vLLM agree on it):
//   1. repetition_penalty  on every id in prompt or output: logit > 0 ? logit / r : logit * r
//   2. frequency_penalty   on every id in the output: logit -= f * times it was generated
//      presence_penalty    on every id in the output: logit -= p
//   3. logit_bias          logit += bias
//   4. a mask              only the tokens that it allows are looked at from here on, as if there were no others
//   5. temperature         0: the largest logit, ties to the lowest id, and done; else logit /= temperature
//   6. top_k               keeps the k largest
//   7. top_p               keeps the fewest of the largest whose probabilities sum to at least top_p
//   8. min_p               keeps those with at least min_p times the largest probability
//   9. a draw: u = random_unit(seed, position: tokens generated so far); of the kept, by ascending id, the first whose
//   cumulative
//      probability exceeds u
// Equal logits rank by ascending id throughout. So the same seed and logits give the same tokens on any thread count.
// Nothing is sorted but the few candidates at the edge of a cut: a vocabulary of 150,000 takes one to two milliseconds.
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

// One sequence's sampler: it remembers what the sequence holds, for the penalties.
class Sampler {
 public:
  Sampler(const SamplingParams& params, int64_t vocab_size);  // validates

  void observe_prompt(std::span<const int32_t> ids);  // ids in [0, vocab_size)

  // The token at `position` of the output, from logits [vocab_size]. Nothing is remembered until accept() says that it
  // has become part of the output. `allowed` is empty, or has the bits of the tokens to choose among
  // (base/token_filter.h). Throws kInvalid when the logit of a token that is allowed is NaN or infinite, naming the id,
  // and when none is.
  int32_t choose(std::span<const float> logits, int64_t position, std::span<const uint64_t> allowed = {});
  void accept(int32_t id);  // in [0, vocab_size)

  // Chooses the token that follows those accepted so far, and accepts it.
  int32_t sample(std::span<const float> logits);

  const SamplingParams& params() const { return params_; }

 private:
  // The last that is kept: of a larger logit, or of the same and an id up to this.
  struct Cut {
    float logit;
    int32_t id;
    bool keeps(float other_logit, int32_t other_id) const {
      return other_logit > logit || (other_logit == logit && other_id <= id);
    }
  };
  // Tokens whose logits are about as far below the largest.
  struct Bin {
    int64_t count = 0;
    double weight = 0;
  };
  struct Seen {
    bool in_prompt = false;
    int64_t generated = 0;
  };

  void list(std::span<const uint64_t> allowed);
  int32_t id_at(size_t index) const { return ids_.empty() ? static_cast<int32_t>(index) : ids_[index]; }
  size_t index_of_max(std::span<const float> logits) const;
  void penalize(std::span<float> logits) const;
  size_t draw(std::span<const float> logits, float max_logit, int64_t position);
  void weigh(std::span<const float> logits, float max_logit);
  void fill_bins(std::span<const float> logits, float max_logit);
  Cut cut(std::span<const float> logits, float max_logit);
  Cut cut_after_count(std::span<const float> logits, int64_t count, double& kept_weight);
  Cut cut_after_weight(std::span<const float> logits, double weight);
  void order_bin(std::span<const float> logits, int32_t bin);

  SamplingParams params_;
  int64_t vocab_size_;
  int64_t accepted_ = 0;
  std::unordered_map<int32_t, Seen> seen_;
  std::vector<int32_t> ids_;  // that are allowed, ascending; empty: all. What follows has a place for each of them
  std::vector<float> adjusted_;
  std::vector<float> weights_;   // of each token: its probability, but for the common factor
  std::vector<int32_t> bin_of_;  // of each token
  std::vector<Bin> bins_;        // largest logits first
  std::vector<Cut> candidates_;  // the tokens of one bin, best first
};

}  // namespace glimmer
