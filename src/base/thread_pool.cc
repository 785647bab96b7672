#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace glimmer {
namespace {

// A forward pass starts a loop every few microseconds: a waiting thread spins this many turns (tens of microseconds)
// before it sleeps.
constexpr int kSpinTurns = 4000;

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// The cgroup-v2 CPU quota in whole threads, or `unlimited` where there is none.
int cgroup_quota_threads(int unlimited) {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  int64_t period_us = 0;
  if (!(file >> quota >> period_us) || quota == "max" || period_us <= 0) return unlimited;
  int64_t quota_us = 0;
  try {
    quota_us = std::stoll(quota);
  } catch (const std::exception&) {
    return unlimited;
  }
  return std::max<int>(1, static_cast<int>((quota_us + period_us - 1) / period_us));
}

}  // namespace

int available_threads() {
  cpu_set_t set;
  int allowed = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof set, &set) == 0) allowed = CPU_COUNT(&set);
  return std::max(1, std::min(allowed, cgroup_quota_threads(allowed)));
}

struct ThreadPool::State {
  // One loop. Threads draw ranges from `next`; the last to leave lets the caller go on.
  struct Loop {
    const ParallelBody* body = nullptr;
    int64_t count = 0;
    int64_t grain = 1;
  };

  Loop loop;
  std::atomic<int64_t> next{0};
  std::atomic<int> running{0};          // workers that have not left the loop yet
  std::atomic<uint64_t> generation{0};  // counts loops; a change starts the workers
  std::atomic<bool> stop{false};
  std::atomic<int> sleepers{0};
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;

  void draw(int worker) {
    for (;;) {
      const int64_t begin = next.fetch_add(loop.grain, std::memory_order_relaxed);
      if (begin >= loop.count) return;
      (*loop.body)(begin, std::min(begin + loop.grain, loop.count), worker);
    }
  }

  void wait_for_loop(uint64_t seen) {
    for (int turn = 0; turn < kSpinTurns; ++turn) {
      if (generation.load(std::memory_order_acquire) != seen) return;
      pause_briefly();
    }
    std::unique_lock lock(mutex);
    sleepers.fetch_add(1);
    wake.wait(lock, [&] { return generation.load() != seen; });
    sleepers.fetch_sub(1);
  }

  void work(int worker) {
    uint64_t seen = 0;
    for (;;) {
      wait_for_loop(seen);
      ++seen;
      if (stop.load(std::memory_order_acquire)) return;
      draw(worker);
      running.fetch_sub(1, std::memory_order_release);
    }
  }

  void start_workers() {
    running.store(static_cast<int>(workers.size()), std::memory_order_relaxed);
    generation.fetch_add(1);
    if (sleepers.load() > 0) {
      // The empty critical section orders this against a worker that has checked and is about to sleep.
      { const std::lock_guard lock(mutex); }
      wake.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  GLIMMER_CHECK(threads >= 1, "{} threads", threads);
  for (int i = 1; i < threads; ++i) state_->workers.emplace_back([state = state_.get(), i] { state->work(i); });
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true);
  state_->start_workers();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::parallel_for(int64_t count, int64_t grain, const ParallelBody& body) {
  GLIMMER_CHECK(grain >= 1, "grain {}", grain);
  if (count <= 0) return;
  if (state_->workers.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count), 0);
    return;
  }
  state_->loop = {&body, count, grain};
  state_->next.store(0, std::memory_order_relaxed);
  state_->start_workers();
  state_->draw(0);
  for (int turn = 0; state_->running.load(std::memory_order_acquire) != 0; ++turn) {
    if (turn < kSpinTurns) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace glimmer
