// Inverse frequencies of the rotary embedding, for every rope_type that config.json may name.
#pragma once

#include <vector>

#include "model/config.h"

namespace glimmer {

// Radians per position for each pair, [rotary_dim / 2]: float32 throughout, as transformers computes them.
// Source: transformers 5.17, modeling_rope_utils.py.
std::vector<float> rope_frequencies(const RopeParameters& rope);

}  // namespace glimmer
