#include "ops/attention.h"

#include "base/check.h"
#include "ops/op_table.h"

namespace glimmer {

void store_kv(Context& ctx, const KvRows& rows, std::span<const AttentionSequence> sequences) {
  for (const AttentionSequence& s : sequences) {
    const KvLayout& layout = s.kv.layout;
    GLIMMER_CHECK(layout.values_in_keys == (rows.v == nullptr), "values {} among keys",
                  layout.values_in_keys ? "lie" : "do not lie");
  }
  ctx.device().ops().store_kv(ctx, rows, sequences);
}

void attention(Context& ctx, const AttentionCall& call) {
  if (call.sequences.empty()) return;
  const int64_t kv_heads = call.sequences.front().kv.layout.kv_heads;
  GLIMMER_CHECK(kv_heads > 0 && call.heads % kv_heads == 0, "{} heads, {} kv heads", call.heads, kv_heads);
  ctx.device().ops().attention(ctx, call);
}

}  // namespace glimmer
