// GLM-4.5 and its kin: GQA and sigmoid-routed experts.
// Sampling: what the makers' API takes by default (4.5 and Air 0.6 and 0.95; 4.6: docs.bigmodel.cn,
// migrate-to-glm-4.6), the model card of 4.7, generation_config.json of INTELLECT-3-FP8. Sources: config.json of the
// published models; licences as the README of zai-org/GLM-4.5 and the model pages say.
#include "model/cards/tables.h"

namespace glimmer {
namespace {

constexpr std::string_view kGlm45Air = R"({
  "architectures": ["Glm4MoeForCausalLM"],
  "attention_bias": true,
  "attention_dropout": 0.0,
  "eos_token_id": [151329, 151336, 151338],
  "first_k_dense_replace": 1,
  "head_dim": 128,
  "hidden_act": "silu",
  "hidden_size": 4096,
  "intermediate_size": 10944,
  "max_position_embeddings": 131072,
  "model_type": "glm4_moe",
  "moe_intermediate_size": 1408,
  "n_group": 1,
  "n_routed_experts": 128,
  "n_shared_experts": 1,
  "norm_topk_prob": true,
  "num_attention_heads": 96,
  "num_experts_per_tok": 8,
  "num_hidden_layers": 46,
  "num_key_value_heads": 8,
  "num_nextn_predict_layers": 1,
  "pad_token_id": 151329,
  "partial_rotary_factor": 0.5,
  "rms_norm_eps": 1e-05,
  "rope_scaling": null,
  "rope_theta": 1000000,
  "routed_scaling_factor": 1.0,
  "tie_word_embeddings": false,
  "topk_group": 1,
  "torch_dtype": "bfloat16",
  "use_qk_norm": false,
  "vocab_size": 151552
})";

constexpr std::string_view kGlm45 = R"({
  "architectures": ["Glm4MoeForCausalLM"],
  "attention_bias": true,
  "attention_dropout": 0.0,
  "eos_token_id": [151329, 151336, 151338],
  "first_k_dense_replace": 3,
  "head_dim": 128,
  "hidden_act": "silu",
  "hidden_size": 5120,
  "intermediate_size": 12288,
  "max_position_embeddings": 131072,
  "model_type": "glm4_moe",
  "moe_intermediate_size": 1536,
  "n_group": 1,
  "n_routed_experts": 160,
  "n_shared_experts": 1,
  "norm_topk_prob": true,
  "num_attention_heads": 96,
  "num_experts_per_tok": 8,
  "num_hidden_layers": 92,
  "num_key_value_heads": 8,
  "num_nextn_predict_layers": 1,
  "pad_token_id": 151329,
  "partial_rotary_factor": 0.5,
  "rms_norm_eps": 1e-05,
  "rope_scaling": null,
  "rope_theta": 1000000,
  "routed_scaling_factor": 2.5,
  "tie_word_embeddings": false,
  "topk_group": 1,
  "torch_dtype": "bfloat16",
  "use_qk_norm": true,
  "vocab_size": 151552
})";

// 4.6 and 4.7: a longer context.
constexpr std::string_view kGlm46 = R"({
  "architectures": ["Glm4MoeForCausalLM"],
  "attention_bias": true,
  "attention_dropout": 0.0,
  "eos_token_id": [151329, 151336, 151338],
  "first_k_dense_replace": 3,
  "head_dim": 128,
  "hidden_act": "silu",
  "hidden_size": 5120,
  "intermediate_size": 12288,
  "max_position_embeddings": 202752,
  "model_type": "glm4_moe",
  "moe_intermediate_size": 1536,
  "n_group": 1,
  "n_routed_experts": 160,
  "n_shared_experts": 1,
  "norm_topk_prob": true,
  "num_attention_heads": 96,
  "num_experts_per_tok": 8,
  "num_hidden_layers": 92,
  "num_key_value_heads": 8,
  "num_nextn_predict_layers": 1,
  "pad_token_id": 151329,
  "partial_rotary_factor": 0.5,
  "rms_norm_eps": 1e-05,
  "rope_scaling": null,
  "rope_theta": 1000000,
  "routed_scaling_factor": 2.5,
  "tie_word_embeddings": false,
  "topk_group": 1,
  "torch_dtype": "bfloat16",
  "use_qk_norm": true,
  "vocab_size": 151552
})";

}  // namespace

std::span<const ModelCard> glm4_moe_cards() {
  static const std::vector<ModelCard> cards = {
      {.name = "GLM-4.5",
       .repository = "zai-org/GLM-4.5",
       .aliases = {"GLM-4.5-355B-A32B"},
       .licence = "MIT",
       .config_json = kGlm45,
       .temperature = 0.6,
       .top_p = 0.95},
      {.name = "GLM-4.5-Air",
       .repository = "zai-org/GLM-4.5-Air",
       .aliases = {"GLM-4.5-Air-106B-A12B", "Air"},
       .licence = "MIT",
       .config_json = kGlm45Air,
       .temperature = 0.6,
       .top_p = 0.95},
      {.name = "GLM-4.6", .repository = "zai-org/GLM-4.6", .config_json = kGlm46, .temperature = 1.0, .top_p = 0.95},
      {.name = "GLM-4.7", .repository = "zai-org/GLM-4.7", .config_json = kGlm46, .temperature = 1.0, .top_p = 0.95},
      {.name = "INTELLECT-3",
       .repository = "PrimeIntellect/INTELLECT-3",
       .aliases = {"INTELLECT3"},
       .note = "trained from GLM-4.5-Air-Base; sizes as published, the other fields as GLM-4.5-Air has them",
       .config_json = kGlm45Air,
       .temperature = 0.6},
  };
  return cards;
}

}  // namespace glimmer
