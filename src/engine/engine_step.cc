#include "engine/engine_step.h"

#include <algorithm>
#include <utility>

namespace glimmer {
namespace {

constexpr int64_t kLogitBytes = int64_t{64} << 20;  // of logits of a prompt's tokens at a time

// Samples as many tokens as there are rows for, from `row` on.
void sample_share(EngineSequence& request, const float* row, size_t vocab_size, EngineOutcome& outcome) {
  Sequence& sequence = request.sequence;
  for (; !sequence.finished() && sequence.pending_count() == 0; row += vocab_size) {
    const std::span<const float> logits(row, vocab_size);
    GeneratedToken token{.id = sequence.advance(logits)};
    if (request.top_logprobs >= 0) {
      Logprobs logprobs = logprobs_of(logits, token.id, request.top_logprobs);
      token.logprob = logprobs.chosen;
      token.top = std::move(logprobs.top);
    }
    outcome.tokens.push_back(std::move(token));
  }
}

}  // namespace

std::vector<EngineOutcome> EngineStep::run(std::span<const EngineShare> shares) {
  std::vector<SequenceTokens> batch;
  std::vector<int64_t> first_rows;  // of logits
  int64_t rows = 0;
  bool any_is_scored = false;
  for (const EngineShare& share : shares) {
    Sequence& sequence = share.request->sequence;
    const int64_t wanted = sequence.logits_rows(share.tokens);
    any_is_scored = any_is_scored || share.request->prompt_logprobs >= 0;
    batch.push_back({.tokens = sequence.pending(share.tokens), .kv = &sequence.kv(), .logits_rows = wanted});
    first_rows.push_back(rows);
    rows += wanted;
  }
  runner_.run(batch);
  if (any_is_scored) score_prompts(shares);
  return sample(shares, first_rows);
}

// The logprobs of the token after each row of logits, and of the `top` likeliest.
std::vector<GeneratedToken> EngineStep::score(ConstTensorView logits, std::span<const int32_t> next, int top) {
  const int64_t vocab_size = logits.shape[1];
  std::vector<GeneratedToken> scored(static_cast<size_t>(logits.shape[0]));
  std::vector<std::exception_ptr> errors(scored.size());
  runner_.pool().parallel_for(logits.shape[0], 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const auto at = static_cast<size_t>(row);
      try {
        Logprobs logprobs =
            logprobs_of({logits.as<float>() + row * vocab_size, static_cast<size_t>(vocab_size)}, next[at], top);
        scored[at] = {next[at], logprobs.chosen, std::move(logprobs.top)};
      } catch (...) {
        errors[at] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return scored;
}

// Computes prompt logprobs for requests that want them, in slices of bounded memory.
void EngineStep::score_prompts(std::span<const EngineShare> shares) {
  const int64_t row_bytes = runner_.config().vocab_size * static_cast<int64_t>(sizeof(float));
  const int64_t slice = std::max<int64_t>(1, kLogitBytes / row_bytes);
  int64_t first_row = 0;
  for (const EngineShare& share : shares) {
    EngineSequence& request = *share.request;
    const std::span<const int32_t> tokens = request.sequence.tokens();
    const int64_t past = request.sequence.kv().size_tokens() - share.tokens;
    const int64_t begin = std::max(past, request.scored_tokens);
    const int64_t end = std::min(past + share.tokens, request.sequence.prompt_count() - 1);
    for (int64_t at = begin; request.prompt_logprobs >= 0 && at < end; at += slice) {
      const int64_t count = std::min(slice, end - at);
      const ConstTensorView logits = runner_.logits_of_tokens(first_row + at - past, count);
      request.publish_prompt(score(logits, tokens.subspan(static_cast<size_t>(at + 1)), request.prompt_logprobs));
    }
    first_row += share.tokens;
  }
}

// Samples for the sequences with no pending tokens, in parallel.
std::vector<EngineOutcome> EngineStep::sample(std::span<const EngineShare> shares,
                                              std::span<const int64_t> first_rows) {
  std::vector<EngineOutcome> outcomes(shares.size());
  const ConstTensorView logits = runner_.logits();
  const auto vocab_size = static_cast<size_t>(runner_.config().vocab_size);
  runner_.pool().parallel_for(static_cast<int64_t>(shares.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      EngineSequence& request = *shares[i].request;
      outcomes[i].is_ready = request.sequence.pending_count() == 0;
      if (!outcomes[i].is_ready || !request.sequence.generates()) continue;
      try {
        const float* row = logits.as<float>() + static_cast<size_t>(first_rows[i]) * vocab_size;
        sample_share(request, row, vocab_size, outcomes[i]);
      } catch (...) {
        outcomes[i].error = std::current_exception();
      }
    }
  });
  return outcomes;
}

}  // namespace glimmer
