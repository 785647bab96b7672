#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/cpu_features.h"
#include "base/error.h"

namespace glimmer {
namespace {

using Clock = std::chrono::steady_clock;

// A forward pass starts a loop every few microseconds, and a token every few milliseconds with little between them. A
// waiting thread keeps its processor for the first while, then offers it to others that want it, then sleeps.
constexpr std::chrono::microseconds kKeepFor{50};
constexpr std::chrono::microseconds kOfferFor{500};

// Waits until done() or until `most` has passed, and returns whether it was the former.
template <typename Done>
bool wait_awake(std::chrono::microseconds keep_for, std::chrono::microseconds most, const Done& done) {
  constexpr int kTurns = 32;  // between looks at the clock
  const Clock::time_point start = Clock::now();
  for (;;) {
    for (int turn = 0; turn < kTurns; ++turn) {
      if (done()) return true;
      pause_in_loop();
    }
    const auto passed = Clock::now() - start;
    if (passed > most) return false;
    if (passed > keep_for) std::this_thread::yield();
  }
}

// Where it is refused the thread runs as well anywhere.
void keep_this_thread_on(const std::vector<int>& processors) {
  if (processors.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int number : processors) {
    if (number < CPU_SETSIZE) CPU_SET(number, &set);
  }
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

struct ThreadPool::State {
  // What a thread has to itself, in cache lines of its own.
  struct alignas(128) Member {
    // Its share of the loop: items next .. end. Others draw from it too once they have done theirs.
    std::atomic<int64_t> next{0};
    int64_t end = 0;
    int node = 0;
    std::vector<int> draws_from;  // members, itself first, then those of its node
    // 2 g + 1 while it is in loop g, 2 g after it.
    alignas(64) std::atomic<uint64_t> place{0};
  };

  struct Loop {
    const ParallelBody* body = nullptr;
    int64_t grain = 1;
  };

  explicit State(const std::vector<ThreadPlace>& places) : members(places.size()) {
    const auto count = static_cast<int>(places.size());
    for (int i = 0; i < count; ++i) {
      Member& member = members[static_cast<size_t>(i)];
      member.node = places[static_cast<size_t>(i)].node;
      nodes = std::max(nodes, member.node + 1);
      for (int step = 0; step < count; ++step) member.draws_from.push_back((i + step) % count);
      std::stable_partition(member.draws_from.begin(), member.draws_from.end(),
                            [&](int other) { return places[static_cast<size_t>(other)].node == member.node; });
    }
    for (int node = 0; node < nodes; ++node) {
      const bool has_some =
          std::any_of(members.begin(), members.end(), [&](const Member& m) { return m.node == node; });
      if (!has_some) nodes = 1;  // fewer threads than nodes: all share all
    }
  }

  ~State() {
    stop.store(true);
    open();
    for (std::thread& worker : workers) worker.join();
  }

  std::vector<Member> members;
  int nodes = 1;
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
      const int64_t begin = member.next.fetch_add(loop.grain, std::memory_order_relaxed);
      if (begin >= member.end) return;
      (*loop.body)(begin, std::min(begin + loop.grain, member.end), worker);
    }
  }

  // A body that throws ends the process, on whichever thread it is.
  void draw(int worker) noexcept {
    for (const int other : members[static_cast<size_t>(worker)].draws_from) {
      draw_from(members[static_cast<size_t>(other)], worker);
    }
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

  void start(int worker, const std::vector<int>& processors) {
    workers.emplace_back([this, worker, processors] {
      keep_this_thread_on(processors);
      work(worker);
    });
  }

  void work(int worker) {
    uint32_t seen = 0;
    for (;;) {
      seen = wait_for_loop(seen);
      if (stop.load(std::memory_order_acquire)) return;
      take_part(seen, worker);
    }
  }

  // Items [first, first + count) among the members of a node, or all if node is -1, in whole grains.
  void share_out(int64_t first, int64_t count, int node) {
    const int64_t grains = (count + loop.grain - 1) / loop.grain;
    const auto among = std::count_if(members.begin(), members.end(),
                                     [&](const Member& member) { return node < 0 || member.node == node; });
    int64_t i = 0;
    for (Member& member : members) {
      if (node >= 0 && member.node != node) continue;
      const auto from = [&](int64_t share) { return first + std::min(count, grains * share / among * loop.grain); };
      member.next.store(from(i), std::memory_order_relaxed);
      member.end = from(i + 1);
      ++i;
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

ThreadPool::ThreadPool(int threads) : ThreadPool(threads, process_topology()) {}

ThreadPool::ThreadPool(int threads, const Topology& topology) {
  GLIMMER_CHECK(threads >= 1, "{} threads", threads);
  const std::vector<ThreadPlace> places = place_threads(topology, threads);
  state_ = std::make_unique<State>(places);
  if (threads > available_threads()) state_->keep_for = state_->offer_for = std::chrono::microseconds{0};
  for (int i = 1; i < threads; ++i) {
    try {
      state_->start(i, places[static_cast<size_t>(i)].processors);
    } catch (const std::system_error& error) {
      fail(ErrorCode::kMemory, "cannot start thread {} of {}: {}; a smaller --threads may do", i + 1, threads,
           error.code().message());
    }
  }
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return static_cast<int>(state_->members.size()); }

int ThreadPool::nodes() const { return state_->nodes; }

void ThreadPool::parallel_for(std::span<const int64_t> items_of_node, int64_t grain, const ParallelBody& body) {
  GLIMMER_CHECK(grain >= 1, "grain {}", grain);
  int64_t count = 0;
  for (const int64_t items : items_of_node) count += items;
  if (count <= 0) return;
  if (state_->workers.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count), 0);
    return;
  }
  state_->loop = {&body, grain};
  if (state_->nodes > 1 && state_->nodes == static_cast<int>(items_of_node.size())) {
    int64_t first = 0;
    for (int node = 0; node < state_->nodes; ++node) {
      state_->share_out(first, items_of_node[static_cast<size_t>(node)], node);
      first += items_of_node[static_cast<size_t>(node)];
    }
  } else {
    state_->share_out(0, count, -1);
  }
  state_->open();
  state_->draw(0);
  state_->close();
}

}  // namespace glimmer
