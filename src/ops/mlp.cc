#include "ops/mlp.h"

#include "ops/op_table.h"

namespace glimmer {

int64_t size_bytes(const MlpWeights& w) {
  return size_bytes(w.gate_proj) + size_bytes(w.up_proj) + size_bytes(w.down_proj);
}

void mlps(Context& ctx, std::span<const MlpCall> calls, ConstTensorView x) {
  for (const MlpCall& call : calls) {
    const MlpWeights& w = *call.weights;
    GLIMMER_CHECK(w.gate_proj.in_features() == x.shape[1] && w.up_proj.in_features() == x.shape[1] &&
                      w.up_proj.out_features() == w.gate_proj.out_features() &&
                      w.down_proj.in_features() == w.gate_proj.whole_rows(),
                  "mlp {}: x {}, gate [{}, {}], up [{}, {}], down [{}, {}]", w.gate_proj.name, x.shape.to_string(),
                  w.gate_proj.out_features(), w.gate_proj.in_features(), w.up_proj.out_features(),
                  w.up_proj.in_features(), w.down_proj.out_features(), w.down_proj.in_features());
  }
  ctx.device().ops().mlps(ctx, calls, x);
}

}  // namespace glimmer
