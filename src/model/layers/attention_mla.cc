#include "model/layers/attention_mla.h"

#include <algorithm>
#include <cstring>

#include "model/layers/decoder_layer.h"
#include "ops/attention.h"
#include "ops/elementwise.h"

namespace glimmer {
namespace {

// Values that one pass of the expanded form may hold: it takes as many heads at a time as fit (64 Mi values, 256 MiB).
constexpr int64_t kExpandedValues = int64_t{64} << 20;

// q = q_b_proj(q_a_layernorm(q_a_proj(x))), or q_proj(x); and the new cache rows: [latent, normed | k_pe], not yet
// rotated.
void project(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t row = pass.kv.row_values();
  const float* x = pass.a.normed.as<float>();
  float* cache = pass.kv.row(pass.layer, pass.past_tokens);
  const LinearCall kv_a{.weight = &w.kv_a_proj_with_mqa, .x = x, .y = cache, .tokens = tokens};
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
  pass.record_rows("self_attn.kv_a_proj_with_mqa", cache, row, row);
  rms_norm(ctx, {.x = cache,
                 .out = cache,
                 .weight = w.kv_a_layernorm.as<float>(),
                 .size = c.kv_lora_rank,
                 .tokens = tokens,
                 .x_token_stride = row,
                 .out_token_stride = row,
                 .eps = c.lora_norm_eps});
  pass.record_rows("self_attn.kv_a_layernorm", cache, c.kv_lora_rank, row);
}

// attn[h] = v_b[h] (sum over t of softmax((k_b[h]^T q_nope[h]) . latent_t + q_pe[h] . k_pe_t) latent_t)
void attend_absorbed(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t heads = c.num_attention_heads;
  const int64_t qk = c.qk_head_dim();
  const int64_t row = pass.kv.row_values();
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
  if (w.k_b_is_transposed) {
    linear(ctx, calls);
  } else {
    linear_transposed(ctx, calls);
  }
  for (int64_t i = 0; i < tokens * heads; ++i) {
    std::memcpy(absorbed + i * row + c.kv_lora_rank, q + i * qk + c.qk_nope_head_dim,
                static_cast<size_t>(c.qk_rope_head_dim) * sizeof(float));
  }

  const float* cache = pass.kv.row(pass.layer, 0);
  attention(ctx, {.q = absorbed,
                  .q_token_stride = heads * row,
                  .q_head_stride = row,
                  .k = cache,
                  .k_token_stride = row,
                  .v = cache,
                  .v_token_stride = row,
                  .out = latent_out,
                  .out_token_stride = heads * c.kv_lora_rank,
                  .out_head_stride = c.kv_lora_rank,
                  .tokens = tokens,
                  .past_tokens = pass.past_tokens,
                  .heads = heads,
                  .kv_heads = 1,
                  .qk_dim = row,
                  .v_dim = c.kv_lora_rank,
                  .scale = static_cast<float>(c.attention_scale)});

  calls.clear();
  for (int64_t h = 0; h < heads; ++h) {
    calls.push_back({.weight = &w.v_b[h],
                     .x = latent_out + h * c.kv_lora_rank,
                     .y = pass.a.attn.as<float>() + h * c.v_head_dim,
                     .tokens = tokens,
                     .x_stride = heads * c.kv_lora_rank,
                     .y_stride = heads * c.v_head_dim});
  }
  linear(ctx, calls);
}

// The heads [first, first + count): k = [k_b latent | k_pe] and v = v_b latent for every token so far, then attention.
void attend_expanded(LayerPass& pass, const MlaWeights& w, int64_t first, int64_t count) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t all_tokens = pass.past_tokens + pass.tokens;
  const int64_t heads = c.num_attention_heads;
  const int64_t qk = c.qk_head_dim();
  const int64_t row = pass.kv.row_values();
  const float* cache = pass.kv.row(pass.layer, 0);
  float* k = pass.a.expanded_kv.as<float>();
  float* v = k + all_tokens * count * qk;

  std::vector<LinearCall> keys;
  std::vector<LinearCall> calls;
  for (int64_t i = 0; i < count; ++i) {
    keys.push_back({.weight = &w.k_b[first + i],
                    .x = cache,
                    .y = k + i * qk,
                    .tokens = all_tokens,
                    .x_stride = row,
                    .y_stride = count * qk});
    calls.push_back({.weight = &w.v_b[first + i],
                     .x = cache,
                     .y = v + i * c.v_head_dim,
                     .tokens = all_tokens,
                     .x_stride = row,
                     .y_stride = count * c.v_head_dim});
  }
  if (w.k_b_is_transposed) {
    linear_transposed(ctx, keys);
  } else {
    calls.insert(calls.end(), keys.begin(), keys.end());
  }
  linear(ctx, calls);
  ctx.pool().parallel_for(all_tokens, 32, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin * count; i < end * count; ++i) {
      std::memcpy(k + i * qk + c.qk_nope_head_dim, cache + i / count * row + c.kv_lora_rank,
                  static_cast<size_t>(c.qk_rope_head_dim) * sizeof(float));
    }
  });

  attention(ctx, {.q = pass.a.q.as<float>() + first * qk,
                  .q_token_stride = heads * qk,
                  .q_head_stride = qk,
                  .k = k,
                  .k_token_stride = count * qk,
                  .k_head_stride = qk,
                  .v = v,
                  .v_token_stride = count * c.v_head_dim,
                  .v_head_stride = c.v_head_dim,
                  .out = pass.a.attn.as<float>() + first * c.v_head_dim,
                  .out_token_stride = heads * c.v_head_dim,
                  .out_head_stride = c.v_head_dim,
                  .tokens = pass.tokens,
                  .past_tokens = pass.past_tokens,
                  .heads = count,
                  .kv_heads = count,
                  .qk_dim = qk,
                  .v_dim = c.v_head_dim,
                  .scale = static_cast<float>(c.attention_scale)});
}

