#include "apps/shutdown.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr auto kLastAnswers = std::chrono::seconds(2);  // for those that say that they were cut short

std::atomic<int> signals{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch lock-free atomics only");
int event_descriptor = -1;

void on_signal(int number) {
  if (signals.fetch_add(1) > 0) _exit(128 + number);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_descriptor, &one, sizeof one);
}

void wait_for_signal() {
  pollfd waiting = {.fd = event_descriptor, .events = POLLIN, .revents = 0};
  while (signals == 0) {
    if (poll(&waiting, 1, -1) < 0 && errno != EINTR) fail(ErrorCode::kIo, "the system does not tell of signals");
  }
}

}  // namespace

void catch_shutdown_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  event_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event_descriptor < 0) fail(ErrorCode::kIo, "the system gives no event descriptor");
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

void serve_until_signal(const Serving& serving) {
  wait_for_signal();
  serving.log.event("draining", {{"in_flight", serving.http.counts().in_flight}});
  serving.site.drain();
  serving.http.drain();
  serving.refuse_work();
  const auto allowed = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(serving.drain_timeout_s));
  const bool finished = serving.http.wait_until_idle(std::chrono::steady_clock::now() + allowed);
  const int64_t cut_short = finished ? 0 : serving.http.counts().in_flight;
  serving.end_work();
  if (!finished) serving.http.wait_until_idle(std::chrono::steady_clock::now() + kLastAnswers);
  serving.http.stop();
  serving.log.event("ended", {{"cut_short", cut_short}});
}

}  // namespace glimmer
