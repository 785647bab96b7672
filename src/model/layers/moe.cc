#include "model/layers/moe.h"

#include "model/layers/decoder_layer.h"
#include "ops/elementwise.h"

namespace glimmer {
namespace {

MlpWeights bind_gate_up_down(WeightBinder& binder, const std::string& name, Dim width, Dim hidden,
                             WeightBinder::Bias bias = WeightBinder::Bias::kNone) {
  return {.gate_proj = binder.linear(name + ".gate_proj", width, hidden, bias),
          .up_proj = binder.linear(name + ".up_proj", width, hidden, bias),
          .down_proj = binder.linear(name + ".down_proj", hidden, width, bias)};
}

// out = down_proj(silu(gate_proj(x)) * up_proj(x))
void gated_mlp(LayerPass& pass, const MlpWeights& w, ConstTensorView x, TensorView out) {
  const int64_t width = w.gate_proj.out_features();
  const Shape shape{pass.tokens, width};
  const TensorView gate{pass.a.gate.as<float>(), DType::kF32, shape};
  const TensorView up{pass.a.up.as<float>(), DType::kF32, shape};
  linear(pass.ctx, {{.weight = &w.gate_proj, .x = x.as<float>(), .y = gate.as<float>(), .tokens = pass.tokens},
                    {.weight = &w.up_proj, .x = x.as<float>(), .y = up.as<float>(), .tokens = pass.tokens}});
  silu_mul(pass.ctx, gate, up, gate);
  linear(pass.ctx, w.down_proj, gate, out);
}

}  // namespace

MlpWeights bind_mlp(WeightBinder& binder, const ModelConfig& c) {
  const Dim hidden{c.hidden_size, "hidden_size"};
  const Dim width{c.intermediate_size, "intermediate_size"};
  const auto bias = c.mlp_bias ? WeightBinder::Bias::kRequired : WeightBinder::Bias::kNone;
  if (!binder.has("mlp.gate_up_proj.weight")) return bind_gate_up_down(binder, "mlp", width, hidden, bias);
  const LinearWeight gate_up =
      binder.linear("mlp.gate_up_proj", {2 * width.size, "2 * intermediate_size"}, hidden, bias);
  return {.gate_proj = rows_of(gate_up, 0, width.size),
          .up_proj = rows_of(gate_up, width.size, width.size),
          .down_proj = binder.linear("mlp.down_proj", hidden, width, bias)};
}

MoeWeights bind_moe(WeightBinder& binder, const ModelConfig& c) {
  const Dim hidden{c.hidden_size, "hidden_size"};
  const Dim width{c.moe_intermediate_size, "moe_intermediate_size"};
  const Dim count{c.n_routed_experts, "n_routed_experts"};
  MoeWeights w;
  const ConstTensorView gate = binder.f32("mlp.gate.weight", {count, hidden});
  w.gate.weight = float_weight_matrix(WeightCodes::kF32, gate.data, count.size, hidden.size);
  if (c.router_scoring == RouterScoring::kSigmoid) {
    w.e_score_correction_bias = binder.f32("mlp.gate.e_score_correction_bias", {count});
  }
  for (int64_t e = 0; e < c.n_routed_experts; ++e) {
    w.experts.push_back(bind_gate_up_down(binder, fmt::format("mlp.experts.{}", e), width, hidden));
  }
  if (c.n_shared_experts > 0) {
    const Dim shared{c.moe_intermediate_size * c.n_shared_experts, "moe_intermediate_size * n_shared_experts"};
    w.shared_experts = bind_gate_up_down(binder, "mlp.shared_experts", shared, hidden);
  }
  return w;
}

void mlp(LayerPass& pass, const MlpWeights& w) {
  gated_mlp(pass, w, Activations::rows(pass.a.normed, pass.tokens), Activations::rows(pass.a.mlp_out, pass.tokens));
}

void moe(LayerPass& pass, const MoeWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const TensorView x = Activations::rows(pass.a.normed, pass.tokens);
  const TensorView router_logits = Activations::rows(pass.a.router_logits, pass.tokens);
  const TensorView topk_weights = Activations::rows(pass.a.topk_weights, pass.tokens);
  const TensorView topk_experts = Activations::rows(pass.a.topk_experts, pass.tokens);
  const TensorView out = Activations::rows(pass.a.mlp_out, pass.tokens);

  linear(ctx, w.gate, x, router_logits);
  pass.record("mlp.router_logits", router_logits);
  moe_route(ctx,
            {.n_routed_experts = c.n_routed_experts,
             .num_experts_per_tok = c.num_experts_per_tok,
             .n_group = c.n_group,
             .topk_group = c.topk_group,
             .scoring = c.router_scoring,
             .norm_topk_prob = c.norm_topk_prob,
             .routed_scaling_factor = static_cast<float>(c.routed_scaling_factor)},
            router_logits, w.e_score_correction_bias, topk_weights, topk_experts);
  pass.record("mlp.topk_indices", topk_experts);
  pass.record("mlp.topk_weights", topk_weights);

  moe_experts(ctx, w.experts, x, topk_weights, topk_experts, *pass.a.moe, out);
  pass.record("mlp.experts", out);
  if (!w.shared_experts.gate_proj.empty()) {
    const TensorView shared = Activations::rows(pass.a.shared_out, pass.tokens);
    gated_mlp(pass, w.shared_experts, x, shared);
    pass.record("mlp.shared_experts", shared);
    add_residual(ctx, shared, out);
  }
}

}  // namespace glimmer
