// A fixed set of threads that run one loop at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/topology.h"

namespace glimmer {

// body(begin, end, worker): items [begin, end) on thread `worker`, 0 <= worker < threads(), which is free for the body
// to index scratch memory with. Borrows what it is made of.
class ParallelBody {
 public:
  template <typename Body>
  ParallelBody(const Body& body)
      : body_(&body), call_([](const void* borrowed, int64_t begin, int64_t end, int worker) {
          (*static_cast<const Body*>(borrowed))(begin, end, worker);
        }) {}
  void operator()(int64_t begin, int64_t end, int worker) const { call_(body_, begin, end, worker); }

 private:
  const void* body_;
  void (*call_)(const void* borrowed, int64_t begin, int64_t end, int worker);
};

class ThreadPool {
 public:
  // The caller is one of them; threads >= 1. The others run where place_threads puts them. The caller's own affinity
  // stays as it is: where the others keep to a processor each, the one that is left is where it ends up. Throws kMemory
  // if a thread cannot be started.
  explicit ThreadPool(int threads);
  ThreadPool(int threads, const Topology& topology);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;
  int nodes() const;  // of memory that they run near

  // Calls the body on disjoint ranges of at most `grain` items that cover [0, count), then returns. Each thread begins
  // with its share, one of threads() equal pieces in their order, and ends with what others have not come to; so a
  // result must not depend on which thread ran what. The body must not throw and must not call parallel_for itself.
  void parallel_for(int64_t count, int64_t grain, const ParallelBody& body) { parallel_for({&count, 1}, grain, body); }

  // The same where node i has items_of_node[i] of the items, one node's after the other's: the threads of a node share
  // its items before they help with those of others. On a pool of another number of nodes all share all.
  void parallel_for(std::span<const int64_t> items_of_node, int64_t grain, const ParallelBody& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glimmer
