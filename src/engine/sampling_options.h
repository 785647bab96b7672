// The numbers that a request may set for sampling, one row each: flags of run and chat, fields of the APIs and their
// documentation come from here. What they do is in sampler.h.
#pragma once

#include <span>
#include <string_view>

#include "engine/sampling_defaults.h"

namespace glimmer {

struct SamplingOption {
  std::string_view name;  // of the APIs' field: "top_p". The flag is the same with hyphens: "--top-p"
  const char* metavar;    // what --help calls its value
  const char* help;
  double lowest;
  double highest;
  bool is_integer = false;
  void (*set)(SamplingRequest& request, double value);
};

std::span<const SamplingOption> sampling_options();

}  // namespace glimmer
