#include "ops/mla.h"

#include <bit>
#include <vector>

#include "ops/cpu/attention.h"
#include "ops/cpu/encode.h"
#include "ops/cpu/gather.h"
#include "ops/cpu/linear.h"
#include "ops/cpu/op_bodies.h"
#include "ops/cpu/rope.h"

namespace glimmer::cpu {
namespace {

// From this many tokens on, activations between two per-head matmuls are encoded for the second by the thread that
// computes them. As f32 they are the largest activations of all: 84 MB a layer for o_proj of GLM-4.7-Flash at 2,048
// tokens (docs/perf.md). Those of fewer tokens stay in the caches anyway.
constexpr int64_t kManyTokens = 64;

// Room for bytes_of(tokens). Grows to the next power of two, so that growing prompts do not reallocate each time.
template <typename BytesOf>
std::byte* room_for(Buffer& buffer, int64_t tokens, const BytesOf& bytes_of) {
  if (static_cast<int64_t>(buffer.size_bytes()) >= bytes_of(tokens)) return buffer.as<std::byte>();
  return at_least(buffer, bytes_of(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tokens)))));
}

float* f32_rows(Buffer& buffer, int64_t tokens, int64_t columns) {
  const auto bytes_of = [&](int64_t rows) { return rows * columns * static_cast<int64_t>(sizeof(float)); };
  return reinterpret_cast<float*>(room_for(buffer, tokens, bytes_of));
}

std::vector<EncodedLinearCall> calls_of_heads(std::span<const LinearWeight> weights, const EncodedHeads& x,
                                              int64_t tokens) {
  std::vector<EncodedLinearCall> calls;
  for (const LinearWeight& weight : weights) {
    const auto head = static_cast<int64_t>(calls.size());
    calls.push_back({.weight = &weight, .x = {x.type, x.row(head, 0), x.row_bytes}, .tokens = tokens});
  }
  return calls;
}

// out = o_proj(attn), where attn [tokens, o_proj's columns] holds the columns of our heads.
void project_out(Pass& ctx, const MlaCall& call, float* attn) {
  const int64_t columns = call.o_proj->in_features();
  if (call.attn_cut != nullptr) {
    const comm::GatherCall gather = gather_call(*call.attn_cut, attn, call.tokens(), columns);
    ctx.context().group().gather({"attention of heads"}, {&gather, 1});
  }
  const LinearCall o_call{.weight = call.o_proj,
                          .x = attn,
                          .y = call.out.as<float>() + call.o_proj->first_row(),
                          .tokens = call.tokens(),
                          .y_stride = call.o_proj->whole_rows()};
  record_inputs(ctx.context(), {&o_call, 1});
  linear(ctx, {&o_call, 1});
}

class Mla {
 public:
  Mla(Context& context, const MlaCall& call)
      : ctx_(context),
        call_(call),
        workspace_(ctx_.device().mla_workspace()),
        tokens_(call.tokens()),
        heads_(call.heads()),
        nope_(call.qk_nope_head_dim()),
        qk_(call.qk_head_dim()),
        latent_(call.kv_lora_rank()),
        row_(call.row_values()),
        v_dim_(call.v_head_dim()),
        attn_columns_(call.o_proj->in_features()),
        first_attn_column_(call.attn_cut == nullptr ? 0 : call.attn_cut->own().begin),
        query_(f32_rows(workspace_.query, tokens_, heads_ * row_)) {}

  void run() {
    const LinearCall q_call{.weight = call_.q_proj, .x = call_.x.as<float>(), .tokens = tokens_};
    record_inputs(ctx_.context(), {&q_call, 1});
    if (writes_encoded(qk_, call_.k_b.front())) {
      absorb_many_queries(q_call);
    } else {
      absorb_queries(q_call);
    }
    if (reads_encoded(call_.v_b.front())) {
      attend_encoded();
    } else {
      attend_plain();
    }
  }

 private:
  bool reads_encoded(const LinearWeight& reader) {
    return ctx_.activation_type(reader.weight.layout) != kernels::ActivationType::kF32 &&
           !ctx_.context().wants_input(reader.name);
  }
  // Whether a matmul whose outputs are `head_dim` wide for each head encodes them for `reader`.
  bool writes_encoded(int64_t head_dim, const LinearWeight& reader) {
    return tokens_ >= kManyTokens && head_dim == kOutputColumns && reads_encoded(reader) &&
           !ctx_.context().wants(call_.q_what, call_.layer);
  }
  // Whether queries are stored as the bf16 that attention would round them to, [heads, tokens, ..].
  bool rounds_queries() {
    return writes_encoded(qk_, call_.k_b.front()) && !call_.batch->sequences.empty() &&
           takes_bf16_queries(ctx_, call_.kv.layout);
  }

