#include "ops/gather.h"

#include "ops/cpu/gather.h"
#include "ops/cpu/op_bodies.h"

namespace glimmer::cpu {

comm::GatherCall gather_call(const RowCut& cut, float* rows, int64_t count, int64_t stride) {
  constexpr int64_t kFloatBytes = sizeof(float);
  return {.data = reinterpret_cast<std::byte*>(rows),
          .rows = count,
          .row_bytes = stride * kFloatBytes,
          .of_rank = cut.of_rank,
          .bytes_per_unit = kFloatBytes};
}

void gather_columns(Context& ctx, const GatherColumnsCall& call) {
  const comm::GatherCall gather = gather_call(*call.cut, call.x.as<float>(), call.x.shape[0], call.cut->rows);
  ctx.group().gather(call.exchange, {&gather, 1});
}

}  // namespace glimmer::cpu
