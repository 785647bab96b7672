#include "apps/interrupt.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

namespace glimmer::apps {
namespace {

std::atomic<bool> interrupt_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

int event_descriptor() {
  static const int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return descriptor;
}

int handler_descriptor = -1;  // the same, for the handler, which may not initialise a static

void on_signal(int) {
  interrupt_flag.store(true, std::memory_order_relaxed);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(handler_descriptor, &one, sizeof one);
}

void set_handler(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  // Handled once: then the default comes back, and a second Ctrl-C ends the process. A write of output that it breaks
  // off goes on.
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupt_flag.store(false);
  handler_descriptor = event_descriptor();
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t drained = read(handler_descriptor, &count, sizeof count);
  set_handler(on_signal);
}

InterruptGuard::~InterruptGuard() { set_handler(SIG_DFL); }

const std::atomic<bool>& InterruptGuard::flag() { return interrupt_flag; }

int InterruptGuard::descriptor() { return event_descriptor(); }

}  // namespace glimmer::apps
