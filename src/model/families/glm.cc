// glm: dense, GQA, interleaved partial rotary embedding, gate and up in one matrix.
// Source: transformers 5.17, models/glm.
#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"

namespace glimmer {
namespace {

void read_glm(ConfigReader& reader, ModelConfig& config) {
  read_gqa(reader, config, {.head_dim = 128, .attention_bias = true});
  read_rope(reader, config, config.head_dim, {.partial_rotary_factor = 0.5, .pairing = RopePairing::kInterleaved});
}

}  // namespace

extern const Family kGlm = {
    .model_type = "glm",
    .architecture = "GlmForCausalLM",
    .models = "GLM-4-9B-Chat (-hf)",
    .gate_and_up_in_one = true,
    .read_config = read_glm,
    .bind_layer = bind_pre_norm_layer,
    .forward_layer = forward_pre_norm_layer,
};

}  // namespace glimmer
