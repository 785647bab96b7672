// A fixed set of threads that run one loop at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace glimmer {

// Hardware threads this process may use (its affinity mask and its cgroup's CPU quota).
int available_threads();

// body(begin, end, worker): items [begin, end) on thread `worker`, 0 <= worker < threads(), which is free for the body
// to index scratch memory with.
using ParallelBody = std::function<void(int64_t begin, int64_t end, int worker)>;

class ThreadPool {
 public:
  // The caller is one of them; threads >= 1. When they are as many as the processors that this process may use, each of
  // the others keeps to one. The caller's own affinity stays as it is: the processor that is left is where it ends up.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls the body on disjoint ranges of at most `grain` items that cover [0, count), then returns. Each thread begins
  // with its share, one of threads() equal pieces in their order, and ends with what others have not come to; so a
  // result must not depend on which thread ran what. The body must not throw and must not call parallel_for itself.
  void parallel_for(int64_t count, int64_t grain, const ParallelBody& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glimmer