  // Room for rows of all heads in the type that `reader`, one head's weight, takes.
  EncodedHeads encoded_heads(const LinearWeight& reader, Buffer& buffer) const {
    const kernels::ActivationType type = ctx_.activation_type(reader.weight.layout);
    const auto head_bytes = [&](int64_t tokens) { return encoded_bytes(type, reader.in_features(), tokens); };
    return {.type = type,
            .data = room_for(buffer, tokens_, [&](int64_t tokens) { return heads_ * head_bytes(tokens); }),
            .row_bytes = kernels::activation_row_bytes(type, reader.in_features()),
            .head_bytes = head_bytes(tokens_)};
  }

  // query_ = for each head [k_b[h] q_nope[h] | q_pe[h], rotated], f32 [tokens, heads, row].
  void absorb_queries(LinearCall q_call) {
    float* q = f32_rows(workspace_.q, tokens_, heads_ * qk_);
    q_call.y = q;
    linear(ctx_, {&q_call, 1});
    ctx_.context().record(call_.q_what, call_.layer, TensorView{q, DType::kF32, {tokens_, heads_ * qk_}});
    rotate(ctx_, {.rope = {.table = call_.rope,
                           .x = q + nope_,
                           .tokens = tokens_,
                           .heads = heads_,
                           .token_stride = heads_ * qk_,
                           .head_stride = qk_},
                  .out = query_ + latent_,
                  .out_token_stride = heads_ * row_,
                  .out_head_stride = row_});
    std::vector<LinearCall> calls;
    for (int64_t h = 0; h < heads_; ++h) {
      calls.push_back({.weight = &call_.k_b[static_cast<size_t>(h)],
                       .x = q + h * qk_,
                       .y = query_ + h * row_,
                       .tokens = tokens_,
                       .x_stride = heads_ * qk_,
                       .y_stride = heads_ * row_});
    }
    record_inputs(ctx_.context(), calls);
    linear(ctx_, calls);
  }

  // The same for many tokens: intermediates are encoded, and queries rounded, by the thread that computes them.
  void absorb_many_queries(const LinearCall& q_call) {
    uint16_t* rounded = rounds_queries() ? reinterpret_cast<uint16_t*>(query_) : nullptr;
    // Columns of a head from `first` on.
    const auto round = [&](const float* x, int64_t x_stride, const OutputBlock& block, int64_t head, int64_t first,
                           int64_t columns) {
      ctx_.kernels().round_queries(x, x_stride, block.tokens, columns,
                                   rounded + (head * tokens_ + block.first_token) * row_ + first, row_);
    };
    const EncodedHeads q_nope = encoded_heads(call_.k_b.front(), workspace_.q_nope_encoded);
    linear(ctx_, {&q_call, 1}, [&](const OutputBlock& block) {
      const int64_t head = block.first_column / qk_;
      ctx_.kernels().encode_activations(q_nope.type, block.y, qk_, block.tokens, nope_, 0, nope_,
                                        q_nope.row(head, block.first_token), q_nope.row_bytes);
      float* q_pe = block.y + nope_;
      RotateCall call{.rope = {.table = call_.rope.from(block.first_token),
                               .x = q_pe,
                               .tokens = block.tokens,
                               .heads = 1,
                               .token_stride = qk_}};
      if (rounded == nullptr) {
        call.out = query_ + (block.first_token * heads_ + head) * row_ + latent_;
        call.out_token_stride = heads_ * row_;
      }
      rotate_here(ctx_, call);
      if (rounded != nullptr) round(q_pe, qk_, block, head, latent_, call_.qk_rope_head_dim());
    });
    std::vector<EncodedLinearCall> calls = calls_of_heads(call_.k_b, q_nope, tokens_);
    if (rounded != nullptr) {
      linear(ctx_, calls, [&](const OutputBlock& block) {
        round(block.y, block.columns, block, static_cast<int64_t>(block.call), block.first_column, block.columns);
      });
      return;
    }
    for (size_t h = 0; h < calls.size(); ++h) {
      calls[h].y = query_ + static_cast<int64_t>(h) * row_;
      calls[h].y_stride = heads_ * row_;
    }
    linear(ctx_, calls);
  }

