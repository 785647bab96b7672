// The dense models: GLM-4-0414 and GLM-Z1 (family glm4), and glm-4-9b-chat (family glm).
// Sources: config.json and GGUF metadata of the published models. glm-4-9b-chat is published in ChatGLM's own fields;
// here it is as source/chatglm.h presents it (rope_theta = 10000 * rope_ratio 500).
#include "model/cards/tables.h"

namespace glimmer {
namespace {

constexpr std::string_view kGlm9b0414 = R"({
  "architectures": ["Glm4ForCausalLM"],
  "attention_bias": true,
  "attention_dropout": 0.0,
  "eos_token_id": [151329, 151336, 151338],
  "head_dim": 128,
  "hidden_act": "silu",
  "hidden_size": 4096,
  "intermediate_size": 13696,
  "max_position_embeddings": 32768,
  "model_type": "glm4",
  "num_attention_heads": 32,
  "num_hidden_layers": 40,
  "num_key_value_heads": 2,
  "pad_token_id": 151329,
  "partial_rotary_factor": 0.5,
  "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0,
  "tie_word_embeddings": false,
  "torch_dtype": "bfloat16",
  "vocab_size": 151552
})";

constexpr std::string_view kGlm32b0414 = R"({
  "architectures": ["Glm4ForCausalLM"],
  "attention_bias": false,
  "attention_dropout": 0.0,
  "eos_token_id": [151329, 151336, 151338],
  "head_dim": 128,
  "hidden_act": "silu",
  "hidden_size": 6144,
  "intermediate_size": 23040,
  "max_position_embeddings": 32768,
  "model_type": "glm4",
  "num_attention_heads": 48,
  "num_hidden_layers": 61,
  "num_key_value_heads": 2,
  "pad_token_id": 151329,
  "partial_rotary_factor": 0.5,
  "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0,
  "tie_word_embeddings": false,
  "torch_dtype": "bfloat16",
  "vocab_size": 151552
})";

constexpr std::string_view kGlm9bChat = R"({
  "architectures": ["GlmForCausalLM"],
  "attention_bias": true,
  "eos_token_id": [151329, 151336, 151338],
  "head_dim": 128,
  "hidden_act": "silu",
  "hidden_size": 4096,
  "intermediate_size": 13696,
  "max_position_embeddings": 131072,
  "model_type": "glm",
  "num_attention_heads": 32,
  "num_hidden_layers": 40,
  "num_key_value_heads": 2,
  "pad_token_id": 151329,
  "partial_rotary_factor": 0.5,
  "rms_norm_eps": 1.5625e-07,
  "rope_scaling": null,
  "rope_theta": 5000000.0,
  "tie_word_embeddings": false,
  "torch_dtype": "bfloat16",
  "vocab_size": 151552
})";

}  // namespace

std::span<const ModelCard> dense_glm_cards() {
  static const std::vector<ModelCard> cards = {
      {.name = "GLM-4-9B-0414", .repository = "zai-org/GLM-4-9B-0414", .config_json = kGlm9b0414},
      {.name = "GLM-Z1-9B-0414",
       .repository = "zai-org/GLM-Z1-9B-0414",
       .aliases = {"Z1-9B-0414"},
       .config_json = kGlm9b0414,
       .temperature = 0.6,
       .top_p = 0.95,
       .top_k = 40},
      {.name = "GLM-4-32B-0414", .repository = "zai-org/GLM-4-32B-0414", .config_json = kGlm32b0414},
      {.name = "GLM-Z1-32B-0414",
       .repository = "zai-org/GLM-Z1-32B-0414",
       .aliases = {"Z1-32B-0414"},
       .config_json = kGlm32b0414,
       .temperature = 0.6,
       .top_p = 0.95,
       .top_k = 40},
      {.name = "glm-4-9b-chat",
       .repository = "zai-org/glm-4-9b-chat",
       .aliases = {"GLM-4-9B"},
       .note = "published in ChatGLM's own layout; config.json as the family glm has it",
       .config_json = kGlm9bChat,
       .temperature = 0.8,
       .top_p = 0.8},
  };
  return cards;
}

}  // namespace glimmer
