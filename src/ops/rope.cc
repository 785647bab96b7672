#include "ops/rope.h"

#include "base/check.h"
#include "ops/op_table.h"

namespace glimmer {

void fill_rope(Context& ctx, const FillRopeCall& call) { ctx.device().ops().fill_rope(ctx, call); }

void rope(Context& ctx, const RopeCall& call) {
  GLIMMER_CHECK(call.heads <= 1 || call.head_stride >= call.table.rotary_dim, "rope of {} values: heads {} apart",
                call.table.rotary_dim, call.head_stride);
  ctx.device().ops().rope(ctx, call);
}

}  // namespace glimmer
