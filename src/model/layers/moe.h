// Feed-forward blocks: the dense MLP, and the mixture of experts with its shared expert.
#pragma once

#include <memory>

#include "model/experts/bank.h"

namespace glimmer {

class WeightBinder;
struct LayerPass;
struct ModelConfig;

struct MoeWeights {
  LinearWeight gate;                        // the router [n_routed_experts, hidden_size] f32
  ConstTensorView e_score_correction_bias;  // [n_routed_experts] f32; empty with softmax scoring
  std::shared_ptr<const ExpertBank> experts;
  MlpWeights shared_experts;  // intermediate: moe_intermediate_size * n_shared_experts; empty if 0
};

// mlp.gate_proj, up_proj, down_proj, with biases if mlp_bias; or mlp.gate_up_proj with the gate's rows first.
MlpWeights bind_mlp(WeightBinder& binder, const ModelConfig& config);

// mlp.gate, mlp.experts (one by one, or fused in 3-D tensors), mlp.shared_experts.
MoeWeights bind_moe(WeightBinder& binder, const ModelConfig& config);

// a.mlp_out = mlp(a.normed)
void mlp(LayerPass& pass, const MlpWeights& w);
void moe(LayerPass& pass, const MoeWeights& w);

}  // namespace glimmer
