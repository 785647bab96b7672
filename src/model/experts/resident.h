// Experts in the memory of the device that runs the layer.
#pragma once

#include <vector>

#include "model/experts/bank.h"

namespace glimmer {

class ResidentExperts final : public ExpertBank {
 public:
  explicit ResidentExperts(std::vector<MlpWeights> experts) : experts_(std::move(experts)) {}  // [n_routed_experts]

  void run(Context& ctx, const ExpertCall& call) const override;
  int64_t size_bytes() const override;
  int64_t one_expert_bytes() const override;

 private:
  std::vector<MlpWeights> experts_;
};

}  // namespace glimmer
