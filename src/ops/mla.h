// Multi-head latent attention (MLA) over a latent KV cache, from query projection to output projection.
#pragma once

#include <span>
#include <string_view>

#include "ops/attention.h"
#include "ops/linear.h"
#include "ops/rope.h"

namespace glimmer {

// In absorbed form: the key half of a head's kv_b_proj is applied to its query, the value half to the attention
// output, and attention itself runs over the cached rows [latent | k_pe]: one key for all heads, of which the first
// kv_lora_rank columns are also the value. For token t and head h:
//   [q_nope | q_pe] = q_proj(x[t])[h], q_pe rotated
//   query           = [k_b[h] q_nope | q_pe]
//   latent_out      = sum over j of softmax_j(scale * query . row_j) latent_j      over the tokens that t sees
//   out[t]          = o_proj(v_b[0] latent_out_0, v_b[1] latent_out_1, ...)
// CHECKs sizes. A token's result does not depend on the other tokens of the call.
// Source: transformers Glm4MoeLiteAttention; DeepSeek-V2, section 2.1.
struct MlaCall {
  const LinearWeight* q_proj = nullptr;  // [heads * (qk_nope_head_dim + qk_rope_head_dim), any]: q_proj or q_b_proj
  std::span<const LinearWeight> k_b;     // one per head of ours: [kv_lora_rank, qk_nope_head_dim]
  std::span<const LinearWeight> v_b;     // one per head: [v_head_dim, kv_lora_rank]
  const LinearWeight* o_proj = nullptr;  // [hidden_size, all heads * v_head_dim]
  // Whose heads gave which columns of o_proj's input; null: all are ours.
  const RowCut* attn_cut = nullptr;
  ConstTensorView x;  // [tokens, in_features of q_proj] f32
  TensorView out;     // [tokens, hidden_size] f32; where o_proj is cut, our columns
  RopeTable rope;     // of the tokens; its rotary_dim is qk_rope_head_dim
  float scale = 0;
  const Batch* batch = nullptr;
  KvLayer kv;               // the new tokens' rows are in it already
  std::string_view q_what;  // names q_proj's output to a probe, with the layer
  int64_t layer = -1;

  int64_t tokens() const { return x.shape[0]; }
  int64_t heads() const { return static_cast<int64_t>(k_b.size()); }
  int64_t qk_nope_head_dim() const { return k_b.front().in_features(); }
  int64_t qk_rope_head_dim() const { return rope.rotary_dim; }
  int64_t qk_head_dim() const { return qk_nope_head_dim() + qk_rope_head_dim(); }
  int64_t kv_lora_rank() const { return k_b.front().out_features(); }
  int64_t row_values() const { return kv_lora_rank() + qk_rope_head_dim(); }  // of a token in the cache
  int64_t v_head_dim() const { return v_b.front().out_features(); }
};
void mla_attention(Context& ctx, const MlaCall& call);

}  // namespace glimmer
