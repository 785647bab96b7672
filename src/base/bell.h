// Wakes a thread that waits for something to do.
#pragma once

#include <condition_variable>
#include <mutex>

namespace glimmer {

// One thread waits, any rings. A ring that nobody waits for is kept: the next wait returns at once.
class Bell {
 public:
  void ring() {
    {
      const std::lock_guard lock(mutex_);
      rung_ = true;
    }
    condition_.notify_one();
  }
  // Until rung since the last wait.
  void wait() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [&] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

}  // namespace glimmer
