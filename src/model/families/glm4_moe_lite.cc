// glm4_moe_lite: the experts of glm4_moe behind multi-head latent attention.
// Source: transformers 5.17, models/glm4_moe_lite.
#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"

namespace glimmer {
namespace {

void read_glm4_moe_lite(ConfigReader& reader, ModelConfig& config) {
  read_mla(reader, config);
  const bool interleaved = reader.bool_or("rope_interleave", true);
  read_whole_rope(reader, config, config.qk_rope_head_dim,
                  interleaved ? RopePairing::kInterleaved : RopePairing::kHalfSplit);
  const RopeParameters& rope = config.rope_parameters;
  if (rope.mscale_all_dim != 0) {
    const double mscale = yarn_mscale(rope.factor, rope.mscale_all_dim);
    config.attention_scale *= mscale * mscale;
  }
  read_moe(reader, config, {.routed_scaling_factor = 1.8});
  read_mlp_layer_types(reader, config, LayerTypesBy::kMlpLayerTypes);
}

}  // namespace

extern const Family kGlm4MoeLite = {
    .model_type = "glm4_moe_lite",
    .architecture = "Glm4MoeLiteForCausalLM",
    .models = "GLM-4.7-Flash",
    .read_config = read_glm4_moe_lite,
    .bind_layer = bind_pre_norm_layer,
    .forward_layer = forward_pre_norm_layer,
};

}  // namespace glimmer
