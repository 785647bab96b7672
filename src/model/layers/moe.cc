#include "model/layers/moe.h"

#include <array>

#include "model/experts/resident.h"
#include "model/layers/decoder_layer.h"
#include "ops/elementwise.h"

namespace glimmer {
namespace {

// `cut`: of `width`.
MlpWeights bind_gate_up_down(WeightBinder& binder, const std::string& name, Dim width, Dim hidden, const RowCut* cut,
                             WeightBinder::Bias bias = WeightBinder::Bias::kNone) {
  return {.gate_proj = binder.linear(name + ".gate_proj", width, hidden, bias, cut),
          .up_proj = binder.linear(name + ".up_proj", width, hidden, bias, cut),
          .down_proj = binder.linear(name + ".down_proj", hidden, width, bias, binder.cuts().hidden.get())};
}

// out = mlp(x), our columns of it.
void run_mlp(LayerPass& pass, const MlpWeights& w, ConstTensorView x, TensorView out) {
  const MlpCall call{.weights = &w,
                     .count = pass.tokens,
                     .out = out.as<float>() + w.down_proj.first_row(),
                     .out_stride = w.down_proj.whole_rows()};
  mlps(pass.ctx, {&call, 1}, x);
}

}  // namespace

MlpWeights bind_mlp(WeightBinder& binder, const ModelConfig& c) {
  const Dim hidden{c.hidden_size, "hidden_size"};
  const Dim width{c.intermediate_size, "intermediate_size"};
  const auto bias = c.mlp_bias ? WeightBinder::Bias::kRequired : WeightBinder::Bias::kNone;
  const RowCut* cut = binder.cuts().intermediate.get();
  if (!binder.has("mlp.gate_up_proj.weight")) return bind_gate_up_down(binder, "mlp", width, hidden, cut, bias);
  const WeightBinder::Part half{.rows = width.size, .cut = cut};
  const std::array halves = {half, half};
  const std::vector<LinearWeight> gate_up =
      binder.linear_parts("mlp.gate_up_proj", {2 * width.size, "2 * intermediate_size"}, hidden, halves, bias);
  return {.gate_proj = gate_up[0],
          .up_proj = gate_up[1],
          .down_proj = binder.linear("mlp.down_proj", hidden, width, bias, binder.cuts().hidden.get())};
}

MoeWeights bind_moe(WeightBinder& binder, const ModelConfig& c) {
  const Dim hidden{c.hidden_size, "hidden_size"};
  const Dim width{c.moe_intermediate_size, "moe_intermediate_size"};
  const Dim count{c.n_routed_experts, "n_routed_experts"};
  MoeWeights w;
  w.gate = binder.linear_f32("mlp.gate", count, hidden);
  if (c.router_scoring == RouterScoring::kSigmoid) {
    w.e_score_correction_bias = binder.f32("mlp.gate.e_score_correction_bias", {count});
  }
  std::vector<MlpWeights> experts;
  for (int64_t e = 0; e < c.n_routed_experts; ++e) {
    experts.push_back(
        bind_gate_up_down(binder, fmt::format("mlp.experts.{}", e), width, hidden, binder.cuts().expert(e)));
  }
  w.experts = std::make_shared<ResidentExperts>(std::move(experts));
  if (c.n_shared_experts > 0) {
    const Dim shared{c.moe_intermediate_size * c.n_shared_experts, "moe_intermediate_size * n_shared_experts"};
    w.shared_experts =
        bind_gate_up_down(binder, "mlp.shared_experts", shared, hidden, binder.cuts().shared_intermediate.get());
  }
  return w;
}

void mlp(LayerPass& pass, const MlpWeights& w) {
  run_mlp(pass, w, PassMemory::rows(pass.a.normed, pass.tokens), PassMemory::rows(pass.a.mlp_out, pass.tokens));
}

void moe(LayerPass& pass, const MoeWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const TensorView x = PassMemory::rows(pass.a.normed, pass.tokens);
  const TensorView router_logits = PassMemory::rows(pass.a.router_logits, pass.tokens);
  const TensorView topk_weights = PassMemory::rows(pass.a.topk_weights, pass.tokens);
  const TensorView topk_experts = PassMemory::rows(pass.a.topk_experts, pass.tokens);
  const TensorView out = PassMemory::rows(pass.a.mlp_out, pass.tokens);

  linear(ctx, w.gate, x, router_logits);
  pass.record("mlp.router_logits", router_logits);
  moe_route(ctx, {.rule = {.n_routed_experts = c.n_routed_experts,
                           .num_experts_per_tok = c.num_experts_per_tok,
                           .n_group = c.n_group,
                           .topk_group = c.topk_group,
                           .scoring = c.router_scoring,
                           .norm_topk_prob = c.norm_topk_prob,
                           .routed_scaling_factor = static_cast<float>(c.routed_scaling_factor)},
                  .logits = router_logits,
                  .bias = w.e_score_correction_bias,
                  .weights = topk_weights,
                  .experts = topk_experts});
  pass.record("mlp.topk_indices", topk_experts);
  pass.record("mlp.topk_weights", topk_weights);

  const bool has_shared = c.n_shared_experts > 0;
  ExpertCall call{.x = x, .weights = topk_weights, .chosen = topk_experts, .out = out};
  // Apart only where each result is wanted.
  if (!pass.wants("mlp.experts") && !pass.wants("mlp.shared_experts")) {
    call.shared_experts = has_shared ? &w.shared_experts : nullptr;
    w.experts->run(ctx, call);
    return;
  }
  w.experts->run(ctx, call);
  pass.gather(pass.placement.cuts.hidden, out, "mlp.experts");
  pass.record("mlp.experts", out);
  if (has_shared) {
    const TensorView shared = PassMemory::rows(pass.a.shared_out, pass.tokens);
    run_mlp(pass, w.shared_experts, x, shared);
    pass.gather(pass.placement.cuts.hidden, shared, "mlp.shared_experts");
    pass.record("mlp.shared_experts", shared);
    add_residual(ctx, shared, out);
  }
}

}  // namespace glimmer
