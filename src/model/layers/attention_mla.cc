#include "model/layers/attention_mla.h"

#include <utility>

#include "model/layers/decoder_layer.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/encode.h"

namespace glimmer {
namespace {

// q = q_b_proj(q_a_layernorm(q_a_proj(x))), or q_proj(x); and a.latent: [latent, normed | k_pe], not yet rotated.
void project(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  const float* x = pass.a.normed.as<float>();
  float* latent = pass.a.latent.as<float>();
  const LinearCall kv_a{.weight = &w.kv_a_proj_with_mqa, .x = x, .y = latent, .tokens = tokens};
  if (w.q_proj.empty()) {
    const TensorView q_a = Activations::rows(pass.a.q_a, tokens);
    linear(ctx, {{.weight = &w.q_a_proj, .x = x, .y = q_a.as<float>(), .tokens = tokens}, kv_a});
    pass.record("self_attn.q_a_proj", q_a);
    rms_norm(ctx, q_a, w.q_a_layernorm, c.lora_norm_eps, q_a);
    pass.record("self_attn.q_a_layernorm", q_a);
    linear(ctx, w.q_b_proj, q_a, Activations::rows(pass.a.q, tokens));
    pass.record("self_attn.q_b_proj", Activations::rows(pass.a.q, tokens));
  } else {
    linear(ctx, {{.weight = &w.q_proj, .x = x, .y = pass.a.q.as<float>(), .tokens = tokens}, kv_a});
    pass.record("self_attn.q_proj", Activations::rows(pass.a.q, tokens));
  }
  pass.record("self_attn.kv_a_proj_with_mqa", Activations::rows(pass.a.latent, tokens));
  rms_norm(ctx, {.x = latent,
                 .out = latent,
                 .weight = w.kv_a_layernorm.as<float>(),
                 .size = c.kv_lora_rank,
                 .tokens = tokens,
                 .x_token_stride = row,
                 .out_token_stride = row,
                 .eps = c.lora_norm_eps});
  pass.record_rows("self_attn.kv_a_layernorm", latent, c.kv_lora_rank, row);
  // Absorbed, kv_b_proj as a whole never meets the latent that it multiplies by its definition.
  if (ctx.linear_observer() && !w.kv_b_name.empty()) {
    ctx.linear_observer()({w.kv_b_name, latent, tokens, c.kv_lora_rank, row});
  }
}

// The rotated q_pe are in a.q_absorbed already.
// attn[h] = v_b[h] (sum over t of softmax((k_b[h]^T q_nope[h]) . latent_t + q_pe[h] . k_pe_t) latent_t)
void attend(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t heads = c.num_attention_heads;
  const int64_t qk = c.qk_head_dim();
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  const float* q = pass.a.q.as<float>();
  float* absorbed = pass.a.q_absorbed.as<float>();
  float* latent_out = pass.a.latent_out.as<float>();

  std::vector<LinearCall> calls;
  for (int64_t h = 0; h < heads; ++h) {
    calls.push_back({.weight = &w.k_b[h],
                     .x = q + h * qk,
                     .y = absorbed + h * row,
                     .tokens = tokens,
                     .x_stride = heads * qk,
                     .y_stride = heads * row});
  }
  linear(ctx, calls);
  AttentionCall call{.q = absorbed,
                     .q_token_stride = heads * row,
                     .q_head_stride = row,
                     .heads = heads,
                     .scale = static_cast<float>(c.attention_scale),
                     .sequences = pass.sequences};
  const kernels::ActivationType type = ctx.activation_type(w.v_b.front().weight.layout);
  const auto y_of = [&](int64_t h) { return pass.a.attn.as<float>() + h * c.v_head_dim; };
  if (type == kernels::ActivationType::kF32 || ctx.linear_observer()) {
    call.out = latent_out;
    call.out_token_stride = heads * c.kv_lora_rank;
    call.out_head_stride = c.kv_lora_rank;
    attention(ctx, call);
    calls.clear();
    for (int64_t h = 0; h < heads; ++h) {
      calls.push_back({.weight = &w.v_b[h],
                       .x = latent_out + h * c.kv_lora_rank,
                       .y = y_of(h),
                       .tokens = tokens,
                       .x_stride = heads * c.kv_lora_rank,
                       .y_stride = heads * c.v_head_dim});
    }
    linear(ctx, calls);
    return;
  }
  // As v_b reads it: written and read as f32 it would be the largest of all activations.
  const int64_t head_bytes = encoded_bytes(type, c.kv_lora_rank, tokens);
  Buffer& encoded = pass.a.latent_out_encoded;
  if (encoded.size_bytes() < static_cast<size_t>(heads * head_bytes)) {
    encoded = Buffer(static_cast<size_t>(heads * encoded_bytes(type, c.kv_lora_rank, pass.a.latent_out.shape()[0])));
  }
  call.encoded_out = {.type = type,
                      .data = encoded.as<std::byte>(),
                      .row_bytes = kernels::activation_row_bytes(type, c.kv_lora_rank),
                      .head_bytes = head_bytes};
  attention(ctx, call);
  std::vector<EncodedLinearCall> encoded_calls;
  for (int64_t h = 0; h < heads; ++h) {
    encoded_calls.push_back({.weight = &w.v_b[h],
                             .x = {type, call.encoded_out.data + h * head_bytes, call.encoded_out.row_bytes},
                             .y = y_of(h),
                             .tokens = tokens,
                             .y_stride = heads * c.v_head_dim});
  }
  linear(ctx, encoded_calls);
}

// kv_b_proj as one matrix, a head's keys and then its values, or its two halves by themselves, the keys transposed.
void bind_kv_b(WeightBinder& binder, const ModelConfig& c, MlaWeights& w) {
  const auto heads = static_cast<size_t>(c.num_attention_heads);
  const Dim kv_lora{c.kv_lora_rank, "kv_lora_rank"};
  using Part = WeightBinder::Part;
  if (binder.has("self_attn.embed_q.weight")) {
    w.k_b = binder.linear_parts(
        "self_attn.embed_q", {c.num_attention_heads * c.kv_lora_rank, "num_attention_heads * kv_lora_rank"},
        {c.qk_nope_head_dim, "qk_nope_head_dim"}, std::vector<Part>(heads, {.rows = c.kv_lora_rank}));
    w.v_b = binder.linear_parts("self_attn.unembed_out",
                                {c.num_attention_heads * c.v_head_dim, "num_attention_heads * v_head_dim"}, kv_lora,
                                std::vector<Part>(heads, {.rows = c.v_head_dim}));
    return;
  }
  std::vector<Part> parts;
  for (size_t h = 0; h < heads; ++h) {
    parts.push_back({.rows = c.qk_nope_head_dim, .transposed = true});
    parts.push_back({.rows = c.v_head_dim});
  }
  const int64_t rows = c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim);
  const std::vector<LinearWeight> bound = binder.linear_parts(
      "self_attn.kv_b_proj", {rows, "num_attention_heads * (qk_nope_head_dim + v_head_dim)"}, kv_lora, parts);
  for (size_t h = 0; h < heads; ++h) {
    w.k_b.push_back(bound[2 * h]);
    w.v_b.push_back(bound[2 * h + 1]);
    w.kv_b_name = std::exchange(w.v_b.back().name, {});
  }
}

}  // namespace

