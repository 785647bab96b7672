#include "engine/ceilings.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>

#include "base/check.h"
#include "base/memory_info.h"
#include "base/topology.h"
#include "kernels/ceilings.h"

namespace glimmer {
namespace {

constexpr int64_t kBufferBytes = int64_t{1} << 30;  // larger than any cache
// Per sample. Longer samples are steadier, but leave less time for repeats spread over a run.
constexpr int kReadPasses = 2;
constexpr double kMultiplySeconds = 0.06;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Pins the calling thread, if the system allows it.
void keep_to(const ThreadPlace& place) {
  if (place.processors.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : place.processors) {
    if (processor < CPU_SETSIZE) CPU_SET(processor, &set);
  }
  sched_setaffinity(0, sizeof set, &set);
}

// Seconds that `threads` threads take for body(thread), from the moment when all have started. Uses new threads, since
// the loops clobber AMX tiles and affinity. They are placed like a pool's, the same each time, so that memory that one
// of them touched first is on its node.
double seconds_of(int threads, const std::function<void(int thread)>& body) {
  static const Topology topology = process_topology();
  const std::vector<ThreadPlace> places = place_threads(topology, threads);
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> started;
  for (int thread = 0; thread < threads; ++thread) {
    started.emplace_back([&, thread] {
      keep_to(places[static_cast<size_t>(thread)]);
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      body(thread);
    });
  }
  while (ready.load() != threads) std::this_thread::yield();
  const double start = now_s();
  go.store(true, std::memory_order_release);
  for (std::thread& thread : started) thread.join();
  return now_s() - start;
}

// Operations per second, in T.
double multiply_rate(int threads, const kernels::MultiplyLoop& loop) {
  int64_t rounds = 1000;
  double seconds = 0;
  while ((seconds = seconds_of(1, [&](int) { loop.run(rounds); })) < kMultiplySeconds / 10) rounds *= 4;
  rounds = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(rounds) * kMultiplySeconds / seconds));
  seconds = seconds_of(threads, [&](int) { loop.run(rounds); });
  return static_cast<double>(rounds) * loop.operations_a_round * threads / seconds * 1e-12;
}

Spread spread_over(const std::vector<CeilingSample>& samples, double CeilingSample::*field) {
  std::vector<double> values;
  for (const CeilingSample& sample : samples) values.push_back(sample.*field);
  return spread_of(std::move(values));
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {.median = median, .min = values.front(), .max = values.back()};
}

Ceilings::Ceilings(int threads) : threads_(threads) {
  const int64_t available = memory_info().available_bytes;
  const int64_t wanted = available > 0 ? std::min(kBufferBytes, available / 4) : kBufferBytes;
  // One piece per stream, in whole 4 KB pages.
  constexpr int64_t kPieces = 16 * 4096;
  share_bytes_ = std::max<int64_t>(1, wanted / threads / kPieces) * kPieces;
  memory_ = Buffer(static_cast<size_t>(share_bytes_ * threads));
  auto* begin = memory_.as<std::byte>();
  seconds_of(threads,
             [&](int thread) { std::memset(begin + thread * share_bytes_, 1, static_cast<size_t>(share_bytes_)); });
}

void Ceilings::release_memory() { memory_ = {}; }

void Ceilings::measure_reading(CeilingSample& sample) const {
  const auto* begin = memory_.as<std::byte>();
  const kernels::CeilingLoops loops = kernels::ceiling_loops();
  for (int pass = 0; pass < kReadPasses; ++pass) {
    for (const int streams : kernels::kReadStreams) {
      const double seconds = seconds_of(threads_, [&](int thread) {
        volatile uint64_t sink = loops.read(begin + thread * share_bytes_, share_bytes_ / streams, streams);
        (void)sink;
      });
      const double rate = static_cast<double>(share_bytes_ * threads_) / seconds * 1e-9;
      if (rate > sample.read_gb_s) {
        sample.read_gb_s = rate;
        sample.read_streams = streams;
      }
    }
  }
}

void Ceilings::sample() {
  GLIMMER_CHECK(memory_bytes() > 0, "a sample after release_memory()");
  const kernels::CeilingLoops loops = kernels::ceiling_loops();
  CeilingSample& sample = samples_.emplace_back();
  measure_reading(sample);
  sample.bf16_tflop_s = multiply_rate(threads_, loops.floats);
  sample.int8_top_s = multiply_rate(threads_, loops.integers);
}

Spread Ceilings::read_gb_s() const { return spread_over(samples_, &CeilingSample::read_gb_s); }
Spread Ceilings::bf16_tflop_s() const { return spread_over(samples_, &CeilingSample::bf16_tflop_s); }
Spread Ceilings::int8_top_s() const { return spread_over(samples_, &CeilingSample::int8_top_s); }

int Ceilings::read_streams() const {
  const auto fastest = std::max_element(samples_.begin(), samples_.end(),
                                        [](const auto& a, const auto& b) { return a.read_gb_s < b.read_gb_s; });
  return fastest == samples_.end() ? 0 : fastest->read_streams;
}

std::string_view bf16_unit() { return kernels::ceiling_loops().floats.unit; }
std::string_view int8_unit() { return kernels::ceiling_loops().integers.unit; }

}  // namespace glimmer
