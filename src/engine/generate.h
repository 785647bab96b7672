// Generation for one sequence at a time: prefill in chunks, then token by token.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "engine/drafter.h"
#include "engine/runner.h"
#include "engine/sequence.h"

namespace glimmer {

struct GenerationTimings {
  int64_t prefill_tokens = 0;  // run through the model, without those reused from the cache
  double prefill_s = 0;        // until the first token is sampled
  int64_t decode_tokens = 0;   // tokens generated after the first
  double decode_s = 0;
  int64_t decode_bytes = 0;  // weights, keys and values read by the decode steps

  double prefill_tokens_per_s() const { return prefill_s > 0 ? static_cast<double>(prefill_tokens) / prefill_s : 0; }
  double decode_tokens_per_s() const { return decode_s > 0 ? static_cast<double>(decode_tokens) / decode_s : 0; }
  double decode_gb_per_s() const { return decode_s > 0 ? static_cast<double>(decode_bytes) / decode_s * 1e-9 : 0; }
};

enum class TokenAction { kContinue, kStop };

// Receives each generated token except a stop token. Returning kStop ends the generation (kStopString): the engine does
// not see text, so the receiver has to match stop strings.
using TokenCallback = std::function<TokenAction(int32_t token)>;

// Who guesses ahead, and how many tokens at most. Null: no one.
struct Drafting {
  Drafter* drafter = nullptr;
  int64_t tokens = 4;
};

class Generator {
 public:
  // Any thread or signal handler may set `cancelled` at any time; it is polled between layers, through the runner. May
  // be null. What is given must outlive the generator.
  explicit Generator(Runner& runner, const std::atomic<bool>* cancelled = nullptr, Drafting drafting = {});
  ~Generator();
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  // Runs a started sequence to its end. The sequence tells the tokens and the reason, and can be started again.
  // Throws kInvalid for logits that are not finite; what the model throws passes through.
  GenerationTimings run(Sequence& sequence, const TokenCallback& on_token = {});

 private:
  // One chunk of the prompt, or one token and what is drafted. Gives the tokens that it sampled to the callback.
  void step(Sequence& sequence, const TokenCallback& on_token);

  Runner& runner_;
  const Drafting drafting_;
};

}  // namespace glimmer