MlaWeights bind_attention_mla(WeightBinder& binder, const ModelConfig& c) {
  const Dim hidden{c.hidden_size, "hidden_size"};
  const Dim q_rows{c.num_attention_heads * c.qk_head_dim(),
                   "num_attention_heads * (qk_nope_head_dim + qk_rope_head_dim)"};
  const Dim kv_lora{c.kv_lora_rank, "kv_lora_rank"};
  const auto bias = c.attention_bias ? WeightBinder::Bias::kRequired : WeightBinder::Bias::kNone;
  MlaWeights w;
  if (c.q_lora_rank == 0) {
    w.q_proj = binder.linear("self_attn.q_proj", q_rows, hidden);
  } else {
    const Dim q_lora{c.q_lora_rank, "q_lora_rank"};
    w.q_a_proj = binder.linear("self_attn.q_a_proj", q_lora, hidden, bias);
    w.q_a_layernorm = binder.f32("self_attn.q_a_layernorm.weight", {q_lora});
    w.q_b_proj = binder.linear("self_attn.q_b_proj", q_rows, q_lora);
  }
  w.kv_a_proj_with_mqa =
      binder.linear("self_attn.kv_a_proj_with_mqa",
                    {c.kv_lora_rank + c.qk_rope_head_dim, "kv_lora_rank + qk_rope_head_dim"}, hidden, bias);
  w.kv_a_layernorm = binder.f32("self_attn.kv_a_layernorm.weight", {kv_lora});
  bind_kv_b(binder, c, w);
  w.o_proj = binder.linear("self_attn.o_proj", hidden,
                           {c.num_attention_heads * c.v_head_dim, "num_attention_heads * v_head_dim"}, bias);
  return w;
}

void attention_mla(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  float* latent = pass.a.latent.as<float>();
  project(pass, w);
  rope(ctx, pass.rope,
       {.x = pass.a.q.as<float>() + c.qk_nope_head_dim,
        .tokens = tokens,
        .heads = c.num_attention_heads,
        .token_stride = c.num_attention_heads * c.qk_head_dim(),
        .head_stride = c.qk_head_dim(),
        .out = pass.a.q_absorbed.as<float>() + c.kv_lora_rank,
        .out_token_stride = c.num_attention_heads * row,
        .out_head_stride = row});
  rope(ctx, pass.rope, {.x = latent + c.kv_lora_rank, .tokens = tokens, .heads = 1, .token_stride = row});
  store_kv(ctx, {.k = latent, .k_stride = row}, pass.sequences);
  attend(pass, w);
  linear(ctx, w.o_proj, Activations::rows(pass.a.attn, tokens), Activations::rows(pass.a.attn_out, tokens));
}

}  // namespace glimmer
