#include "engine/logprobs.h"

#include <algorithm>
#include <cmath>

namespace glimmer {

Logprobs logprobs_of(std::span<const float> logits, int32_t chosen, int count) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  const double log_sum = std::log(sum);
  const auto logprob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - most - log_sum); };

  const auto better = [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.id < b.id;
  };
  Logprobs result{.chosen = logprob(logits[static_cast<size_t>(chosen)]), .top = {}};
  const auto wanted = std::min(static_cast<size_t>(std::max(count, 0)), logits.size());
  if (wanted == 0) return result;
  // A heap of the best so far, the worst of them at its front. It holds logits until the end.
  std::vector<TokenLogprob>& top = result.top;
  for (size_t i = 0; i < logits.size(); ++i) {
    const TokenLogprob token{static_cast<int32_t>(i), logits[i]};
    if (top.size() == wanted && !better(token, top.front())) continue;
    if (top.size() == wanted) {
      std::pop_heap(top.begin(), top.end(), better);
      top.pop_back();
    }
    top.push_back(token);
    std::push_heap(top.begin(), top.end(), better);
  }
  std::sort_heap(top.begin(), top.end(), better);
  for (TokenLogprob& token : top) token.logprob = logprob(token.logprob);
  return result;
}

}  // namespace glimmer
