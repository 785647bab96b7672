#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace glimmer {
namespace {

using Clock = std::chrono::steady_clock;

// A forward pass starts a loop every few microseconds, and a token every few milliseconds with little between them. A
// waiting thread keeps its processor for the first while, then offers it to others that want it, then sleeps.
constexpr std::chrono::microseconds kKeepFor{50};
constexpr std::chrono::microseconds kOfferFor{500};

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Waits until done() or until `most` has passed, and returns whether it was the former.
template <typename Done>
bool wait_awake(std::chrono::microseconds keep_for, std::chrono::microseconds most, const Done& done) {
  constexpr int kTurns = 32;  // between looks at the clock
  const Clock::time_point start = Clock::now();
  for (;;) {
    for (int turn = 0; turn < kTurns; ++turn) {
      if (done()) return true;
      pause_briefly();
    }
    const auto passed = Clock::now() - start;
    if (passed > most) return false;
    if (passed > keep_for) std::this_thread::yield();
  }
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

// The processors in this process's affinity mask, by number.
std::vector<int> allowed_processors() {
  std::vector<int> allowed;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) allowed.push_back(cpu);
    }
  }
  return allowed;
}

void pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);  // where it is refused the thread runs as well anywhere
}

}  // namespace

int available_threads() {
  int allowed = static_cast<int>(allowed_processors().size());
  if (allowed == 0) allowed = static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, std::min(allowed, cgroup_quota_threads(allowed)));
}

struct ThreadPool::State {
  // What a thread has to itself, in cache lines of its own.
  struct alignas(128) Member {
    // Its share of the loop: grains next .. end. Others draw from it too once they have done theirs.
    std::atomic<int64_t> next{0};
    int64_t end = 0;
    // 2 g + 1 while it is in loop g, 2 g after it.
    alignas(64) std::atomic<uint64_t> place{0};
  };

  struct Loop {
    const ParallelBody* body = nullptr;
    int64_t count = 0;
    int64_t grain = 1;
  };

  explicit State(int count) : members(static_cast<size_t>(count)) {}

  std::vector<Member> members;
  Loop loop;
  std::chrono::microseconds keep_for = kKeepFor;
  std::chrono::microseconds offer_for = kOfferFor;
  // A loop is open from when `opened` becomes its number until `closed` does. Whoever comes later does not enter, so
  // that the caller never waits for a thread that has no processor to run on.
  alignas(128) std::atomic<uint32_t> opened{0};
  std::atomic<uint32_t> closed{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;

  void draw_from(Member& member, int worker) {
    while (member.next.load(std::memory_order_relaxed) < member.end) {
      const int64_t unit = member.next.fetch_add(1, std::memory_order_relaxed);
      if (unit >= member.end) return;
      const int64_t begin = unit * loop.grain;
      (*loop.body)(begin, std::min(begin + loop.grain, loop.count), worker);
    }
  }

  void draw(int worker) {
    const auto count = static_cast<int>(members.size());
    for (int i = 0; i < count; ++i) draw_from(members[static_cast<size_t>((worker + i) % count)], worker);
  }

  uint32_t wait_for_loop(uint32_t seen) {
    const auto has_opened = [&] { return opened.load(std::memory_order_acquire) != seen; };
    while (!wait_awake(keep_for, offer_for, has_opened)) opened.wait(seen, std::memory_order_acquire);
    return opened.load(std::memory_order_acquire);
  }

  // Enters loop `number` unless it is closed. Sequentially consistent with close(): either the caller sees that this
  // thread is in the loop, or this thread sees that it is closed.
  void take_part(uint32_t number, int worker) {
    std::atomic<uint64_t>& place = members[static_cast<size_t>(worker)].place;
    place.store(2 * uint64_t{number} + 1);
    if (static_cast<int32_t>(number - closed.load()) > 0) draw(worker);
    place.store(2 * uint64_t{number}, std::memory_order_release);
  }

  void work(int worker) {
    uint32_t seen = 0;
    for (;;) {
      seen = wait_for_loop(seen);
      if (stop.load(std::memory_order_acquire)) return;
      take_part(seen, worker);
    }
  }

  void share_out() {
    const int64_t units = (loop.count + loop.grain - 1) / loop.grain;
    const auto count = static_cast<int64_t>(members.size());
    for (int64_t i = 0; i < count; ++i) {
      Member& member = members[static_cast<size_t>(i)];
      member.next.store(units * i / count, std::memory_order_relaxed);
      member.end = units * (i + 1) / count;
    }
  }

  void open() {
    opened.fetch_add(1);
    opened.notify_all();  // costs nothing where no one sleeps
  }

  void close() {
    const uint32_t number = opened.load(std::memory_order_relaxed);
    closed.store(number);
    for (size_t i = 1; i < members.size(); ++i) {
      const auto has_left = [&] { return members[i].place.load() != 2 * uint64_t{number} + 1; };
      while (!wait_awake(keep_for, offer_for, has_left)) std::this_thread::yield();
    }
  }
};

ThreadPool::ThreadPool(int threads) {
  GLIMMER_CHECK(threads >= 1, "{} threads", threads);
  state_ = std::make_unique<State>(threads);
  const std::vector<int> processors = allowed_processors();
  const int available = available_threads();
  const bool pinned = threads == available && threads == static_cast<int>(processors.size());
  if (threads > available) state_->keep_for = state_->offer_for = std::chrono::microseconds{0};
  for (int i = 1; i < threads; ++i) {
    state_->workers.emplace_back([state = state_.get(), i, cpu = pinned ? processors[static_cast<size_t>(i)] : -1] {
      if (cpu >= 0) pin_this_thread(cpu);
      state->work(i);
    });
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true);
  state_->open();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->members.size()); }

void ThreadPool::parallel_for(int64_t count, int64_t grain, const ParallelBody& body) {
  GLIMMER_CHECK(grain >= 1, "grain {}", grain);
  if (count <= 0) return;
  if (state_->workers.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count), 0);
    return;
  }
  state_->loop = {&body, count, grain};
  state_->share_out();
  state_->open();
  state_->draw(0);
  state_->close();
}

}  // namespace glimmer
