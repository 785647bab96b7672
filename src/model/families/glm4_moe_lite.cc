// glm4_moe_lite: the experts of glm4_moe behind multi-head latent attention.
// Source: transformers 5.17, models/glm4_moe_lite.
#include <cmath>

#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"

namespace glimmer {
namespace {

// With a rope type other than default, transformers also scales the scores by the square of YaRN's mscale.
void scale_attention(ConfigReader& reader, ModelConfig& config) {
  const Json* dict = reader.find("rope_scaling");
  if (dict == nullptr || dict->empty()) dict = reader.find("rope_parameters");
  if (dict == nullptr || config.rope_parameters.rope_type == "default") return;
  const ConfigReader rope(*dict, reader.source(), "rope_parameters.");
  if (!rope.has("mscale_all_dim")) return;
  const double mscale_all_dim = rope.require_number("mscale_all_dim");
  const double factor = config.rope_parameters.factor;
  if (mscale_all_dim == 0 || factor <= 1) return;
  const double mscale = 0.1 * mscale_all_dim * std::log(factor) + 1.0;
  config.attention_scale *= mscale * mscale;
}

void read_glm4_moe_lite(ConfigReader& reader, ModelConfig& config) {
  read_mla(reader, config);
  const bool interleaved = reader.bool_or("rope_interleave", true);
  read_rope(
      reader, config, config.qk_rope_head_dim,
      {.partial_rotary_factor = 1.0, .pairing = interleaved ? RopePairing::kInterleaved : RopePairing::kHalfSplit});
  if (config.rope_parameters.rotary_dim != config.qk_rope_head_dim) {
    reader.fail_rule(fmt::format("partial_rotary_factor {}: expected 1: MLA rotates all of qk_rope_head_dim",
                                 config.rope_parameters.partial_rotary_factor));
  }
  scale_attention(reader, config);
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
