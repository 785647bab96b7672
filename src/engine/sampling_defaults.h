// Sampling parameters where a request gives none: as the model's makers recommend. One rule for run, chat and serve.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/sampler.h"
#include "model/config.h"
#include "model/generation_config.h"

namespace glimmer {

// What a request sets; absent fields take the defaults.
struct SamplingRequest {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<int64_t> top_k;
  std::optional<double> repetition_penalty;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::map<int32_t, double> logit_bias;
  std::optional<uint64_t> seed;
};

struct SamplingDefaults {
  bool samples = false;  // else greedy, unless the request sets a temperature or a cut
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  std::string source;  // "generation_config.json", "the card of GLM-4.5-Air"; empty: nothing says how

  // "temperature 0.6, top_p 0.95 (the card of GLM-4.5-Air)", "greedy (generation_config.json)"
  std::string describe() const;
};

// From the first of these that says anything:
//   - generation_config.json: do_sample, or else a temperature or a cut, which are there to be sampled with. do_sample
//     false is greedy.
//   - the card of the released model that has this shape and, if several have it, is named in `name` (of the model's
//     folder or file, or its path).
// Else greedy. A repetition_penalty of generation_config.json counts in any case.
SamplingDefaults sampling_defaults(const GenerationConfig& generation, const ModelConfig& config,
                                   std::string_view name);

// Samples if the defaults do, or if a temperature or a cut (top_p, top_k, min_p) is asked for. `seed` if none is asked
// for.
SamplingParams resolve_sampling(const SamplingRequest& request, const SamplingDefaults& defaults, uint64_t seed);

}  // namespace glimmer
