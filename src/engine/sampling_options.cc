#include "engine/sampling_options.h"

#include <array>

namespace glimmer {
namespace {

template <auto Member>
void assign(SamplingRequest& request, double value) {
  using Field = std::remove_reference_t<decltype(request.*Member)>;
  if constexpr (std::is_same_v<Field, std::optional<int64_t>>) {
    request.*Member = static_cast<int64_t>(value);
  } else {
    request.*Member = value;
  }
}

constexpr double kMostTokens = 2147483647;

constexpr std::array<SamplingOption, 7> kOptions = {{
    {"temperature", "T", "Flatten (> 1) or sharpen (< 1) the distribution; 0 is greedy", 0, 100, false,
     assign<&SamplingRequest::temperature>},
    {"top_k", "K", "Keep the K most probable tokens (0 or -1: all)", -1, kMostTokens, true,
     assign<&SamplingRequest::top_k>},
    {"top_p", "P", "Keep the smallest set of tokens whose probabilities sum to P", 0, 1, false,
     assign<&SamplingRequest::top_p>},
    {"min_p", "P", "Keep tokens with at least P times the highest probability", 0, 1, false,
     assign<&SamplingRequest::min_p>},
    {"repetition_penalty", "R", "Penalise tokens that occur in prompt or answer, by a factor (1: off)", 0.01, 100,
     false, assign<&SamplingRequest::repetition_penalty>},
    {"presence_penalty", "X", "Subtract X from the logits of tokens already in the answer (0: off)", -2, 2, false,
     assign<&SamplingRequest::presence_penalty>},
    {"frequency_penalty", "X", "Subtract X for each occurrence in the answer (0: off)", -2, 2, false,
     assign<&SamplingRequest::frequency_penalty>},
}};

}  // namespace

std::span<const SamplingOption> sampling_options() { return kOptions; }

}  // namespace glimmer
