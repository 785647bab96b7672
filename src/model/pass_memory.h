// Activations of one forward pass: float32, one row per token, sized for the largest chunk and reused in every layer.
#pragma once

#include "model/config.h"
#include "tensor/tensor.h"

namespace glimmer {

struct PassMemory {
  // In the memory of the device that runs the pass.
  PassMemory(const ModelConfig& config, int64_t chunk_tokens, Memory& memory);

  // The first `tokens` rows.
  static TensorView rows(Tensor& tensor, int64_t tokens);

  Tensor hidden;    // [tokens, hidden_size], the residual stream
  Tensor normed;    // [tokens, hidden_size]
  Tensor attn_out;  // [tokens, hidden_size]
  Tensor mlp_out;   // [tokens, hidden_size]

  Tensor rope_cos;  // [tokens, rotary_dim / 2]
  Tensor rope_sin;

  // GQA
  Tensor q;     // [tokens, heads * head_dim]
  Tensor attn;  // [tokens, heads * head_dim]: what o_proj reads
  Tensor k;     // [tokens, num_key_value_heads * head_dim]
  Tensor v;
  // MLA
  Tensor q_a;     // [tokens, q_lora_rank]
  Tensor latent;  // [tokens, kv_lora_rank + qk_rope_head_dim]

  // Sparse layers
  Tensor router_logits;  // [tokens, n_routed_experts]
  Tensor topk_weights;   // [tokens, num_experts_per_tok]
  Tensor topk_experts;   // [tokens, num_experts_per_tok] i32
  Tensor shared_out;     // [tokens, hidden_size]

  // Made at first use.
  Tensor logits;       // [sequences or tokens, vocab_size]
  Tensor host_logits;  // the same in host memory, where the device has its own
};

}  // namespace glimmer
