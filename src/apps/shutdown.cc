#include "apps/shutdown.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "base/error.h"

namespace glimmer::apps {
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
    if (poll(&waiting, 1, -1) < 0 && errno != EINTR) fail(ErrorCode::kIo, "cannot wait for signals");
  }
}

void on_shutdown_signals(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

void ignore_broken_pipes() { std::signal(SIGPIPE, SIG_IGN); }

ShutdownSignals::ShutdownSignals() {
  event_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event_descriptor < 0) fail(ErrorCode::kIo, "cannot create an event descriptor");
  on_shutdown_signals(on_signal);
}

// What is left to do is to say what went wrong, which may take as long as it likes: a signal ends the process again.
ShutdownSignals::~ShutdownSignals() {
  on_shutdown_signals(SIG_DFL);
  close(event_descriptor);
}

void announce(std::string_view line) {
  while (!line.empty() && signals == 0) {
    pollfd waiting[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0},
                         {.fd = event_descriptor, .events = POLLIN, .revents = 0}};
    if (poll(waiting, 2, -1) < 0 || waiting[0].revents == 0) continue;
    // With room in a pipe, so much is taken without waiting.
    const ssize_t written = write(STDOUT_FILENO, line.data(), std::min<size_t>(line.size(), PIPE_BUF));
    if (written < 0 && errno != EINTR && errno != EAGAIN) {
      fail(ErrorCode::kIo, "cannot write to standard output: {}", std::strerror(errno));
    }
    if (written > 0) line.remove_prefix(static_cast<size_t>(written));
  }
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

}  // namespace glimmer::apps
