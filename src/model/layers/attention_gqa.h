// Grouped-query attention: num_key_value_heads keys and values shared by num_attention_heads queries; partial rotary
// embedding; optional q/k/v bias, o bias and per-head q/k norm.
#pragma once

#include "ops/linear.h"

namespace glimmer {

class WeightBinder;
struct LayerPass;
struct ModelConfig;

struct GqaWeights {
  LinearWeight q_proj;     // [num_attention_heads * head_dim, hidden_size]
  LinearWeight k_proj;     // [num_key_value_heads * head_dim, hidden_size]
  LinearWeight v_proj;     // [num_key_value_heads * head_dim, hidden_size]
  LinearWeight o_proj;     // [hidden_size, num_attention_heads * head_dim]
  ConstTensorView q_norm;  // [head_dim] f32, if use_qk_norm
  ConstTensorView k_norm;  // [head_dim] f32, if use_qk_norm
};

GqaWeights bind_attention_gqa(WeightBinder& binder, const ModelConfig& config);

// a.attn_out = o_proj(attention(a.normed)), our columns of it; stores k and v of our heads in the KV cache.
void attention_gqa(LayerPass& pass, const GqaWeights& w);

}  // namespace glimmer
