// GLM-4.7-Flash: multi-head latent attention before the experts of GLM-4.5.
// Source: config.json of the published model.
#include "model/cards/tables.h"

namespace glimmer {
namespace {

constexpr std::string_view kGlm47Flash = R"({
  "architectures": ["Glm4MoeLiteForCausalLM"],
  "attention_bias": false,
  "attention_dropout": 0.0,
  "eos_token_id": [154820, 154827, 154829],
  "first_k_dense_replace": 1,
  "hidden_act": "silu",
  "hidden_size": 2048,
  "intermediate_size": 10240,
  "kv_lora_rank": 512,
  "max_position_embeddings": 202752,
  "model_type": "glm4_moe_lite",
  "moe_intermediate_size": 1536,
  "n_group": 1,
  "n_routed_experts": 64,
  "n_shared_experts": 1,
  "norm_topk_prob": true,
  "num_attention_heads": 20,
  "num_experts_per_tok": 4,
  "num_hidden_layers": 47,
  "num_key_value_heads": 20,
  "num_nextn_predict_layers": 1,
  "pad_token_id": 154820,
  "partial_rotary_factor": 1.0,
  "q_lora_rank": 768,
  "qk_nope_head_dim": 192,
  "qk_rope_head_dim": 64,
  "rms_norm_eps": 1e-05,
  "rope_scaling": null,
  "rope_theta": 1000000,
  "routed_scaling_factor": 1.8,
  "tie_word_embeddings": false,
  "topk_group": 1,
  "topk_method": "noaux_tc",
  "torch_dtype": "bfloat16",
  "v_head_dim": 256,
  "vocab_size": 154880
})";

}  // namespace

std::span<const ModelCard> glm4_moe_lite_cards() {
  static const std::vector<ModelCard> cards = {
      {.name = "GLM-4.7-Flash",
       .repository = "zai-org/GLM-4.7-Flash",
       .aliases = {"GLM-4.7-30B-A3B", "Flash"},
       .licence = "MIT",
       .config_json = kGlm47Flash,
       .temperature = 1.0,
       .top_p = 0.95},
  };
  return cards;
}

}  // namespace glimmer
