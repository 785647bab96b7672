#include "ops/attention.h"

#include "base/check.h"
#include "ops/op_table.h"

namespace glimmer {

namespace {

void check_pages(const Batch& batch) {
  for (const BatchSequence& s : batch.sequences) {
    const auto room = static_cast<int64_t>(s.pages.size()) * kernels::kAttentionBlock;
    GLIMMER_CHECK(room >= s.past_tokens + s.tokens, "{} pages for {} tokens", s.pages.size(), s.past_tokens + s.tokens);
  }
}

}  // namespace

void store_kv(Context& ctx, const StoreKvCall& call) {
  const bool apart = call.v != nullptr;
  GLIMMER_CHECK(call.kv.layout.values_in_keys != apart, "values {} among keys", apart ? "do not lie" : "lie");
  check_pages(*call.batch);
  ctx.device().ops().store_kv(ctx, call);
}

void attention(Context& ctx, const AttentionCall& call) {
  if (call.batch->sequences.empty()) return;
  const int64_t kv_heads = call.kv.layout.kv_heads;
  GLIMMER_CHECK(kv_heads > 0 && call.heads % kv_heads == 0, "{} heads, {} kv heads", call.heads, kv_heads);
  check_pages(*call.batch);
  ctx.device().ops().attention(ctx, call);
}

}  // namespace glimmer