  CpuAttentionCall attention_call() {
    CpuAttentionCall call{.q_token_stride = heads_ * row_,
                          .q_head_stride = row_,
                          .heads = heads_,
                          .scale = call_.scale,
                          .batch = call_.batch,
                          .kv = call_.kv};
    if (rounds_queries()) {
      call.q_bf16 = reinterpret_cast<const uint16_t*>(query_);
      call.q_token_stride = row_;
      call.q_head_stride = tokens_ * row_;
    } else {
      call.q = query_;
    }
    return call;
  }

  void attend_plain() {
    float* latent_out = f32_rows(workspace_.latent_out, tokens_, heads_ * latent_);
    float* attn = f32_rows(workspace_.attn, tokens_, attn_columns_);
    CpuAttentionCall call = attention_call();
    call.out = latent_out;
    call.out_token_stride = heads_ * latent_;
    call.out_head_stride = latent_;
    attention(ctx_, call);
    std::vector<LinearCall> calls;
    for (int64_t h = 0; h < heads_; ++h) {
      calls.push_back({.weight = &call_.v_b[static_cast<size_t>(h)],
                       .x = latent_out + h * latent_,
                       .y = attn + first_attn_column_ + h * v_dim_,
                       .tokens = tokens_,
                       .x_stride = heads_ * latent_,
                       .y_stride = attn_columns_});
    }
    record_inputs(ctx_.context(), calls);
    linear(ctx_, calls);
    project_out(ctx_, call_, attn);
  }

  // Attention's output is encoded for v_b by the thread that computes it, and with many tokens v_b's output for o_proj.
  void attend_encoded() {
    CpuAttentionCall call = attention_call();
    call.encoded_out = encoded_heads(call_.v_b.front(), workspace_.latent_out_encoded);
    attention(ctx_, call);
    std::vector<EncodedLinearCall> calls = calls_of_heads(call_.v_b, call.encoded_out, tokens_);
    if (call_.attn_cut == nullptr && writes_encoded(v_dim_, *call_.o_proj)) {
      project_out_encoded(calls);
      return;
    }
    float* attn = f32_rows(workspace_.attn, tokens_, attn_columns_);
    for (size_t h = 0; h < calls.size(); ++h) {
      calls[h].y = attn + first_attn_column_ + static_cast<int64_t>(h) * v_dim_;
      calls[h].y_stride = attn_columns_;
    }
    linear(ctx_, calls);
    project_out(ctx_, call_, attn);
  }

  // out = o_proj(v_b), with v_b's outputs encoded block by block.
  void project_out_encoded(std::span<const EncodedLinearCall> v_b) {
    const kernels::ActivationType type = ctx_.activation_type(call_.o_proj->weight.layout);
    const int64_t columns = call_.o_proj->in_features();
    std::byte* encoded = room_for(workspace_.attn_encoded, tokens_,
                                  [&](int64_t tokens) { return encoded_bytes(type, columns, tokens); });
    const kernels::EncodedRows x{type, encoded, kernels::activation_row_bytes(type, columns)};
    linear(ctx_, v_b, [&](const OutputBlock& block) {
      const int64_t first = static_cast<int64_t>(block.call) * v_dim_;
      // The encoder addresses columns from the start of the row, so x is set back by the block's first column.
      ctx_.kernels().encode_activations(type, block.y - first, block.columns, block.tokens, columns, first,
                                        first + block.columns, encoded + block.first_token * x.row_bytes, x.row_bytes);
    });
    const EncodedLinearCall o_call{.weight = call_.o_proj,
                                   .x = x,
                                   .y = call_.out.as<float>() + call_.o_proj->first_row(),
                                   .tokens = tokens_,
                                   .y_stride = call_.o_proj->whole_rows()};
    linear(ctx_, std::span(&o_call, 1));
  }

  Pass ctx_;
  const MlaCall& call_;
  MlaWorkspace& workspace_;
  int64_t tokens_;
  int64_t heads_;
  int64_t nope_;
  int64_t qk_;
  int64_t latent_;
  int64_t row_;
  int64_t v_dim_;
  int64_t attn_columns_;       // of o_proj's input
  int64_t first_attn_column_;  // of our heads
  float* query_;
};

}  // namespace

void mla(Context& context, const MlaCall& call) {
  if (!call.k_b.empty()) {
    Mla(context, call).run();
    return;
  }
  Pass ctx(context);
  project_out(ctx, call, f32_rows(ctx.device().mla_workspace().attn, call.tokens(), call.o_proj->in_features()));
}

}  // namespace glimmer::cpu
