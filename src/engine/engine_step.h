// One step of the engine: runs its sequences' shares, tells prompts' logprobs, and samples. Nothing here decides what
// runs.
#pragma once

#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "engine/engine_request.h"
#include "engine/runner.h"

namespace glimmer {

// A sequence's share of a step: as many of its pending tokens.
struct EngineShare {
  std::shared_ptr<EngineSequence> request;
  int64_t tokens = 0;
};

// What a share has come to.
struct EngineOutcome {
  bool is_ready = false;               // all that was pending has run
  std::vector<GeneratedToken> tokens;  // that its sequence has taken: one, and more where they were drafted
  std::exception_ptr error;            // of this sequence alone
};

class EngineStep {
 public:
  explicit EngineStep(Runner& runner) : runner_(runner) {}

  // An outcome for each share. Throws what the model throws, or when memory is out: then none of them can go on.
  std::vector<EngineOutcome> run(std::span<const EngineShare> shares);

 private:
  void score_prompts(std::span<const EngineShare> shares);
  std::vector<GeneratedToken> score(ConstTensorView logits, std::span<const int32_t> next, int top);
  std::vector<EngineOutcome> sample(std::span<const EngineShare> shares, std::span<const int64_t> first_rows);

  Runner& runner_;
};

}  // namespace glimmer
