// glm4_moe: GQA, half-split partial rotary embedding, sigmoid-routed experts behind dense first layers.
// Source: transformers 5.17, models/glm4_moe.
#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"

namespace glimmer {
namespace {

void read_glm4_moe(ConfigReader& reader, ModelConfig& config) {
  read_gqa(reader, config, {.head_dim = 0, .attention_bias = false});
  config.use_qk_norm = reader.bool_or("use_qk_norm", false);
  read_rope(reader, config, config.head_dim, {.partial_rotary_factor = 0.5, .pairing = RopePairing::kHalfSplit});
  read_moe(reader, config, {.routed_scaling_factor = 1.0});
  read_mlp_layer_types(reader, config, LayerTypesBy::kFirstKDenseReplace);
}

}  // namespace

extern const Family kGlm4Moe = {
    .model_type = "glm4_moe",
    .architecture = "Glm4MoeForCausalLM",
    .models = "GLM-4.5, GLM-4.5-Air, GLM-4.6, GLM-4.7, INTELLECT-3",
    .read_config = read_glm4_moe,
    .bind_layer = bind_pre_norm_layer,
    .forward_layer = forward_pre_norm_layer,
};

}  // namespace glimmer
