#include "ops/mla.h"

#include "ops/op_table.h"

namespace glimmer {

void mla_attention(Context& ctx, const MlaCall& call) {
  GLIMMER_CHECK((!call.k_b.empty() || call.attn_cut != nullptr) && call.v_b.size() == call.k_b.size(),
                "mla: {} heads of k_b, {} of v_b", call.k_b.size(), call.v_b.size());
  GLIMMER_CHECK(call.out.shape == Shape({call.tokens(), call.o_proj->whole_rows()}), "mla: out {}",
                call.out.shape.to_string());
  if (call.k_b.empty()) {  // a rank without heads
    ctx.device().ops().mla(ctx, call);
    return;
  }
  const int64_t columns = call.attn_cut == nullptr ? call.o_proj->in_features() : call.attn_cut->own().size();
  GLIMMER_CHECK(call.q_proj->out_features() == call.heads() * call.qk_head_dim() &&
                    columns == call.heads() * call.v_head_dim() &&
                    call.v_b.front().in_features() == call.kv_lora_rank(),
                "mla of {} heads: q_proj [{}, {}], o_proj [{}, {}], v_b [{}, {}]", call.heads(),
                call.q_proj->out_features(), call.q_proj->in_features(), call.o_proj->out_features(),
                call.o_proj->in_features(), call.v_head_dim(), call.v_b.front().in_features());
  GLIMMER_CHECK(call.x.shape == Shape({call.tokens(), call.q_proj->in_features()}), "mla: x {}",
                call.x.shape.to_string());
  const KvLayout& layout = call.kv.layout;
  GLIMMER_CHECK(layout.values_in_keys && layout.qk_dim == call.row_values() && layout.v_dim == call.kv_lora_rank(),
                "mla: cached rows of {} and {} values, expected {} and {}", layout.qk_dim, layout.v_dim,
                call.row_values(), call.kv_lora_rank());
  ctx.device().ops().mla(ctx, call);
}

}  // namespace glimmer
