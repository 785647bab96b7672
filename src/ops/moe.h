// Mixture of experts: routing, and the experts' feed-forward networks over the tokens that chose them.
#pragma once

#include <span>
#include <vector>

#include "ops/mlp.h"

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

// Memory of moe_experts, reused from call to call.
struct MoeScratch {
  MlpScratch mlps;
  Buffer down;                     // what each network says of its tokens, expert by expert, then the shared one
  std::vector<int32_t> slot_row;   // [tokens * num_experts_per_tok]: row of `down` that holds (token, k)
  std::vector<int32_t> row_token;  // the token of each such row
  std::vector<int64_t> first_row;  // [n_routed_experts + 1]: rows of each expert
  std::vector<MlpCall> calls;
  std::vector<const float*> summed_rows;  // [threads, num_experts_per_tok + 1]
  std::vector<float> summed_weights;
};

// Experts, of which each token has some, and one that all have.
//   out[t] = sum over k of weights[t][k] * experts[chosen[t][k]](x[t])  +  shared_experts(x[t])
// The sum is taken in the order of k, in f32, and the shared one comes last. An expert may have no tokens.
struct MoeCall {
  std::span<const MlpWeights> experts;
  const MlpWeights* shared_experts = nullptr;  // null: none
  ConstTensorView x;                           // [tokens, hidden_size] f32
  ConstTensorView weights;                     // [tokens, num_experts_per_tok] f32, as moe_route gives them
  ConstTensorView chosen;                      // [tokens, num_experts_per_tok] i32
  TensorView out;                              // [tokens, hidden_size] f32
};
void moe_experts(Context& ctx, const MoeCall& call, MoeScratch& scratch);

}  // namespace glimmer
