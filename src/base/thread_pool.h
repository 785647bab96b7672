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
  explicit ThreadPool(int threads);  // the caller is one of them; threads >= 1
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls the body on disjoint ranges of at most `grain` items that cover [0, count), then returns. Ranges go to
  // threads first come, first served, so a result must not depend on which thread ran what. The body must not throw and
  // must not call parallel_for itself.
  void parallel_for(int64_t count, int64_t grain, const ParallelBody& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glimmer
