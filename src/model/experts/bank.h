// The routed experts of a layer, wherever they are: in this device's memory today.
#pragma once

#include <cstdint>

#include "ops/moe.h"

namespace glimmer {

// What a layer asks of its experts: MoeCall without them.
struct ExpertCall {
  const MlpWeights* shared_experts = nullptr;  // null: none
  ConstTensorView x;                           // [tokens, hidden_size] f32
  ConstTensorView weights;                     // [tokens, num_experts_per_tok] f32
  ConstTensorView chosen;                      // [tokens, num_experts_per_tok] i32
  TensorView out;                              // [tokens, hidden_size] f32
};

// Immutable, as weights are. Each expert is in exactly one place.
class ExpertBank {
 public:
  virtual ~ExpertBank() = default;

  //   out[t] = sum over k of weights[t][k] * expert[chosen[t][k]](x[t])  +  shared_experts(x[t])
  // Sums run in the order of k, the shared expert last, wherever the experts are: a token's result depends neither on
  // the other tokens nor on places. Where down_proj is cut, only our columns of `out` are written.
  virtual void run(Context& ctx, const ExpertCall& call) const = 0;

  // Of the experts that are here, as kernels read them; and of one.
  virtual int64_t size_bytes() const = 0;
  virtual int64_t one_expert_bytes() const = 0;
};

}  // namespace glimmer
