#include "model/layers/attention_mla.h"

#include <utility>

#include "model/layers/decoder_layer.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/encode.h"

namespace glimmer {
namespace {

// Tokens from which on what lies between two products of heads is written in the type that the second reads, where the
// first makes it: as f32 these are the largest of all activations.
constexpr int64_t kManyTokens = 64;

bool reads_encoded(const LayerPass& pass, const LinearWeight& reader) {
  return pass.ctx.activation_type(reader.weight.layout) != kernels::ActivationType::kF32 && !pass.ctx.linear_observer();
}

// Whether a product whose outputs are `head_dim` wide for each head encodes them for `reader`.
bool writes_encoded(const LayerPass& pass, int64_t head_dim, const LinearWeight& reader) {
  return pass.tokens >= kManyTokens && head_dim == kOutputColumns && reads_encoded(pass, reader) && !pass.ctx.tapped();
}

// Room for rows of all heads in the type that `reader`, one of a head each, takes.
EncodedHeads encoded_heads(LayerPass& pass, const LinearWeight& reader, Buffer& buffer) {
  const kernels::ActivationType type = pass.ctx.activation_type(reader.weight.layout);
  const auto head_bytes = [&](int64_t tokens) { return encoded_bytes(type, reader.in_features(), tokens); };
  const int64_t heads = pass.config.num_attention_heads;
  if (buffer.size_bytes() < static_cast<size_t>(heads * head_bytes(pass.tokens))) {
    buffer = {};
    buffer = Buffer(static_cast<size_t>(heads * head_bytes(pass.a.q.shape()[0])));
  }
  return {.type = type,
          .data = buffer.as<std::byte>(),
          .row_bytes = kernels::activation_row_bytes(type, reader.in_features()),
          .head_bytes = head_bytes(pass.tokens)};
}

// Whether absorb_queries leaves in a.q_absorbed what attention would round to bf16 as bf16, [heads, tokens, ..].
bool rounds_queries(const LayerPass& pass, const MlaWeights& w) {
  return writes_encoded(pass, pass.config.qk_head_dim(), w.k_b.front()) && !pass.sequences.empty() &&
         takes_bf16_queries(pass.ctx, pass.sequences.front().kv.layout);
}

std::vector<EncodedLinearCall> calls_of_heads(const std::vector<LinearWeight>& weights, const EncodedHeads& x,
                                              int64_t tokens) {
  std::vector<EncodedLinearCall> calls;
  for (const LinearWeight& weight : weights) {
    const auto head = static_cast<int64_t>(calls.size());
    calls.push_back({.weight = &weight, .x = {x.type, x.row(head, 0), x.row_bytes}, .tokens = tokens});
  }
  return calls;
}

// a.latent: [latent, normed | k_pe], not yet rotated; and, if there is one, a.q_a = q_a_layernorm(q_a_proj(x)).
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
  } else {
    linear(ctx, {kv_a});
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

// absorb_queries for many tokens: what lies between is encoded where it is made, and so is what attention would round.
void absorb_many_queries(LayerPass& pass, const MlaWeights& w, const LinearCall& q_call) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t heads = c.num_attention_heads;
  const int64_t qk = c.qk_head_dim();
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  float* absorbed = pass.a.q_absorbed.as<float>();
  uint16_t* rounded = rounds_queries(pass, w) ? reinterpret_cast<uint16_t*>(absorbed) : nullptr;
  // Columns of a head from `first` on.
  const auto round = [&](const float* x, int64_t x_stride, const OutputBlock& block, int64_t head, int64_t first,
                         int64_t columns) {
    ctx.kernels().round_queries(x, x_stride, block.tokens, columns,
                                rounded + (head * tokens + block.first_token) * row + first, row);
  };

  const EncodedHeads q_nope = encoded_heads(pass, w.k_b.front(), pass.a.q_nope_encoded);
  linear(ctx, {&q_call, 1}, [&](const OutputBlock& block) {
    const int64_t head = block.first_column / qk;
    ctx.kernels().encode_activations(q_nope.type, block.y, qk, block.tokens, c.qk_nope_head_dim, 0, c.qk_nope_head_dim,
                                     q_nope.row(head, block.first_token), q_nope.row_bytes);
    float* q_pe = block.y + c.qk_nope_head_dim;
    RopeCall call{.x = q_pe, .tokens = block.tokens, .heads = 1, .token_stride = qk};
    if (rounded == nullptr) {
      call.out = absorbed + (block.first_token * heads + head) * row + c.kv_lora_rank;
      call.out_token_stride = heads * row;
    }
    rope_here(ctx, pass.rope.from(block.first_token), call);
    if (rounded != nullptr) round(q_pe, qk, block, head, c.kv_lora_rank, c.qk_rope_head_dim);
  });
  std::vector<EncodedLinearCall> calls = calls_of_heads(w.k_b, q_nope, tokens);
  if (rounded != nullptr) {
    linear(ctx, calls, [&](const OutputBlock& block) {
      round(block.y, block.columns, block, static_cast<int64_t>(block.call), block.first_column, block.columns);
    });
    return;
  }
  for (size_t h = 0; h < calls.size(); ++h) {
    calls[h].y = absorbed + static_cast<int64_t>(h) * row;
    calls[h].y_stride = heads * row;
  }
  linear(ctx, calls);
}

// q = q_b_proj(q_a), or q_proj(x), and from it a.q_absorbed: for each head [k_b[h]^T q_nope[h] | q_pe[h], rotated].
void absorb_queries(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t heads = c.num_attention_heads;
  const int64_t qk = c.qk_head_dim();
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  const bool has_q_a = w.q_proj.empty();
  float* q = pass.a.q.as<float>();
  float* absorbed = pass.a.q_absorbed.as<float>();
  const LinearCall q_call{.weight = has_q_a ? &w.q_b_proj : &w.q_proj,
                          .x = (has_q_a ? pass.a.q_a : pass.a.normed).as<float>(),
                          .y = q,
                          .tokens = tokens};
  if (writes_encoded(pass, qk, w.k_b.front())) return absorb_many_queries(pass, w, q_call);

  linear(ctx, {q_call});
  pass.record(has_q_a ? "self_attn.q_b_proj" : "self_attn.q_proj", Activations::rows(pass.a.q, tokens));
  rope(ctx, pass.rope,
       {.x = q + c.qk_nope_head_dim,
        .tokens = tokens,
        .heads = heads,
        .token_stride = heads * qk,
        .head_stride = qk,
        .out = absorbed + c.kv_lora_rank,
        .out_token_stride = heads * row,
        .out_head_stride = row});
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
}

// attn[h] = v_b[h] (sum over t of softmax(q_absorbed[h] . [latent_t | k_pe_t]) latent_t), and a.attn_out = o_proj(attn)
void attend(LayerPass& pass, const MlaWeights& w) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t heads = c.num_attention_heads;
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  float* latent_out = pass.a.latent_out.as<float>();
  float* attn = pass.a.attn.as<float>();
  const auto y_of = [&](int64_t h) { return attn + h * c.v_head_dim; };
  const bool rounded = rounds_queries(pass, w);
  AttentionCall call{.q = rounded ? nullptr : pass.a.q_absorbed.as<float>(),
                     .q_bf16 = rounded ? reinterpret_cast<const uint16_t*>(pass.a.q_absorbed.as<float>()) : nullptr,
                     .q_token_stride = heads * row,
                     .q_head_stride = row,
                     .heads = heads,
                     .scale = static_cast<float>(c.attention_scale),
                     .sequences = pass.sequences};
  if (rounded) {
    call.q_token_stride = row;
    call.q_head_stride = tokens * row;
  }
  const TensorView attn_out = Activations::rows(pass.a.attn_out, tokens);

