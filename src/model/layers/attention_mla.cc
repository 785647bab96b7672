#include "model/layers/attention_mla.h"

#include <utility>

#include "model/layers/decoder_layer.h"
#include "ops/elementwise.h"
#include "ops/mla.h"

namespace glimmer {
namespace {

// a.latent: [latent, normed | k_pe], not yet rotated; and, if there is one, a.q_a = q_a_layernorm(q_a_proj(x)).
void project(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  const float* x = pass.a.normed.as<float>();
  float* latent = pass.a.latent.as<float>();
  const LinearCall kv_a{.weight = &w.kv_a_proj_with_mqa, .x = x, .y = latent, .tokens = tokens};
  if (c.q_lora_rank > 0) {
    const TensorView q_a = PassMemory::rows(pass.a.q_a, tokens);
    linear(ctx, {{.weight = &w.q_a_proj, .x = x, .y = q_a.as<float>(), .tokens = tokens}, kv_a});
    pass.record("self_attn.q_a_proj", q_a);
    rms_norm(ctx, q_a, w.q_a_layernorm, c.lora_norm_eps, q_a);
    pass.record("self_attn.q_a_layernorm", q_a);
  } else {
    linear(ctx, {kv_a});
  }
  pass.record("self_attn.kv_a_proj_with_mqa", PassMemory::rows(pass.a.latent, tokens));
  rms_norm(ctx, {.x = latent,
                 .out = latent,
                 .weight = w.kv_a_layernorm.as<float>(),
                 .size = c.kv_lora_rank,
                 .tokens = tokens,
                 .x_token_stride = row,
                 .out_token_stride = row,
                 .eps = c.lora_norm_eps});
  pass.record_rows("self_attn.kv_a_layernorm", latent, c.kv_lora_rank, row);
  // In absorbed form kv_b_proj as a whole is never multiplied by the latent, so its input is reported here.
  if (!w.kv_b_name.empty()) ctx.record_input({w.kv_b_name, latent, tokens, c.kv_lora_rank, row});
}

// kv_b_proj is one matrix (for each head its keys, then its values), or two halves, the keys transposed.
void bind_kv_b(WeightBinder& binder, const ModelConfig& c, MlaWeights& w) {
  const RowCut* cut = binder.cuts().heads.get();
  const Range ours = cut == nullptr ? Range{0, c.num_attention_heads} : cut->own();
  const auto is_ours = [&](int64_t head) { return ours.begin <= head && head < ours.end; };
  const Dim kv_lora{c.kv_lora_rank, "kv_lora_rank"};
  using Part = WeightBinder::Part;
  if (binder.has("self_attn.embed_q.weight")) {
    const auto by_head = [&](int64_t rows) {
      std::vector<Part> parts;
      for (int64_t h = 0; h < c.num_attention_heads; ++h) parts.push_back({.rows = rows, .is_ours = is_ours(h)});
      return parts;
    };
    w.k_b = binder.linear_parts("self_attn.embed_q",
                                {c.num_attention_heads * c.kv_lora_rank, "num_attention_heads * kv_lora_rank"},
                                {c.qk_nope_head_dim, "qk_nope_head_dim"}, by_head(c.kv_lora_rank));
    w.v_b = binder.linear_parts("self_attn.unembed_out",
                                {c.num_attention_heads * c.v_head_dim, "num_attention_heads * v_head_dim"}, kv_lora,
                                by_head(c.v_head_dim));
    return;
  }
  std::vector<Part> parts;
  for (int64_t h = 0; h < c.num_attention_heads; ++h) {
    parts.push_back({.rows = c.qk_nope_head_dim, .transposed = true, .is_ours = is_ours(h)});
    parts.push_back({.rows = c.v_head_dim, .is_ours = is_ours(h)});
  }
  const int64_t rows = c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim);
  const std::vector<LinearWeight> bound = binder.linear_parts(
      "self_attn.kv_b_proj", {rows, "num_attention_heads * (qk_nope_head_dim + v_head_dim)"}, kv_lora, parts);
  for (size_t h = 0; h < bound.size() / 2; ++h) {
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
  const LayerCuts& cuts = binder.cuts();
  MlaWeights w;
  if (c.q_lora_rank == 0) {
    w.q_proj = binder.linear("self_attn.q_proj", q_rows, hidden, WeightBinder::Bias::kNone, cuts.q.get());
  } else {
    const Dim q_lora{c.q_lora_rank, "q_lora_rank"};
    w.q_a_proj = binder.linear("self_attn.q_a_proj", q_lora, hidden, bias);
    w.q_a_layernorm = binder.f32("self_attn.q_a_layernorm.weight", {q_lora});
    w.q_b_proj = binder.linear("self_attn.q_b_proj", q_rows, q_lora, WeightBinder::Bias::kNone, cuts.q.get());
  }
  w.kv_a_proj_with_mqa =
      binder.linear("self_attn.kv_a_proj_with_mqa",
                    {c.kv_lora_rank + c.qk_rope_head_dim, "kv_lora_rank + qk_rope_head_dim"}, hidden, bias);
  w.kv_a_layernorm = binder.f32("self_attn.kv_a_layernorm.weight", {kv_lora});
  bind_kv_b(binder, c, w);
  w.o_proj = binder.linear("self_attn.o_proj", hidden,
                           {c.num_attention_heads * c.v_head_dim, "num_attention_heads * v_head_dim"}, bias,
                           cuts.hidden.get());
  return w;
}

void attention_mla(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const bool has_q_a = c.q_lora_rank > 0;
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  float* latent = pass.a.latent.as<float>();
  project(pass, w);
  rope(ctx, {.table = pass.rope, .x = latent + c.kv_lora_rank, .tokens = pass.tokens, .heads = 1, .token_stride = row});
  store_kv(ctx, {.k = latent, .k_stride = row, .batch = &pass.batch, .kv = pass.kv});
  mla_attention(ctx, {.q_proj = has_q_a ? &w.q_b_proj : &w.q_proj,
                      .k_b = w.k_b,
                      .v_b = w.v_b,
                      .o_proj = &w.o_proj,
                      .attn_cut = pass.placement.cuts.attn.get(),
                      .x = PassMemory::rows(has_q_a ? pass.a.q_a : pass.a.normed, pass.tokens),
                      .out = PassMemory::rows(pass.a.attn_out, pass.tokens),
                      .rope = pass.rope,
                      .scale = static_cast<float>(c.attention_scale),
                      .batch = &pass.batch,
                      .kv = pass.kv,
                      .q_what = has_q_a ? "self_attn.q_b_proj" : "self_attn.q_proj",
                      .layer = pass.layer});
}

}  // namespace glimmer
