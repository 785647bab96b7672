// Estimates how a model would run on a machine, from sizes and measured ceilings alone.
#pragma once

#include "engine/workload.h"

namespace glimmer {

// Fractions of the ceilings that Glimmer reaches, about as docs/perf.md has them for AMX: decode 57 to 88 % of memory
// bandwidth, prefill of 512 tokens 23 to 27 % of bf16 throughput (more without AMX).
inline constexpr double kDecodeOfRead = 0.7;
inline constexpr double kPrefillOfPeak = 0.2;

// Memory beside weights and KV cache: activations, code, tables. docs/perf.md allows a run this much.
inline constexpr int64_t kWorkingBytes = 400'000'000;

inline constexpr int64_t kPlanPromptTokens = 512;

struct Plan {
  int64_t weights_bytes = 0;
  int64_t kv_bytes = 0;                // for the context that was asked for
  int64_t need_bytes = 0;              // with kWorkingBytes
  bool fits = false;                   // in what is available
  double prefill_tok_s = 0;            // of a prompt of kPlanPromptTokens
  double decode_tok_s = 0;             // after it
  double decode_at_context_tok_s = 0;  // when the context is full
};

struct PlanInput {
  Workload work;
  int64_t weights_bytes = 0;
  int64_t context_tokens = 0;
  int64_t available_bytes = 0;
  double read_gb_s = 0;
  double bf16_tflop_s = 0;
};
Plan make_plan(const PlanInput& input);

}  // namespace glimmer