  if (!reads_encoded(pass, w.v_b.front())) {
    call.out = latent_out;
    call.out_token_stride = heads * c.kv_lora_rank;
    call.out_head_stride = c.kv_lora_rank;
    attention(ctx, call);
    std::vector<LinearCall> calls;
    for (int64_t h = 0; h < heads; ++h) {
      calls.push_back({.weight = &w.v_b[h],
                       .x = latent_out + h * c.kv_lora_rank,
                       .y = y_of(h),
                       .tokens = tokens,
                       .x_stride = heads * c.kv_lora_rank,
                       .y_stride = heads * c.v_head_dim});
    }
    linear(ctx, calls);
    linear(ctx, w.o_proj, Activations::rows(pass.a.attn, tokens), attn_out);
    return;
  }
  call.encoded_out = encoded_heads(pass, w.v_b.front(), pass.a.latent_out_encoded);
  attention(ctx, call);
  std::vector<EncodedLinearCall> calls = calls_of_heads(w.v_b, call.encoded_out, tokens);
  if (!writes_encoded(pass, c.v_head_dim, w.o_proj)) {
    for (int64_t h = 0; h < heads; ++h) {
      calls[static_cast<size_t>(h)].y = y_of(h);
      calls[static_cast<size_t>(h)].y_stride = heads * c.v_head_dim;
    }
    linear(ctx, calls);
    linear(ctx, w.o_proj, Activations::rows(pass.a.attn, tokens), attn_out);
    return;
  }
  const kernels::ActivationType type = ctx.activation_type(w.o_proj.weight.layout);
  const int64_t columns = w.o_proj.in_features();
  Buffer& encoded = pass.a.attn_encoded;
  if (encoded.size_bytes() < static_cast<size_t>(encoded_bytes(type, columns, tokens))) {
    encoded = {};
    encoded = Buffer(static_cast<size_t>(encoded_bytes(type, columns, pass.a.attn.shape()[0])));
  }
  const kernels::Activations x{type, encoded.as<std::byte>(), kernels::activation_row_bytes(type, columns)};
  linear(ctx, calls, [&](const OutputBlock& block) {
    const int64_t first = static_cast<int64_t>(block.call) * c.v_head_dim;
    // The encoder counts columns from the row's first, which is not here.
    ctx.kernels().encode_activations(type, block.y - first, block.columns, block.tokens, columns, first,
                                     first + block.columns, encoded.as<std::byte>() + block.first_token * x.row_bytes,
                                     x.row_bytes);
  });
  const EncodedLinearCall o_call{.weight = &w.o_proj, .x = x, .y = attn_out.as<float>(), .tokens = tokens};
  linear(ctx, std::span(&o_call, 1));
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
  const int64_t row = c.kv_lora_rank + c.qk_rope_head_dim;
  float* latent = pass.a.latent.as<float>();
  project(pass, w);
  rope(ctx, pass.rope, {.x = latent + c.kv_lora_rank, .tokens = pass.tokens, .heads = 1, .token_stride = row});
  store_kv(ctx, {.k = latent, .k_stride = row}, pass.sequences);
  absorb_queries(pass, w);
  attend(pass, w);
}

}  // namespace glimmer
