// Speeds of a model: reading prompts and generating, held against ceilings that are measured in between, so that what
// else runs on the machine slows both alike.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "engine/ceilings.h"
#include "engine/workload.h"
#include "model/model.h"
#include "ops/context.h"

namespace glimmer {

struct BenchOptions {
  Context::Options context;      // its threads are not used
  std::vector<int> threads;      // one after the other
  std::vector<int64_t> prompts;  // tokens to read into an empty cache, for one sequence
  int64_t decode_tokens = 0;     // steps to generate, 0: none, ...
  std::vector<int64_t> depths;   // ... at each of these depths of context (random values stand in the cache)
  std::vector<int64_t> batches;  // ... for each of these numbers of sequences, all in one batch
  int repeats = 5;               // of every test, and of the ceilings
  int64_t chunk_tokens = 1024;   // the most that a forward pass takes of a prompt
  uint64_t seed = 1;             // of the tokens, which are random
  const std::atomic<bool>* cancelled = nullptr;
  std::function<void(int64_t done, int64_t total, const std::string& test)> progress;  // may be empty
};

struct BenchTest {
  int threads = 0;
  int64_t prompt = 0;  // tokens; 0: this is a test of generating
  int64_t steps = 0;   // of generating
  int64_t depth = 0;
  int64_t batch = 1;

  std::string name() const;  // "pp512", "tg64"
};

struct BenchResult {
  BenchTest test;
  Spread tok_s;
  // Of the median:
  double gb_s = 0;     // weights (of the experts that are chosen) and cache, each read once a step
  double tflop_s = 0;  // multiplications and additions of matrices and attention
  double of_read = 0;  // gb_s as a part of the median read ceiling of as many threads
  double of_peak = 0;  // tflop_s as a part of the median bf16 ceiling
  double step_gb = 0;
  double step_gflop = 0;
  double experts = 0;  // of a sparse layer, chosen in a step; prompts: expected, generating: counted
};

struct BenchReport {
  std::vector<Ceilings> ceilings;  // for each number of threads
  std::vector<BenchResult> results;
  int64_t peak_rss_bytes = 0;  // of the process since it started, but for the ceilings' own memory
};

// Throws kUsage for a test that the context does not hold, kMemory when memory is out, kCancelled when `cancelled` is
// set.
BenchReport run_benchmark(const Model& model, const BenchOptions& options);

// Memory of the caches that the tests need.
int64_t bench_cache_bytes(const ModelConfig& config, const BenchOptions& options);

}  // namespace glimmer
