#include "engine/plan.h"

#include <algorithm>

namespace glimmer {
namespace {

// Roofline: a step takes as long as the slower of memory reads and multiplication.
double step_seconds(const PlanInput& in, double bytes, double flop) {
  return std::max(bytes / (kDecodeOfRead * in.read_gb_s * 1e9), flop / (kPrefillOfPeak * in.bf16_tflop_s * 1e12));
}

double decode_tok_s(const PlanInput& in, int64_t past) {
  const auto experts = static_cast<double>(in.work.num_experts_per_tok);
  return 1 / step_seconds(in, step_bytes(in.work, experts, past + 1), step_flop(in.work, past, 1, 1));
}

}  // namespace

Plan make_plan(const PlanInput& in) {
  Plan plan{.weights_bytes = in.weights_bytes, .kv_bytes = in.work.kv_bytes_per_token * in.context_tokens};
  plan.need_bytes = plan.weights_bytes + plan.kv_bytes + kWorkingBytes;
  plan.fits = plan.need_bytes <= in.available_bytes;
  const int64_t prompt = std::min(kPlanPromptTokens, in.context_tokens);
  plan.prefill_tok_s =
      static_cast<double>(prompt) / step_seconds(in, step_bytes(in.work, expected_experts(in.work, prompt), prompt),
                                                 step_flop(in.work, 0, prompt, 1));
  plan.decode_tok_s = decode_tok_s(in, prompt - 1);
  plan.decode_at_context_tok_s = decode_tok_s(in, in.context_tokens - 1);
  return plan;
}

}  // namespace glimmer
