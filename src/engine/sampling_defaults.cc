#include "engine/sampling_defaults.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/cards/cards.h"

namespace glimmer {

std::string SamplingDefaults::describe() const {
  std::string text = "greedy";
  if (samples) {
    text = fmt::format("temperature {}", temperature);
    if (top_k > 0) text += fmt::format(", top_k {}", top_k);
    if (top_p < 1) text += fmt::format(", top_p {}", top_p);
    if (min_p > 0) text += fmt::format(", min_p {}", min_p);
  }
  return fmt::format("{} ({})", text,
                     source.empty() ? "neither generation_config.json nor a model card says how" : source);
}

SamplingDefaults sampling_defaults(const GenerationConfig& generation, const ModelConfig& config,
                                   std::string_view name) {
  SamplingDefaults out;
  out.repetition_penalty = generation.repetition_penalty.value_or(1);
  const bool has_values = generation.temperature || generation.top_k || generation.top_p || generation.min_p;
  if (generation.do_sample || has_values) {
    out.samples = generation.do_sample.value_or(true);
    out.temperature = generation.temperature.value_or(1);
    out.top_k = generation.top_k.value_or(0);
    out.top_p = generation.top_p.value_or(1);
    out.min_p = generation.min_p.value_or(0);
    out.source = "generation_config.json";
  } else if (const ModelCard* card = find_card(config, name); card != nullptr && card->temperature) {
    out.samples = true;
    out.temperature = *card->temperature;
    out.top_k = card->top_k.value_or(0);
    out.top_p = card->top_p.value_or(1);
    out.source = fmt::format("the card of {}", card->name);
  }
  return out;
}

SamplingParams resolve_sampling(const SamplingRequest& request, const SamplingDefaults& defaults, uint64_t seed) {
  const bool asked = request.temperature || request.top_k || request.top_p || request.min_p;
  SamplingParams params;
  params.temperature = asked || defaults.samples ? request.temperature.value_or(defaults.temperature) : 0;
  params.top_k = request.top_k.value_or(defaults.top_k);
  params.top_p = request.top_p.value_or(defaults.top_p);
  params.min_p = request.min_p.value_or(defaults.min_p);
  params.repetition_penalty = request.repetition_penalty.value_or(defaults.repetition_penalty);
  params.presence_penalty = request.presence_penalty;
  params.frequency_penalty = request.frequency_penalty;
  params.logit_bias = request.logit_bias;
  params.seed = request.seed.value_or(seed);
  return params;
}

}  // namespace glimmer
