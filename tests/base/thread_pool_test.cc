#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace glimmer {
namespace {

TEST(ThreadPool, CoversEachItemOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<int> visits(static_cast<size_t>(count));
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int worker) {
          EXPECT_TRUE(0 <= begin && begin < end && end <= count && end - begin <= grain) << begin << " " << end;
          EXPECT_TRUE(0 <= worker && worker < threads) << worker;
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(count), 1)) << threads << " " << count << " " << grain;
      }
    }
  }
}

TEST(ThreadPool, GivesEachWorkerToOneThread) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(64, 1, [&](int64_t, int64_t, int worker) {
      EXPECT_EQ(busy[static_cast<size_t>(worker)].fetch_add(1), 0);
      busy[static_cast<size_t>(worker)].fetch_sub(1);
    });
  }
}

TEST(ThreadPool, FinishesEachLoopBeforeTheNext) {
  ThreadPool pool(3);
  std::vector<int64_t> sums(64, 0);
  for (int64_t round = 0; round < 2000; ++round) {
    pool.parallel_for(64, 4, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        EXPECT_EQ(sums[static_cast<size_t>(i)], round);  // what the last round left
        ++sums[static_cast<size_t>(i)];
      }
    });
  }
  EXPECT_EQ(sums, std::vector<int64_t>(64, 2000));
}

TEST(ThreadPool, RunsManyShortLoopsWithMoreThreadsThanProcessors) {
  for (const int threads : {2, 3, 16}) {
    ThreadPool pool(threads);
    std::vector<int64_t> visits(40, 0);
    for (int64_t round = 0; round < 20000; ++round) {
      pool.parallel_for(1 + round % 40, 1 + round % 3, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
    }
    for (int64_t i = 0; i < 40; ++i) EXPECT_EQ(visits[static_cast<size_t>(i)], 20000 / 40 * (40 - i)) << i;
  }
}

TEST(ThreadPool, GoesOnAfterItsThreadsFellAsleep) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 4));
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t, int) { sum += begin; });
  }
  EXPECT_EQ(sum, 20 * 4950);
}

TEST(ThreadPool, OthersDoWhatASlowThreadHasNotComeTo) {
  ThreadPool pool(2);
  std::vector<int> worker_of(64, -1);
  pool.parallel_for(64, 1, [&](int64_t begin, int64_t, int worker) {
    worker_of[static_cast<size_t>(begin)] = worker;
    if (begin == 0) std::this_thread::sleep_for(std::chrono::milliseconds(200));
  });
  // The first half is worker 0's, which was held up by its first item.
  EXPECT_EQ(worker_of[0], 0);
  EXPECT_GT(std::count(worker_of.begin(), worker_of.begin() + 32, 1), 16);
}

// Threads that a signal stops in its handler, as good as without a processor, until they are released.
class StoppedThreads {
 public:
  StoppedThreads() {
    is_released = false;
    stopped = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) {
      ++stopped;
      while (!is_released) usleep(1000);
    };
    sigaction(SIGUSR1, &action, &before_);
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
      const int thread = std::stoi(entry.path().filename());
      if (thread == gettid()) continue;
      ++sent_;
      syscall(SYS_tgkill, getpid(), thread, SIGUSR1);
    }
    while (stopped < sent_) usleep(1000);
  }
  ~StoppedThreads() {
    is_released = true;
    sigaction(SIGUSR1, &before_, nullptr);
  }
  int count() const { return sent_; }

 private:
  static inline std::atomic<bool> is_released{false};
  static inline std::atomic<int> stopped{0};
  int sent_ = 0;
  struct sigaction before_ = {};
};

TEST(ThreadPool, LoopsEndWithoutThreadsThatHaveNoProcessor) {
  ThreadPool pool(4);
  std::vector<int64_t> visits(64, 0);
  const auto run = [&] {
    pool.parallel_for(64, 1, [&](int64_t begin, int64_t, int) { ++visits[static_cast<size_t>(begin)]; });
  };
  run();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // asleep or awake, but in no loop
  {
    const StoppedThreads stopped;
    EXPECT_EQ(stopped.count(), 3);
    for (int round = 0; round < 1000; ++round) run();
    EXPECT_EQ(visits, std::vector<int64_t>(64, 1001));
  }
  for (int round = 0; round < 1000; ++round) run();  // they are back
  EXPECT_EQ(visits, std::vector<int64_t>(64, 2001));
}

// One that is stopped while the caller waits for it holds up that loop, and only as long.
TEST(ThreadPool, ACallerThatSleepsIsWoken) {
  ThreadPool pool(2);
  for (int round = 0; round < 30; ++round) {
    std::atomic<int> items{0};
    pool.parallel_for(2, 1, [&](int64_t, int64_t, int worker) {
      ++items;
      if (worker == 1) std::this_thread::sleep_for(std::chrono::milliseconds(round % 3));
    });
    EXPECT_EQ(items, 2);
  }
}

TEST(ThreadPool, LeavesTheCallersAffinityAlone) {
  const int before = available_threads();
  const ThreadPool pool(before);
  EXPECT_EQ(available_threads(), before);
}

// Those that were started are stopped again.
TEST(ThreadPool, AThreadThatCannotBeStartedIsAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need more address space than the limit leaves";
#endif
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit limit = {256 << 20, 256 << 20};  // stacks of 8 MB each
    setrlimit(RLIMIT_AS, &limit);
    try {
      const ThreadPool pool(200);
      _exit(1);
    } catch (const Error& error) {
      _exit(error.code() == ErrorCode::kMemory ? 42 : 2);
    }
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST(ThreadPool, StartsAndStopsOften) {
  for (int i = 0; i < 100; ++i) ThreadPool pool(4);
  EXPECT_GE(available_threads(), 1);
}

}  // namespace
}  // namespace glimmer
