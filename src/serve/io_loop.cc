#include "serve/io_loop.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "serve/http_connection.h"

namespace glimmer::serve {
namespace {

// Until what could not be armed, or not be read, for want of memory is tried again.
constexpr auto kPause = std::chrono::milliseconds(20);

}  // namespace

IoLoop::IoLoop(ServerCore& the_core) : core(the_core), timer_(context) {}

void IoLoop::add(const std::shared_ptr<Connection>& connection) {
  const size_t least = connections_.size() + 1;
  if (swept_.capacity() < least) swept_.reserve(2 * least);
  connections_.insert(connection);
  connection->start();
  arm();
}

void IoLoop::remove(const std::shared_ptr<Connection>& connection) { connections_.erase(connection); }

void IoLoop::close_all() noexcept {
  while (!connections_.empty()) {
    const std::shared_ptr<Connection> connection = *connections_.begin();
    connection->lost("shutdown");
    connections_.erase(connection);
  }
}

void IoLoop::arm() {
  if (armed_ || connections_.empty()) return;
  const TransportLimits& limits = core.limits;
  const double shortest =
      std::min({limits.read_timeout_s, limits.idle_timeout_s, limits.write_timeout_s, limits.heartbeat_s});
  timer_.expires_after(std::chrono::milliseconds(static_cast<int>(1000 * std::clamp(shortest / 8, 0.02, 0.25))));
  timer_.async_wait([this](ByteStream::Error error) {
    armed_ = false;
    if (error) return;
    sweep();
    arm();
  });
  armed_ = true;
}

void IoLoop::sweep() noexcept {
  const auto now = Connection::Clock::now();
  swept_.assign(connections_.begin(), connections_.end());
  for (const std::shared_ptr<Connection>& connection : swept_) connection->check(now);
  swept_.clear();
}

void IoLoop::run(const std::function<void()>& again) noexcept {
  while (!context.stopped()) {
    bool is_armed = true;
    try {
      arm();
      again();
    } catch (...) {  // what runs next may free memory
      is_armed = false;
    }
    try {
      if (is_armed) {
        context.run();
      } else {
        context.run_for(kPause);
      }
    } catch (const std::exception& error) {
      log_warning("in a thread of the server: {}", error.what());
    } catch (...) {
      log_warning("in a thread of the server: something that is no exception of C++'s");
    }
  }
}

}  // namespace glimmer::serve
