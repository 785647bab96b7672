#include "model/experts/resident.h"

namespace glimmer {

void ResidentExperts::run(Context& ctx, const ExpertCall& call) const {
  moe_experts(ctx, {.experts = experts_,
                    .shared_experts = call.shared_experts,
                    .x = call.x,
                    .weights = call.weights,
                    .chosen = call.chosen,
                    .out = call.out});
}

int64_t ResidentExperts::size_bytes() const {
  int64_t bytes = 0;
  for (const MlpWeights& expert : experts_) bytes += glimmer::size_bytes(expert);
  return bytes;
}

int64_t ResidentExperts::one_expert_bytes() const { return glimmer::size_bytes(experts_.front()); }

}  // namespace glimmer
