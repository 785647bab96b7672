#include "model/layers/decoder_layer.h"

#include "ops/elementwise.h"
#include "ops/gather.h"

namespace glimmer {

void LayerPass::gather(const std::shared_ptr<const RowCut>& cut, TensorView rows, std::string_view what) const {
  gather_columns(ctx, {.cut = cut.get(), .x = rows, .exchange = {what, layer}});
}

void LayerPass::record_rows(std::string_view what, const float* data, int64_t columns, int64_t stride) const {
  if (!wants(what)) return;
  Memory& memory = ctx.device().memory();
  Tensor dense(memory, DType::kF32, {tokens, columns});
  for (int64_t t = 0; t < tokens; ++t) {
    memory.copy(reinterpret_cast<std::byte*>(dense.as<float>() + t * columns),
                reinterpret_cast<const std::byte*>(data + t * stride), static_cast<size_t>(columns) * sizeof(float));
  }
  record(what, dense.view());
}

void bind_pre_norm_layer(WeightBinder& binder, const ModelConfig& config, LayerWeights& layer) {
  const Dim hidden{config.hidden_size, "hidden_size"};
  layer.input_layernorm = binder.f32("input_layernorm.weight", {hidden});
  layer.post_attention_layernorm = binder.f32("post_attention_layernorm.weight", {hidden});
  if (config.attention == AttentionKind::kMla) {
    layer.self_attn = bind_attention_mla(binder, config);
  } else {
    layer.self_attn = bind_attention_gqa(binder, config);
  }
  if (config.is_sparse(binder.layer())) {
    layer.mlp = bind_moe(binder, config);
  } else {
    layer.mlp = bind_mlp(binder, config);
  }
}

void self_attention(LayerPass& pass) {
  if (const auto* mla = std::get_if<MlaWeights>(&pass.weights.self_attn)) {
    attention_mla(pass, *mla);
  } else {
    attention_gqa(pass, std::get<GqaWeights>(pass.weights.self_attn));
  }
  const TensorView out = PassMemory::rows(pass.a.attn_out, pass.tokens);
  pass.gather(pass.placement.cuts.hidden, out, "self_attn");
  pass.record("self_attn", out);
}

void feed_forward(LayerPass& pass) {
  if (const auto* sparse = std::get_if<MoeWeights>(&pass.weights.mlp)) {
    moe(pass, *sparse);
  } else {
    mlp(pass, std::get<MlpWeights>(pass.weights.mlp));
  }
  const TensorView out = PassMemory::rows(pass.a.mlp_out, pass.tokens);
  pass.gather(pass.placement.cuts.hidden, out, "mlp");
  pass.record("mlp", out);
}

void forward_pre_norm_layer(LayerPass& pass) {
  Context& ctx = pass.ctx;
  const LayerWeights& w = pass.weights;
  const double eps = pass.config.rms_norm_eps;
  const TensorView hidden = PassMemory::rows(pass.a.hidden, pass.tokens);
  const TensorView normed = PassMemory::rows(pass.a.normed, pass.tokens);

  rms_norm(ctx, hidden, w.input_layernorm, eps, normed);
  pass.record("input_layernorm", normed);
  self_attention(pass);
  add_residual(ctx, PassMemory::rows(pass.a.attn_out, pass.tokens), hidden);

  rms_norm(ctx, hidden, w.post_attention_layernorm, eps, normed);
  pass.record("post_attention_layernorm", normed);
  feed_forward(pass);
  add_residual(ctx, PassMemory::rows(pass.a.mlp_out, pass.tokens), hidden);
  pass.record("", hidden);
}

}  // namespace glimmer
