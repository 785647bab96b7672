// The rotary embedding's parameters in GGUF's metadata and in config.json.
#pragma once

#include "source/gguf_config.h"

namespace glimmer {

// rope_parameters for config.json. `rotated` of `head_dim` values are rotated.
Json rope_parameters_of(const GgufMetadata& metadata, const GgufArchitecture& architecture,
                        const GgufTensorFacts& facts, int64_t head_dim, int64_t rotated);

// What config.json says of it, in either style.
struct RopeFields {
  double rope_theta = 10000;
  double partial_rotary_factor = 1;
  std::string rope_type = "default";
  Json dict = Json::object();  // rope_scaling or rope_parameters, with original_max_position_embeddings wherever it was
};
// `partial_rotary_factor`: the family's, where the file has none.
RopeFields rope_fields_of(const Json& config, double partial_rotary_factor, std::string_view source);

// Appends <architecture>.rope.freq_base and .scaling.*.
void add_rope_metadata(const RopeFields& rope, const GgufArchitecture& architecture, std::string_view source,
                       std::vector<GgufKeyValue>& metadata);

// What divides each of head_dim / 2 frequencies.
struct Llama3Rope {
  double factor = 8;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_max_position_embeddings = 8192;
};
std::vector<float> llama3_divisors(const Llama3Rope& rope, double rope_theta, int64_t head_dim);
Llama3Rope llama3_rope_of(const RopeFields& rope, std::string_view source);

}  // namespace glimmer
