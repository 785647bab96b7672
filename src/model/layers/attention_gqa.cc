#include "model/layers/attention_gqa.h"

#include <algorithm>
#include <vector>

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
  const LayerCuts& cuts = binder.cuts();
  w.q_proj = binder.linear("self_attn.q_proj", q_rows, hidden, bias, cuts.q.get());
  w.k_proj = binder.linear("self_attn.k_proj", kv_rows, hidden, bias, cuts.kv.get());
  w.v_proj = binder.linear("self_attn.v_proj", kv_rows, hidden, bias, cuts.kv.get());
  w.o_proj = binder.linear("self_attn.o_proj", hidden, q_rows, bias_if(c.attention_output_bias), cuts.hidden.get());
  if (c.use_qk_norm) {
    w.q_norm = binder.f32("self_attn.q_norm.weight", {{c.head_dim, "head_dim"}});
    w.k_norm = binder.f32("self_attn.k_norm.weight", {{c.head_dim, "head_dim"}});
  }
  return w;
}

namespace {

// Consecutive query heads of this rank, and the key heads that they read, the same number each.
struct HeadRun {
  int64_t first = 0;
  int64_t heads = 0;
  int64_t first_kv = 0;
  int64_t kv_heads = 0;
};

// `heads` of which `group` in the whole model share a key head: all as one run where they begin and end with a key
// head; else what is left of the first, the whole ones, and what there is of the last.
std::vector<HeadRun> runs_of(Range heads, int64_t group) {
  std::vector<HeadRun> runs;
  const int64_t first_kv = heads.begin / group;
  for (int64_t at = heads.begin; at < heads.end;) {
    const bool is_whole = at % group == 0 && heads.end - at >= group;
    const int64_t end = is_whole ? heads.end / group * group : std::min(heads.end, (at / group + 1) * group);
    runs.push_back({.first = at - heads.begin,
                    .heads = end - at,
                    .first_kv = at / group - first_kv,
                    .kv_heads = is_whole ? (end - at) / group : 1});
    at = end;
  }
  return runs;
}

// a.attn's columns of our heads = attention of a.normed; stores k and v in the KV cache.
void attend(LayerPass& pass, const GqaWeights& w, Range heads) {
  Context& ctx = pass.ctx;
  const ModelConfig& c = pass.config;
  const int64_t tokens = pass.tokens;
  const int64_t kv_heads = w.k_proj.out_features() / c.head_dim;
  const int64_t q_size = heads.size() * c.head_dim;
  const int64_t kv_size = kv_heads * c.head_dim;
  const float* x = pass.a.normed.as<float>();
  const TensorView q_rows{pass.a.q.as<float>(), DType::kF32, {tokens, q_size}};
  const TensorView k_rows{pass.a.k.as<float>(), DType::kF32, {tokens, kv_size}};
  const TensorView v_rows{pass.a.v.as<float>(), DType::kF32, {tokens, kv_size}};
  auto* q = q_rows.as<float>();
  auto* k = k_rows.as<float>();
  auto* v = v_rows.as<float>();

  linear(ctx, {{.weight = &w.q_proj, .x = x, .y = q, .tokens = tokens},
               {.weight = &w.k_proj, .x = x, .y = k, .tokens = tokens},
               {.weight = &w.v_proj, .x = x, .y = v, .tokens = tokens}});
  pass.record("self_attn.q_proj", q_rows);
  pass.record("self_attn.k_proj", k_rows);
  pass.record("self_attn.v_proj", v_rows);

  if (c.use_qk_norm) {
    const auto head_norm = [&](float* rows, int64_t count, ConstTensorView weight) {
      rms_norm(ctx, {.x = rows,
                     .out = rows,
                     .weight = weight.as<float>(),
                     .size = c.head_dim,
                     .tokens = tokens,
                     .per_token = count,
                     .x_token_stride = count * c.head_dim,
                     .out_token_stride = count * c.head_dim,
                     .eps = c.rms_norm_eps});
    };
    head_norm(q, heads.size(), w.q_norm);
    head_norm(k, kv_heads, w.k_norm);
    pass.record("self_attn.q_norm", q_rows);
    pass.record("self_attn.k_norm", k_rows);
  }
  const auto rotate = [&](float* rows, int64_t count) {
    rope(ctx, {.table = pass.rope,
               .x = rows,
               .tokens = tokens,
               .heads = count,
               .token_stride = count * c.head_dim,
               .head_stride = c.head_dim});
  };
  rotate(q, heads.size());
  rotate(k, kv_heads);

  store_kv(ctx, {.k = k, .k_stride = kv_size, .v = v, .v_stride = kv_size, .batch = &pass.batch, .kv = pass.kv});
  for (const HeadRun& run : runs_of(heads, c.num_attention_heads / c.num_key_value_heads)) {
    attention(ctx, {.q = q + run.first * c.head_dim,
                    .q_token_stride = q_size,
                    .q_head_stride = c.head_dim,
                    .out = pass.a.attn.as<float>() + (heads.begin + run.first) * c.head_dim,
                    .out_token_stride = c.num_attention_heads * c.head_dim,
                    .out_head_stride = c.head_dim,
                    .heads = run.heads,
                    .scale = static_cast<float>(c.attention_scale),
                    .batch = &pass.batch,
                    .kv = pass.kv.heads(run.first_kv, run.kv_heads)});
  }
}

}  // namespace

void attention_gqa(LayerPass& pass, const GqaWeights& w) {
  const LayerCuts& cuts = pass.placement.cuts;
  const Range heads = cuts.heads == nullptr ? Range{0, pass.config.num_attention_heads} : cuts.heads->own();
  const TensorView attn = PassMemory::rows(pass.a.attn, pass.tokens);
  if (!heads.empty()) attend(pass, w, heads);
  pass.gather(cuts.attn, attn, "attention of heads");
  linear(pass.ctx, w.o_proj, attn, PassMemory::rows(pass.a.attn_out, pass.tokens));
}

}  // namespace glimmer
