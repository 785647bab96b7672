// Benchmarks prefill and generation, interleaved with measurements of the machine's ceilings, so that other load on the
// machine slows both alike.
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
  Context::Options context;      // its thread count is ignored
  std::vector<int> threads;      // thread counts, tested in turn
  std::vector<int64_t> prompts;  // prompt lengths to prefill into an empty cache, one sequence
  int64_t decode_tokens = 0;     // tokens to generate, 0: skip, ...
  std::vector<int64_t> depths;   // ... at each of these context depths (the cache holds random values)
  std::vector<int64_t> batches;  // ... with each of these batch sizes
  int repeats = 5;               // of every test, and of the ceilings
  int64_t chunk_tokens = 1024;   // prompt tokens per forward pass, at most
  uint64_t seed = 1;             // of the random tokens
  const std::atomic<bool>* cancelled = nullptr;
  std::function<void(int64_t done, int64_t total, const std::string& test)> progress;  // may be empty
};

struct BenchTest {
  int threads = 0;
  int64_t prompt = 0;  // tokens; 0: a generation test
  int64_t steps = 0;   // generated tokens
  int64_t depth = 0;
  int64_t batch = 1;

  std::string name() const;  // "pp512", "tg64"
};

struct BenchResult {
  BenchTest test;
  Spread tok_s;
  // Of the median:
  double gb_s = 0;     // weights (of chosen experts) and KV cache, each read once per step
  double tflop_s = 0;  // multiplications and additions of matmuls and attention
  double of_read = 0;  // gb_s as a fraction of the median read ceiling for that thread count
  double of_peak = 0;  // tflop_s as a fraction of the median bf16 ceiling
  double step_gb = 0;
  double step_gflop = 0;
  double experts = 0;  // distinct experts per sparse layer and step; expected for prompts, counted for generation
};

struct BenchReport {
  std::vector<Ceilings> ceilings;  // for each number of threads
  std::vector<BenchResult> results;
  int64_t peak_rss_bytes = 0;  // of the process, without the ceilings' buffer
};

// Throws kUsage for a test that the context does not hold, kMemory when memory is out, kCancelled when `cancelled` is
// set.
BenchReport run_benchmark(const Model& model, const BenchOptions& options);

// Memory of the caches that the tests need.
int64_t bench_cache_bytes(const ModelConfig& config, const BenchOptions& options);

}  // namespace glimmer
