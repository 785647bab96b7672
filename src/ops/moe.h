// Mixture of experts: routing, and the experts' feed-forward networks over the tokens that chose them.
#pragma once

#include <span>

#include "ops/mlp.h"

namespace glimmer {

// How router logits become scores: per expert, or normalised over all experts.
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
// affects the choice only. With groups, only the topk_group groups with the largest sum of their two best choice
// scores stay in the running.
//   logits   [tokens, n_routed_experts] f32
//   bias     e_score_correction_bias [n_routed_experts] f32, or an empty view: none
//   weights  [tokens, num_experts_per_tok] f32, out; divided by their sum + 1e-20 if norm_topk_prob, then scaled
//   experts  [tokens, num_experts_per_tok] i32, out; by descending choice score, ties to the lower index
// Source: transformers 5.17, Glm4MoeTopkRouter and Qwen3MoeTopKRouter. CHECKs shapes.
struct RouteCall {
  RouterRule rule;
  ConstTensorView logits;
  ConstTensorView bias;
  TensorView weights;
  TensorView experts;
};
void moe_route(Context& ctx, const RouteCall& call);

// Routed experts, of which each token chose some, and a shared expert for all tokens.
//   out[t] = sum over k of weights[t][k] * experts[chosen[t][k]](x[t])  +  shared_experts(x[t])
// Where down_proj is cut, only our columns of `out` are written. Sums in f32 in the order of k, the shared expert last.
// An expert may have no tokens. CHECKs shapes.
struct MoeCall {
  std::span<const MlpWeights> experts;
  const MlpWeights* shared_experts = nullptr;  // null: none
  ConstTensorView x;                           // [tokens, hidden_size] f32
  ConstTensorView weights;                     // [tokens, num_experts_per_tok] f32, as moe_route gives them
  ConstTensorView chosen;                      // [tokens, num_experts_per_tok] i32
  TensorView out;                              // [tokens, hidden_size] f32
};
void moe_experts(Context& ctx, const MoeCall& call);

}  // namespace glimmer
