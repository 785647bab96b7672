// Generation for many sequences at once: continuous batching over a paged KV cache, with a prefix cache.
//
// The engine's own thread owns the scheduler, the pages, the prefix cache and all samplers, and is the only one to run
// the model. Other threads submit requests, take finished tokens, and cancel; they never wait for a forward pass.
// docs/concurrency.md says which thread may touch what.
//
// A request's greedy tokens are the same alone or in any batch, with or without a prefix hit, preempted or not: a
// token's logits depend on the tokens before it alone (docs/numerics.md).
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
#include "engine/drafter.h"
#include "engine/logprobs.h"
#include "engine/runner.h"
#include "engine/sequence.h"
#include "model/model.h"
#include "ops/context.h"

namespace glimmer {

struct EngineOptions {
  int64_t max_sequences = 64;  // running concurrently; the others wait
  int64_t max_waiting = 256;   // queue length
  // Prompt tokens per step. While others generate, a larger chunk delays their next token, a smaller one reads weights
  // more often for the same prompt.
  int64_t chunk_tokens = 512;
  int64_t idle_chunk_tokens = 1024;  // when nothing else generates
  int64_t kv_bytes = 0;              // for KV pages; 0: half of the available memory
  std::optional<KvType> kv_type;     // absent: the context's
  bool prefix_cache = true;
  std::filesystem::path kv_dir;              // evicted pages are spilled there, and survive a restart; empty: nowhere
  int64_t kv_dir_bytes = int64_t{16} << 30;  // disk quota of kv_dir
  std::string kv_fingerprint;                // tells this model's pages in kv_dir from others'
  // Per request; beyond them it is paused and gives up its place until some are taken.
  int64_t max_unread_tokens = 1024;
  std::shared_ptr<Drafter> drafter;  // guesses what comes next, for every sequence that generates; null: no one does
  int64_t draft_tokens = 4;          // per sequence and step, at most
};

struct EngineRequest {
  std::vector<int32_t> prompt;
  GenerationOptions generation;
  int top_logprobs = -1;  // -1: no logprobs; else each token's own and those of the 0 to 20 likeliest
  // The same for prompt tokens. The prompt is then prefilled without the prefix cache, even if nothing is generated.
  int prompt_logprobs = -1;
  int priority = 0;         // larger first
  std::string tenant;       // tenants of one priority share the machine fairly
  std::string cache_scope;  // requests share prefixes within one scope only
};

struct GeneratedToken {
  int32_t id = 0;
  float logprob = 0;              // with top_logprobs >= 0
  std::vector<TokenLogprob> top;  // descending; ties by ascending id
};

struct RequestUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // prompt tokens found in the prefix cache
  int64_t generated_tokens = 0;  // including a stop token
  int64_t preemptions = 0;
  double queue_s = 0;        // from submit() until it first ran
  double first_token_s = 0;  // from submit() to the first token; 0 if there is none
  double total_s = 0;
};

// One request, shared by the engine and its reader. Thread-safe.
class RequestHandle {
 public:
  virtual ~RequestHandle() = default;

  struct News {
    // With prompt_logprobs: the prompt's tokens from the second on, as nothing predicts the first. They come first.
    std::vector<GeneratedToken> prompt;
    std::vector<GeneratedToken> tokens;         // since the last take(), in order, without a stop token
    std::optional<GeneratedToken> stop_token;   // that ended it
    std::optional<FinishReason> finish_reason;  // set with or after the last token
    std::exception_ptr error;                   // why it ended, in place of a reason
    bool ended() const { return finish_reason.has_value() || error != nullptr; }
  };
  virtual News take() = 0;
  virtual RequestUsage usage() const = 0;

  // Ends it with this reason and frees its pages before the next step. No effect on a request that has ended.
  virtual void finish(FinishReason reason) = 0;
  void cancel() { finish(FinishReason::kCancelled); }
};

// Counters since the start, and gauges. Histograms count values up to each bound, and beyond the last.
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
  int64_t pages_rejected = 0;   // found there damaged or forged

  int64_t running = 0;
  int64_t waiting = 0;
  int64_t resting = 0;       // paused until their readers take tokens
  int64_t pages_total = 0;   // capacity
  int64_t pages_used = 0;    // by running and paused sequences
  int64_t pages_cached = 0;  // by the prefix cache only: evicted when needed

  Histogram first_token_s;
  Histogram between_tokens_s;
  Histogram queue_s;
  Histogram step_s;
};

class Engine {
 public:
  // Starts the thread. Model and context must outlive the engine, which has exclusive use of the context.
  // Throws kUsage for options out of range, kLimit when kv_bytes hold less than one page, kMemory when memory is out,
  // kIo for a kv_dir that cannot be used.
  Engine(const Model& model, Context& context, const EngineOptions& options);
  // The same on other machines than this process's. Whatever the runner uses must outlive the engine, and is used by no
  // one else; it takes step_tokens(options) at once.
  Engine(std::unique_ptr<Runner> runner, const EngineOptions& options);
  static int64_t step_tokens(const EngineOptions& options);  // the most of a step; throws kUsage for wrong options
  ~Engine();                                                 // as stop()

  // `notify` is called on the engine's thread when something new can be taken, once until take() is called; it must be
  // quick and not throw. Throws as Sequence::start for a bad request, kLimit for one that could never fit into the
  // pages, and Overloaded when the queue is full or the engine drains or has stopped. In a full queue, a tenant with
  // fewer requests than another displaces one of the other's that has not begun, which ends with Overloaded.
  std::shared_ptr<RequestHandle> submit(EngineRequest request, std::function<void()> notify);

  class Overloaded : public Error {
   public:
    using Error::Error;
  };

  EngineStats stats() const;
  int64_t page_tokens() const;
  int64_t max_context_tokens() const;  // per sequence: the model's context, or the capacity of all pages

  void drain();       // submit() refuses from now on; returns at once, running requests go on
  bool idle() const;  // nothing runs or waits
  void stop();        // cancels everything and joins the thread

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glimmer
