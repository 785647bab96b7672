// Ctrl-C (SIGINT) as a request to end cleanly.
#pragma once

#include <atomic>

namespace glimmer::apps {

inline constexpr int kInterruptedExitStatus = 130;  // 128 + SIGINT, as shells count

// While one exists, the first Ctrl-C sets the flag and the second ends the process at once, in the system's default
// way. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const { return flag().load(std::memory_order_relaxed); }
  static const std::atomic<bool>& flag();
  // A file descriptor that is readable once the flag is set: for a poll, which may run in another thread than the
  // handler.
  static int descriptor();
};

}  // namespace glimmer::apps
