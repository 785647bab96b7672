// Multi-head latent attention: the keys and values of all heads derive from one latent vector per token, and the cache
// holds that latent (kv_lora_rank values) and one rotated key part (qk_rope_head_dim values).
//
// Always absorbed: kv_b_proj's key half is applied to the query, its value half to the attention's output, and
// attention itself runs over latents, one key for all heads.
#pragma once

#include <vector>

#include "ops/linear.h"

namespace glimmer {

class WeightBinder;
struct LayerPass;
struct ModelConfig;

struct MlaWeights {
  LinearWeight q_proj;              // [heads * qk_head_dim, hidden_size], if q_lora_rank is 0; else the next three
  LinearWeight q_a_proj;            // [q_lora_rank, hidden_size]
  ConstTensorView q_a_layernorm;    // [q_lora_rank] f32
  LinearWeight q_b_proj;            // [heads * qk_head_dim, q_lora_rank]
  LinearWeight kv_a_proj_with_mqa;  // [kv_lora_rank + qk_rope_head_dim, hidden_size]
  ConstTensorView kv_a_layernorm;   // [kv_lora_rank] f32
  // kv_b_proj, one matrix per head of ours
  std::vector<LinearWeight> k_b;  // transposed: [kv_lora_rank, qk_nope_head_dim]
  std::vector<LinearWeight> v_b;  // [v_head_dim, kv_lora_rank]
  std::string_view kv_b_name;     // name of the tensor, if both halves are in one
  LinearWeight o_proj;            // [hidden_size, heads * v_head_dim]
};

MlaWeights bind_attention_mla(WeightBinder& binder, const ModelConfig& config);

// a.attn_out = o_proj(attention(a.normed)); stores latent and k_pe in the KV cache.
void attention_mla(LayerPass& pass, const MlaWeights& w);

}  // namespace glimmer
