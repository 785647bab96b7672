#include "ops/gather.h"

#include "base/check.h"
#include "ops/op_table.h"

namespace glimmer {

void gather_columns(Context& ctx, const GatherColumnsCall& call) {
  if (call.cut == nullptr || ctx.group().size() == 1) return;
  GLIMMER_CHECK(
      call.x.dtype == DType::kF32 && call.x.shape == Shape({call.x.shape[0], call.cut->rows}) &&
          static_cast<int>(call.cut->of_rank.size()) == ctx.group().size() && call.cut->rank == ctx.group().rank(),
      "gather {}: x {}, {} columns of {} ranks, rank {} of {}", comm::describe(call.exchange), call.x.shape.to_string(),
      call.cut->rows, call.cut->of_rank.size(), ctx.group().rank(), ctx.group().size());
  ctx.device().ops().gather_columns(ctx, call);
}

}  // namespace glimmer
