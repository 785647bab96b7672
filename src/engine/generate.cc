#include "engine/generate.h"

#include <chrono>

#include "base/error.h"

namespace glimmer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Generator::Generator(Forward& forward, const std::atomic<bool>* cancelled) : forward_(forward) {
  forward_.context().set_cancelled(cancelled);
}

Generator::~Generator() { forward_.context().set_cancelled(nullptr); }

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
    step(sequence, on_token);
    if (sequence.kv().size_tokens() > position) {
      ++timings.decode_tokens;
      timings.decode_bytes += forward_.active_bytes(position, sequence.kv().type());
    }
  }
  timings.decode_s = seconds_since(decode_start);
  return timings;
}

void Generator::step(Sequence& sequence, const TokenCallback& on_token) {
  const std::span<const int32_t> tokens = sequence.pending(forward_.chunk_tokens());
  const bool is_last = static_cast<int64_t>(tokens.size()) == sequence.pending_count();
  ConstTensorView logits;
  try {
    logits = forward_.run(tokens, sequence.kv(), is_last ? LogitsFor::kLastToken : LogitsFor::kNone);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCancelled) throw;
    sequence.finish(FinishReason::kCancelled);
    return;
  }
  if (!is_last) return;
  const int32_t token = sequence.advance({logits.as<float>(), static_cast<size_t>(logits.shape.element_count())});
  if (sequence.finish_reason() == FinishReason::kStopToken || !on_token) return;
  if (on_token(token) == TokenAction::kStop) sequence.finish(FinishReason::kStopString);
}

}  // namespace glimmer
