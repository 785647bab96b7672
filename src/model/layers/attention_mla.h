// Multi-head latent attention: keys and values of all heads are made from one latent vector a token, and the cache
// holds that latent (kv_lora_rank values) and one rotated key part (qk_rope_head_dim values).
//
// Two forms, equal but for rounding. Expanded: kv_b_proj makes every head's k and v from the cached latents; cheap for
// many new tokens. Absorbed: kv_b_proj's key half is applied to the query, its value half to the attention's output,
// and attention itself runs over latents, one key for all heads; cheap for few.
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
  // kv_b_proj, a head each. Keys lie as the checkpoint has them, in the rows of kv_b_proj [qk_nope_head_dim,
  // kv_lora_rank] or transposed [kv_lora_rank, qk_nope_head_dim] (GGUF, MLX); either way from one copy.
  std::vector<LinearWeight> k_b;
  std::vector<LinearWeight> v_b;  // [v_head_dim, kv_lora_rank]
  bool k_b_is_transposed = false;
  LinearWeight o_proj;  // [hidden_size, heads * v_head_dim]
};

MlaWeights bind_attention_mla(WeightBinder& binder, const ModelConfig& config);

// a.attn_out = o_proj(attention(a.normed)); appends latent and k_pe to the layer's cache rows.
void attention_mla(LayerPass& pass, const MlaWeights& w);

// Whether the absorbed form multiplies less for `tokens` new tokens after `past_tokens`.
bool mla_prefers_absorbed(const ModelConfig& config, int64_t tokens, int64_t past_tokens);

}  // namespace glimmer
