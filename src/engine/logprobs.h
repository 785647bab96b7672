// Log probabilities of generated tokens and their likeliest alternatives.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace glimmer {

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;  // natural, of the softmax of the logits as the model gave them
};

struct Logprobs {
  float chosen = 0;               // of the token asked for
  std::vector<TokenLogprob> top;  // descending; ties by ascending id
};

// logits [vocab_size], finite; `count` of the likeliest, at most as many as there are.
Logprobs logprobs_of(std::span<const float> logits, int32_t chosen, int count);

}  // namespace glimmer
