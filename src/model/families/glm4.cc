// glm4: glm with two more norms a layer, after attention and after the feed-forward, each before its residual.
// Source: transformers 5.17, models/glm4.
#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"
#include "ops/elementwise.h"

namespace glimmer {
namespace {

void read_glm4(ConfigReader& reader, ModelConfig& config) {
  read_gqa(reader, config, {.head_dim = 128, .attention_bias = true});
  read_rope(reader, config, config.head_dim, {.partial_rotary_factor = 0.5, .pairing = RopePairing::kInterleaved});
}

void bind_glm4_layer(WeightBinder& binder, const ModelConfig& config, LayerWeights& layer) {
  bind_pre_norm_layer(binder, config, layer);
  const Dim hidden{config.hidden_size, "hidden_size"};
  layer.post_self_attn_layernorm = binder.f32("post_self_attn_layernorm.weight", {hidden});
  layer.post_mlp_layernorm = binder.f32("post_mlp_layernorm.weight", {hidden});
}

void forward_glm4_layer(LayerPass& pass) {
  Context& ctx = pass.ctx;
  const LayerWeights& w = pass.weights;
  const double eps = pass.config.rms_norm_eps;
  const TensorView hidden = PassMemory::rows(pass.a.hidden, pass.tokens);
  const TensorView normed = PassMemory::rows(pass.a.normed, pass.tokens);
  const TensorView attn_out = PassMemory::rows(pass.a.attn_out, pass.tokens);
  const TensorView mlp_out = PassMemory::rows(pass.a.mlp_out, pass.tokens);

  rms_norm(ctx, hidden, w.input_layernorm, eps, normed);
  pass.record("input_layernorm", normed);
  self_attention(pass);
  rms_norm(ctx, attn_out, w.post_self_attn_layernorm, eps, attn_out);
  pass.record("post_self_attn_layernorm", attn_out);
  add_residual(ctx, attn_out, hidden);

  rms_norm(ctx, hidden, w.post_attention_layernorm, eps, normed);
  pass.record("post_attention_layernorm", normed);
  feed_forward(pass);
  rms_norm(ctx, mlp_out, w.post_mlp_layernorm, eps, mlp_out);
  pass.record("post_mlp_layernorm", mlp_out);
  add_residual(ctx, mlp_out, hidden);
  pass.record("", hidden);
}

}  // namespace

extern const Family kGlm4 = {
    .model_type = "glm4",
    .architecture = "Glm4ForCausalLM",
    .models = "GLM-4-9B-0414, GLM-4-32B-0414, GLM-Z1",
    .gate_and_up_in_one = true,
    .norms_after_blocks = true,
    .read_config = read_glm4,
    .bind_layer = bind_glm4_layer,
    .forward_layer = forward_glm4_layer,
};

}  // namespace glimmer
