#include "model/layers/attention_gqa.h"

#include "model/layers/decoder_layer.h"
#include "ops/attention.h"
#include "ops/elementwise.h"

namespace glimmer {

GqaWeights bind_attention_gqa(WeightBinder& binder, const ModelConfig& c) {
  const Dim hidden{c.hidden_size, "hidden_size"};
  const Dim q_rows{c.num_attention_heads * c.head_dim, "num_attention_heads * head_dim"};
  const Dim kv_rows{c.num_key_value_heads * c.head_dim, "num_key_value_heads * head_dim"};
  const auto bias_if = [](bool has) { return has ? WeightBinder::Bias::kRequired : WeightBinder::Bias::kNone; };
  const auto bias = bias_if(c.attention_bias);
  GqaWeights w;
  w.q_proj = binder.linear("self_attn.q_proj", q_rows, hidden, bias);
  w.k_proj = binder.linear("self_attn.k_proj", kv_rows, hidden, bias);
  w.v_proj = binder.linear("self_attn.v_proj", kv_rows, hidden, bias);
  w.o_proj = binder.linear("self_attn.o_proj", hidden, q_rows, bias_if(c.attention_output_bias));
  if (c.use_qk_norm) {
    w.q_norm = binder.f32("self_attn.q_norm.weight", {{c.head_dim, "head_dim"}});
    w.k_norm = binder.f32("self_attn.k_norm.weight", {{c.head_dim, "head_dim"}});
  }
  return w;
}

void attention_gqa(LayerPass& pass, const GqaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t q_size = c.num_attention_heads * c.head_dim;
  const int64_t kv_size = c.num_key_value_heads * c.head_dim;
  const float* x = pass.a.normed.as<float>();
  float* q = pass.a.q.as<float>();
  float* k = pass.a.k.as<float>();
  float* v = pass.a.v.as<float>();

  linear(ctx, {{.weight = &w.q_proj, .x = x, .y = q, .tokens = tokens},
               {.weight = &w.k_proj, .x = x, .y = k, .tokens = tokens},
               {.weight = &w.v_proj, .x = x, .y = v, .tokens = tokens}});
  pass.record("self_attn.q_proj", PassMemory::rows(pass.a.q, tokens));
  pass.record("self_attn.k_proj", PassMemory::rows(pass.a.k, tokens));
  pass.record("self_attn.v_proj", PassMemory::rows(pass.a.v, tokens));

  if (c.use_qk_norm) {
    const auto head_norm = [&](float* heads, int64_t count, ConstTensorView weight) {
      rms_norm(ctx, {.x = heads,
                     .out = heads,
                     .weight = weight.as<float>(),
                     .size = c.head_dim,
                     .tokens = tokens,
                     .per_token = count,
                     .x_token_stride = count * c.head_dim,
                     .out_token_stride = count * c.head_dim,
                     .eps = c.rms_norm_eps});
    };
    head_norm(q, c.num_attention_heads, w.q_norm);
    head_norm(k, c.num_key_value_heads, w.k_norm);
    pass.record("self_attn.q_norm", PassMemory::rows(pass.a.q, tokens));
    pass.record("self_attn.k_norm", PassMemory::rows(pass.a.k, tokens));
  }
  const auto rotate = [&](float* heads, int64_t count) {
    rope(ctx, {.table = pass.rope,
               .x = heads,
               .tokens = tokens,
               .heads = count,
               .token_stride = count * c.head_dim,
               .head_stride = c.head_dim});
  };
  rotate(q, c.num_attention_heads);
  rotate(k, c.num_key_value_heads);

  store_kv(ctx, {.k = k, .k_stride = kv_size, .v = v, .v_stride = kv_size, .batch = &pass.batch, .kv = pass.kv});
  attention(ctx, {.q = q,
                  .q_token_stride = q_size,
                  .q_head_stride = c.head_dim,
                  .out = pass.a.attn.as<float>(),
                  .out_token_stride = q_size,
                  .out_head_stride = c.head_dim,
                  .heads = c.num_attention_heads,
                  .scale = static_cast<float>(c.attention_scale),
                  .batch = &pass.batch,
                  .kv = pass.kv});
  linear(ctx, w.o_proj, PassMemory::rows(pass.a.attn, tokens), PassMemory::rows(pass.a.attn_out, tokens));
}

}  // namespace glimmer
