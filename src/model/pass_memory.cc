#include "model/pass_memory.h"

#include <algorithm>

namespace glimmer {

PassMemory::PassMemory(const ModelConfig& c, int64_t chunk_tokens, Memory& memory) {
  const auto f32 = [&](int64_t columns) { return Tensor(memory, DType::kF32, {chunk_tokens, columns}); };
  hidden = f32(c.hidden_size);
  normed = f32(c.hidden_size);
  attn_out = f32(c.hidden_size);
  mlp_out = f32(c.hidden_size);
  rope_cos = f32(c.rope_parameters.rotary_dim / 2);
  rope_sin = f32(c.rope_parameters.rotary_dim / 2);
  if (c.attention == AttentionKind::kMla) {
    q_a = f32(c.q_lora_rank);
    latent = f32(c.kv_lora_rank + c.qk_rope_head_dim);
  } else {
    q = f32(c.num_attention_heads * c.head_dim);
    attn = f32(c.num_attention_heads * c.head_dim);
    k = f32(c.num_key_value_heads * c.head_dim);
    v = f32(c.num_key_value_heads * c.head_dim);
  }
  bool any_sparse = false;
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) any_sparse |= c.is_sparse(layer);
  if (any_sparse) {
    router_logits = f32(c.n_routed_experts);
    topk_weights = f32(c.num_experts_per_tok);
    topk_experts = Tensor(memory, DType::kI32, {chunk_tokens, c.num_experts_per_tok});
    shared_out = f32(c.hidden_size);
  }
}

TensorView PassMemory::rows(Tensor& tensor, int64_t tokens) {
  GLIMMER_CHECK(tokens <= tensor.shape()[0], "{} rows of {}", tokens, tensor.shape().to_string());
  return {tensor.view().data, tensor.dtype(), {tokens, tensor.shape()[1]}};
}

}  // namespace glimmer
