// The connections of one I/O thread of the HTTP server, and what all of a server's share.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

#include "serve/byte_stream.h"
#include "serve/http_server.h"

namespace glimmer::serve {

class Connection;

// State shared by all connections of a server.
struct ServerCore {
  ServerCore(HttpApplication& the_application, const TransportLimits& the_limits)
      : application(the_application), limits(the_limits) {}

  HttpApplication& application;
  const TransportLimits limits;
  std::atomic<bool> draining{false};
  std::atomic<int64_t> connections{0};
  std::atomic<int64_t> in_flight{0};
  const BufferedBytes::Counter buffered_bytes = std::make_shared<std::atomic<int64_t>>(0);
  std::atomic<int64_t> accepted{0};
  std::atomic<int64_t> refused{0};
  std::atomic<int64_t> timeouts{0};
  std::atomic<int64_t> malformed{0};
};

// An I/O thread's connections, and the timer that checks their deadlines.
class IoLoop {
 public:
  explicit IoLoop(ServerCore& the_core);

  // On its thread, as the next two. Starts it; where memory is out, the connection is closed, or looked after later.
  void add(const std::shared_ptr<Connection>& connection);
  void remove(const std::shared_ptr<Connection>& connection);
  void close_all() noexcept;

  // Runs until the context is stopped. What handlers throw, or that memory is out, does not end it: what they may have
  // left undone is looked for again, `again` (the acceptor's) first.
  void run(const std::function<void()>& again) noexcept;

  ServerCore& core;
  boost::asio::io_context context{1};

 private:
  void arm();
  void sweep() noexcept;

  boost::asio::steady_timer timer_;
  bool armed_ = false;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> swept_;  // has room for all of them: looking at deadlines needs no memory
};

}  // namespace glimmer::serve
