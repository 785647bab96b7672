// Mixture of experts: routing, and the experts' feed-forward networks over the tokens that chose them.
#pragma once

#include <span>
#include <vector>

#include "ops/linear.h"

namespace glimmer {

// How logits become scores: each expert by itself, or all together.
enum class RouterScoring { kSigmoid, kSoftmax };

struct RouterRule {
  int64_t n_routed_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  RouterScoring scoring = RouterScoring::kSigmoid;
  bool norm_topk_prob = true;
  float routed_scaling_factor = 1;
};

// Chooses num_experts_per_tok experts for each token. Scores are sigmoid(logits), or softmax over all experts; the bias
// counts for the choice only. With groups, the topk_group groups with the largest sum of their two best choices stay
// in.
//   router_logits            [tokens, n_routed_experts] f32
//   e_score_correction_bias  [n_routed_experts] f32, or an empty view: none
//   weights  [tokens, num_experts_per_tok] f32, out; divided by their sum + 1e-20 if norm_topk_prob, then scaled
//   experts  [tokens, num_experts_per_tok] i32, out; by descending choice score, ties to the lower index
// Source: transformers 5.17, Glm4MoeTopkRouter and Qwen3MoeTopKRouter. CHECKs shapes.
void moe_route(Context& ctx, const RouterRule& rule, ConstTensorView router_logits,
               ConstTensorView e_score_correction_bias, TensorView weights, TensorView experts);

struct MlpWeights {
  LinearWeight gate_proj;  // [intermediate, hidden_size]
  LinearWeight up_proj;    // [intermediate, hidden_size]
  LinearWeight down_proj;  // [hidden_size, intermediate]
};

// Memory of moe_experts, reused from call to call.
struct MoeScratch {
  Tensor gathered;  // [tokens * num_experts_per_tok, hidden_size]: tokens in the order of their experts
  Tensor gate;      // [tokens * num_experts_per_tok, moe_intermediate_size]
  Tensor up;
  Tensor down;                     // [tokens * num_experts_per_tok, hidden_size]
  std::vector<int32_t> slot_row;   // [tokens * num_experts_per_tok]: row of `gathered` that holds (token, k)
  std::vector<int64_t> first_row;  // [n_routed_experts + 1]: rows of each expert
  std::vector<LinearCall> calls;

  MoeScratch(int64_t tokens, int64_t num_experts_per_tok, int64_t hidden_size, int64_t moe_intermediate_size,
             int64_t n_routed_experts);
};

// out[t] = sum over k of weights[t][k] * down(silu(gate(x[t])) * up(x[t])) with the matrices of experts[t][k].
//   x, out [tokens, hidden_size] f32; weights, experts as moe_route gives them. An expert may have no tokens.
void moe_experts(Context& ctx, std::span<const MlpWeights> expert_weights, ConstTensorView x, ConstTensorView weights,
                 ConstTensorView experts, MoeScratch& scratch, TensorView out);

}  // namespace glimmer
