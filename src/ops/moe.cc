#include "ops/moe.h"

#include "ops/op_table.h"

namespace glimmer {

void moe_route(Context& ctx, const RouteCall& call) {
  const int64_t tokens = call.logits.shape[0];
  const int64_t count = call.rule.n_routed_experts;
  GLIMMER_CHECK(call.logits.shape == Shape({tokens, count}) &&
                    call.weights.shape == Shape({tokens, call.rule.num_experts_per_tok}) &&
                    call.experts.shape == call.weights.shape &&
                    (call.bias.empty() || call.bias.shape == Shape({count})),
                "moe_route: logits {}, weights {}, experts {}", call.logits.shape.to_string(),
                call.weights.shape.to_string(), call.experts.shape.to_string());
  ctx.device().ops().route(ctx, call);
}

void moe_experts(Context& ctx, const MoeCall& call) {
  GLIMMER_CHECK(call.out.shape == call.x.shape && call.weights.shape == call.chosen.shape &&
                    call.chosen.shape[0] == call.x.shape[0],
                "moe_experts: x {}, chosen {}, weights {}, out {}", call.x.shape.to_string(),
                call.chosen.shape.to_string(), call.weights.shape.to_string(), call.out.shape.to_string());
  ctx.device().ops().moe(ctx, call);
}

}  // namespace glimmer
