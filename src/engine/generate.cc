#include "engine/generate.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace glimmer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Generator::Generator(Runner& runner, const std::atomic<bool>* cancelled, Drafting drafting)
    : runner_(runner), drafting_(drafting) {
  runner_.set_cancelled(cancelled);
}

Generator::~Generator() { runner_.set_cancelled(nullptr); }

GenerationTimings Generator::run(Sequence& sequence, const TokenCallback& on_token) {
  GenerationTimings timings;
  const int64_t reused = sequence.kv().size_tokens();
  const auto prefill_start = Clock::now();
  while (!sequence.finished() && sequence.generated().empty()) step(sequence, on_token);
  timings.prefill_s = seconds_since(prefill_start);
  timings.prefill_tokens = sequence.kv().size_tokens() - reused;

  const auto decode_start = Clock::now();
  while (!sequence.finished()) {
    const int64_t position = sequence.kv().size_tokens();
    const auto generated = static_cast<int64_t>(sequence.generated().size());
    step(sequence, on_token);
    if (sequence.kv().size_tokens() > position) {
      timings.decode_tokens += static_cast<int64_t>(sequence.generated().size()) - generated;
      timings.decode_bytes += runner_.active_bytes(position, sequence.kv().type());
    }
  }
  timings.decode_s = seconds_since(decode_start);
  return timings;
}

void Generator::step(Sequence& sequence, const TokenCallback& on_token) {
  const int64_t chunk = runner_.chunk_tokens();
  if (drafting_.drafter != nullptr) draft(*drafting_.drafter, sequence, std::min(drafting_.tokens, chunk - 1));
  const std::span<const int32_t> tokens = sequence.pending(chunk);
  ConstTensorView logits;
  try {
    logits = runner_.run(tokens, sequence.kv(), sequence.logits_rows(chunk));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCancelled) throw;
    sequence.finish(FinishReason::kCancelled);
    return;
  }
  const auto vocab_size = static_cast<size_t>(runner_.config().vocab_size);
  const float* row = logits.as<float>();
  for (; !sequence.finished() && sequence.generates() && sequence.pending_count() == 0; row += vocab_size) {
    const int32_t token = sequence.advance({row, vocab_size});
    if (sequence.finish_reason() == FinishReason::kStopToken || !on_token) continue;
    if (on_token(token) == TokenAction::kStop) sequence.finish(FinishReason::kStopString);
  }
}

}  // namespace glimmer
