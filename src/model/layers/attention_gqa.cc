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
  const int64_t row = pass.kv.row_values();
  const float* x = pass.a.normed.as<float>();
  float* q = pass.a.q.as<float>();
  float* k = pass.kv.row(pass.layer, pass.past_tokens);  // the new tokens' cache rows: k, then v
  float* v = k + kv_size;

  linear(ctx, {{.weight = &w.q_proj, .x = x, .y = q, .tokens = tokens},
               {.weight = &w.k_proj, .x = x, .y = k, .tokens = tokens, .y_stride = row},
               {.weight = &w.v_proj, .x = x, .y = v, .tokens = tokens, .y_stride = row}});
  pass.record_rows("self_attn.q_proj", q, q_size, q_size);
  pass.record_rows("self_attn.k_proj", k, kv_size, row);
  pass.record_rows("self_attn.v_proj", v, kv_size, row);

  if (c.use_qk_norm) {
    const auto head_norm = [&](float* heads, int64_t count, int64_t stride, ConstTensorView weight) {
      rms_norm(ctx, {.x = heads,
                     .out = heads,
                     .weight = weight.as<float>(),
                     .size = c.head_dim,
                     .tokens = tokens,
                     .per_token = count,
                     .x_token_stride = stride,
                     .out_token_stride = stride,
                     .eps = c.rms_norm_eps});
    };
    head_norm(q, c.num_attention_heads, q_size, w.q_norm);
    head_norm(k, c.num_key_value_heads, row, w.k_norm);
    pass.record_rows("self_attn.q_norm", q, q_size, q_size);
    pass.record_rows("self_attn.k_norm", k, kv_size, row);
  }
  rope(ctx, pass.rope,
       {.x = q, .tokens = tokens, .heads = c.num_attention_heads, .token_stride = q_size, .head_stride = c.head_dim});
  rope(ctx, pass.rope,
       {.x = k, .tokens = tokens, .heads = c.num_key_value_heads, .token_stride = row, .head_stride = c.head_dim});

  const float* cache = pass.kv.row(pass.layer, 0);
  attention(ctx, {.q = q,
                  .q_token_stride = q_size,
                  .q_head_stride = c.head_dim,
                  .k = cache,
                  .k_token_stride = row,
                  .k_head_stride = c.head_dim,
                  .v = cache + kv_size,
                  .v_token_stride = row,
                  .v_head_stride = c.head_dim,
                  .out = pass.a.attn.as<float>(),
                  .out_token_stride = q_size,
                  .out_head_stride = c.head_dim,
                  .tokens = tokens,
                  .past_tokens = pass.past_tokens,
                  .heads = c.num_attention_heads,
                  .kv_heads = c.num_key_value_heads,
                  .qk_dim = c.head_dim,
                  .v_dim = c.head_dim,
                  .scale = static_cast<float>(c.attention_scale)});
  linear(ctx, w.o_proj, Activations::rows(pass.a.attn, tokens), Activations::rows(pass.a.attn_out, tokens));
}

}  // namespace glimmer
