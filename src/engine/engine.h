// Generation for many sequences at once: continuous batching over pages of keys and values, with a prefix cache.
//
// One thread of its own owns the scheduler, the pages, the prefix cache and every sampler, and alone runs the model.
// Others submit requests, take the tokens that have come, and cancel; they never wait for a forward pass.
// docs/concurrency.md says which thread may touch what.
//
// The greedy tokens of a request are the same alone, in any batch, with or without a prefix hit, preempted or not: what
// a token's logits are depends on the tokens before it alone (docs/numerics.md).
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/logprobs.h"
#include "engine/sequence.h"
#include "model/model.h"
#include "ops/context.h"

namespace glimmer {

struct EngineOptions {
  int64_t max_sequences = 64;        // that run at once; the others wait
  int64_t max_waiting = 256;         // beyond them the queue is full
  int64_t chunk_tokens = 512;        // of prompts, in a step that also generates for others
  int64_t idle_chunk_tokens = 1024;  // in a step that does nothing else
  int64_t kv_bytes = 0;              // for pages of keys and values; 0: half of the memory that is available
  std::optional<KvType> kv_type;     // absent: as the context's precision has it
  bool prefix_cache = true;
  std::filesystem::path kv_dir;  // pages that memory has no room for go there, and are found again after a restart
  int64_t kv_dir_bytes = int64_t{16} << 30;  // the most that they take there
  std::string kv_fingerprint;                // tells this model's pages from others' there
  int64_t max_unread_tokens = 1024;          // of a request; it rests, without a place, until its reader takes some
};

struct EngineRequest {
  std::vector<int32_t> prompt;
  GenerationOptions generation;
  int top_logprobs = -1;  // -1: no logprobs; else each token with its own and those of the likeliest, 0 to 20
  // The same of the prompt's tokens. Then the prompt is read without the prefix cache, even if nothing is generated.
  int prompt_logprobs = -1;
  int priority = 0;         // larger first
  std::string tenant;       // who shares the machine fairly with other tenants of the same priority
  std::string cache_scope;  // prefixes are shared among requests of one scope only
};

struct GeneratedToken {
  int32_t id = 0;
  float logprob = 0;              // with top_logprobs >= 0
  std::vector<TokenLogprob> top;  // descending; ties by ascending id
};

struct RequestUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // of the prompt, found in the prefix cache
  int64_t generated_tokens = 0;  // a stop token counts
  int64_t preemptions = 0;
  double queue_s = 0;        // until it first ran
  double first_token_s = 0;  // from submit() to the first token; 0 if there is none
  double total_s = 0;
};

// One request, shared by the engine and whoever reads it. Every function may be called from any thread.
class RequestHandle {
 public:
  virtual ~RequestHandle() = default;

  struct News {
    // Of the prompt with prompt_logprobs: those behind the first, which nothing predicts. All come before other tokens.
    std::vector<GeneratedToken> prompt;
    std::vector<GeneratedToken> tokens;         // since the last take(), in their order; a stop token is not among them
    std::optional<GeneratedToken> stop_token;   // that ended it
    std::optional<FinishReason> finish_reason;  // set with or after the last token
    std::exception_ptr error;                   // why it ended, in place of a reason
    bool ended() const { return finish_reason.has_value() || error != nullptr; }
  };
  virtual News take() = 0;
  virtual RequestUsage usage() const = 0;

  // Ends it, with this reason, before the next step; its pages are free then. Nothing happens to one that has ended.
  virtual void finish(FinishReason reason) = 0;
  void cancel() { finish(FinishReason::kCancelled); }
};

// Counts since the start, and what is now. Histograms count values up to each bound, and beyond the last.
struct Histogram {
  static constexpr std::array<double, 16> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                     0.5,   1,      2.5,   5,    10,    30,   60,  300};
  std::array<int64_t, kBounds.size() + 1> counts{};
  double sum = 0;
  int64_t count = 0;

  void add(double value);
};

struct EngineStats {
  int64_t requests_finished = 0;  // for any reason but these two
  int64_t requests_cancelled = 0;
  int64_t requests_failed = 0;
  int64_t requests_refused = 0;  // because the queue is full, by submit() or later
  int64_t prompt_tokens = 0;     // run through the model or found in the cache
  int64_t cached_tokens = 0;     // of those, found
  int64_t generated_tokens = 0;
  int64_t preemptions = 0;
  int64_t steps = 0;
  int64_t batch_tokens = 0;     // of all steps
  int64_t batch_sequences = 0;  // of all steps
  int64_t pages_spilled = 0;    // written to kv_dir
  int64_t pages_restored = 0;   // read from it
  int64_t pages_rejected = 0;   // found there, but not what was written

  int64_t running = 0;
  int64_t waiting = 0;
  int64_t resting = 0;       // until their readers take some
  int64_t pages_total = 0;   // that may exist
  int64_t pages_used = 0;    // by sequences that run or rest
  int64_t pages_cached = 0;  // kept for prefixes only: free when they are needed

  Histogram first_token_s;
  Histogram between_tokens_s;
  Histogram queue_s;
  Histogram step_s;
};

class Engine {
 public:
  // Starts the thread. Model and context must outlive the engine, and no one else may use the context meanwhile.
  // Throws kUsage for options out of range, kLimit when kv_bytes hold less than one page, kMemory when memory is out,
  // kIo for a kv_dir that cannot be used.
  Engine(const Model& model, Context& context, const EngineOptions& options);
  ~Engine();  // as stop()

  // `notify` is called on the engine's thread after something new can be taken, once until take() is called; it must
  // be quick and not throw. Throws as Sequence::start for a request that is wrong, kLimit for one that could never fit
  // into the pages, and Overloaded when too many wait or the engine drains or has stopped. In a full queue a tenant
  // that has fewer requests than another takes the place of one of the other's that has not begun, which ends with
  // Overloaded.
  std::shared_ptr<RequestHandle> submit(EngineRequest request, std::function<void()> notify);

  class Overloaded : public Error {
   public:
    using Error::Error;
  };

  EngineStats stats() const;
  int64_t page_tokens() const;
  int64_t max_context_tokens() const;  // of one sequence: the model's, or as many as all pages hold

  void drain();       // from now on submit() refuses; returns at once, and what runs goes on
  bool idle() const;  // nothing runs or waits
  void stop();        // cancels everything and joins the thread

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glimmer
