// The parts of config.json that several families share. Each fills its fields of ModelConfig.
// Source of rules and defaults: transformers 5.17, configuration_glm4_moe.py and its kin, modeling_rope_utils.py.
#pragma once

#include "base/config_reader.h"
#include "model/config.h"

namespace glimmer {

// YaRN's correction of attention scores for a context longer by `factor`.
double yarn_mscale(double factor, double mscale);

// Sizes, norm, activation, vocabulary, ids.
void read_common(ConfigReader& reader, ModelConfig& config);

struct RopeDefaults {
  double partial_rotary_factor = 1;
  RopePairing pairing = RopePairing::kHalfSplit;
};
// rope_scaling (if given, it replaces the other), else rope_parameters; rope_theta and partial_rotary_factor also at
// top level, as transformers 4 wrote them. `head_dim` is the size that partial_rotary_factor is a part of.
void read_rope(ConfigReader& reader, ModelConfig& config, int64_t head_dim, const RopeDefaults& defaults);

// The same for families that rotate whole heads: a partial_rotary_factor other than 1 is an error.
void read_whole_rope(ConfigReader& reader, ModelConfig& config, int64_t head_dim, RopePairing pairing);

struct GqaDefaults {
  int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  bool attention_bias = false;
  bool bias_of_output_too = false;         // attention_bias gives o_proj one as well
  bool one_key_value_head_a_head = false;  // num_key_value_heads may be absent, and is num_attention_heads then
};
void read_gqa(ConfigReader& reader, ModelConfig& config, const GqaDefaults& defaults);
void read_mla(ConfigReader& reader, ModelConfig& config);

// Throws if the fields of sliding-window attention, which is not supported, switch it on.
void expect_full_attention(ConfigReader& reader);

// n_routed_experts (from `count_field`), num_experts_per_tok, moe_intermediate_size.
void read_expert_sizes(ConfigReader& reader, ModelConfig& config, std::string_view count_field);

// GLM's experts: sigmoid scores, groups, shared experts.
struct MoeDefaults {
  double routed_scaling_factor = 1;
};
void read_moe(ConfigReader& reader, ModelConfig& config, const MoeDefaults& defaults);

// Which layers are sparse. Two spellings: mlp_layer_types, a list, and first_k_dense_replace, a count. Where a file has
// both, transformers goes by the one that its family's class declares.
enum class LayerTypesBy { kMlpLayerTypes, kFirstKDenseReplace };
void read_mlp_layer_types(ConfigReader& reader, ModelConfig& config, LayerTypesBy preferred);

}  // namespace glimmer