void attend_expanded(LayerPass& pass, const MlaWeights& w) {
  const ModelConfig& c = pass.config;
  const int64_t heads = c.num_attention_heads;
  const int64_t head_values = (pass.past_tokens + pass.tokens) * (c.qk_head_dim() + c.v_head_dim);
  const int64_t at_once = std::clamp<int64_t>(kExpandedValues / head_values, 1, heads);
  const size_t wanted_bytes = static_cast<size_t>(at_once * head_values) * sizeof(float);
  if (pass.a.expanded_kv.size_bytes() < wanted_bytes) pass.a.expanded_kv = Buffer(wanted_bytes);
  for (int64_t first = 0; first < heads; first += at_once) {
    attend_expanded(pass, w, first, std::min(at_once, heads - first));
  }
}

// kv_b_proj as one matrix, a head's keys and then its values, or its two halves by themselves.
void bind_kv_b(WeightBinder& binder, const ModelConfig& c, MlaWeights& w) {
  const int64_t heads = c.num_attention_heads;
  const Dim kv_lora{c.kv_lora_rank, "kv_lora_rank"};
  w.k_b_is_transposed = binder.has("self_attn.embed_q.weight");
  if (w.k_b_is_transposed) {
    const LinearWeight k =
        binder.linear("self_attn.embed_q", {heads * c.kv_lora_rank, "num_attention_heads * kv_lora_rank"},
                      {c.qk_nope_head_dim, "qk_nope_head_dim"});
    const LinearWeight v =
        binder.linear("self_attn.unembed_out", {heads * c.v_head_dim, "num_attention_heads * v_head_dim"}, kv_lora);
    for (int64_t h = 0; h < heads; ++h) {
      w.k_b.push_back(rows_of(k, h * c.kv_lora_rank, c.kv_lora_rank));
      w.v_b.push_back(rows_of(v, h * c.v_head_dim, c.v_head_dim));
    }
    return;
  }
  const int64_t head_rows = c.qk_nope_head_dim + c.v_head_dim;
  const LinearWeight kv_b = binder.linear(
      "self_attn.kv_b_proj", {heads * head_rows, "num_attention_heads * (qk_nope_head_dim + v_head_dim)"}, kv_lora);
  for (int64_t h = 0; h < heads; ++h) {
    w.k_b.push_back(rows_of(kv_b, h * head_rows, c.qk_nope_head_dim));
    w.v_b.push_back(rows_of(kv_b, h * head_rows + c.qk_nope_head_dim, c.v_head_dim));
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

bool mla_prefers_absorbed(const ModelConfig& c, int64_t tokens, int64_t past_tokens) {
  // Multiplications a head. kv_b_proj is applied to each new token's query and output, or to every token's latent.
  const int64_t kv_b = c.kv_lora_rank * (c.qk_nope_head_dim + c.v_head_dim);
  const int64_t pairs = tokens * past_tokens + tokens * (tokens + 1) / 2;
  const int64_t absorbed = tokens * kv_b + pairs * (2 * c.kv_lora_rank + c.qk_rope_head_dim);
  const int64_t expanded = (past_tokens + tokens) * kv_b + pairs * (c.qk_head_dim() + c.v_head_dim);
  return tokens == 1 || absorbed < expanded;
}

void attention_mla(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t row = pass.kv.row_values();
  project(pass, w);
  rope(ctx, pass.rope,
       {.x = pass.a.q.as<float>() + c.qk_nope_head_dim,
        .tokens = tokens,
        .heads = c.num_attention_heads,
        .token_stride = c.num_attention_heads * c.qk_head_dim(),
        .head_stride = c.qk_head_dim()});
  rope(ctx, pass.rope,
       {.x = pass.kv.row(pass.layer, pass.past_tokens) + c.kv_lora_rank,
        .tokens = tokens,
        .heads = 1,
        .token_stride = row});
  if (mla_prefers_absorbed(c, tokens, pass.past_tokens)) {
    attend_absorbed(pass, w);
  } else {
    attend_expanded(pass, w);
  }
  linear(ctx, w.o_proj, Activations::rows(pass.a.attn, tokens), Activations::rows(pass.a.attn_out, tokens));
}

}  // namespace glimmer
