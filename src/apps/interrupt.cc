#include "apps/interrupt.h"

#include <csignal>

namespace glimmer {
namespace {

std::atomic<bool> interrupt_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

void on_signal(int) { interrupt_flag.store(true, std::memory_order_relaxed); }

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
  set_handler(on_signal);
}

InterruptGuard::~InterruptGuard() { set_handler(SIG_DFL); }

const std::atomic<bool>& InterruptGuard::flag() { return interrupt_flag; }

}  // namespace glimmer
