#include "model/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace glimmer {
namespace {

// YaRN: dimensions that rotate often within the original context keep their frequency, those that rotate less than once
// are divided by `factor`, with a ramp in between. Source: transformers modeling_rope_utils.py.
void stretch_yarn(const RopeParameters& rope, std::vector<float>& inv_freq) {
  const auto dim = static_cast<double>(rope.rotary_dim);
  const auto dimension_of = [&](double rotations) {
    const auto context = static_cast<double>(rope.original_max_position_embeddings);
    return dim * std::log(context / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.rope_theta));
  };
  double low = dimension_of(rope.beta_fast);
  double high = dimension_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const auto ramp = static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
    const float slowed = inv_freq[i] / static_cast<float>(rope.factor);
    inv_freq[i] = slowed * ramp + inv_freq[i] * (1.0F - ramp);
  }
}

// Llama 3.1: wavelengths below original context / high_freq_factor keep their frequency, those above original context /
// low_freq_factor are divided by `factor`, with a smooth transition in between. Source: the same.
void stretch_llama3(const RopeParameters& rope, std::vector<float>& inv_freq) {
  const auto context = static_cast<double>(rope.original_max_position_embeddings);
  const auto longest = static_cast<float>(context / rope.low_freq_factor);
  const auto shortest = static_cast<float>(context / rope.high_freq_factor);
  const auto factor = static_cast<float>(rope.factor);
  for (float& frequency : inv_freq) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength > longest) {
      frequency /= factor;
    } else if (!(wavelength < shortest)) {
      const float kept = (static_cast<float>(context) / wavelength - static_cast<float>(rope.low_freq_factor)) /
                         static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
      frequency = (1.0F - kept) * frequency / factor + kept * frequency;
    }
  }
}

}  // namespace

std::vector<float> rope_frequencies(const RopeParameters& rope) {
  std::vector<float> inv_freq;
  for (int64_t i = 0; i < rope.rotary_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(rope.rotary_dim);
    inv_freq.push_back(1.0F / std::pow(static_cast<float>(rope.rope_theta), exponent));
  }
  if (rope.rope_type == "linear") {
    for (float& frequency : inv_freq) frequency /= static_cast<float>(rope.factor);
  } else if (rope.rope_type == "yarn") {
    stretch_yarn(rope, inv_freq);
  } else if (rope.rope_type == "llama3") {
    stretch_llama3(rope, inv_freq);
  }
  return inv_freq;
}

}  // namespace glimmer
