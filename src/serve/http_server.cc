#include "serve/http_server.h"

#include <sys/resource.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "serve/http_connection.h"

namespace glimmer::serve {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

constexpr int64_t kCrowdedConnections = 64;  // over the limit: so many still get a 503, the rest are just closed
// Bounds the kernel's buffer, so that a client that does not read is noticed.
constexpr int kSendBufferBytes = 256 << 10;
constexpr int kMaxAcceptedAtOnce = 64;                        // then other work of the thread gets its turn
constexpr auto kAcceptPause = std::chrono::milliseconds(50);  // out of descriptors: retry without spinning

void check_options(const HttpServerOptions& options) {
  const auto in_range = [](const char* flag, auto value, auto low, auto high) {
    if (!(value >= low && value <= high))
      fail(ErrorCode::kUsage, "{} is {}, but must be in [{}, {}]", flag, value, low, high);
  };
  const TransportLimits& limits = options.limits;
  in_range("--port", options.port, 0, 65535);
  in_range("--io-threads", options.threads, 1, 256);
  in_range("--max-connections", limits.max_connections, 1, 1'000'000);
  in_range("--max-header", limits.max_header_bytes, 256, 16 << 20);
  in_range("--max-body", limits.max_body_bytes, 1024, int64_t{1} << 40);
  in_range("--max-buffered", limits.max_buffered_bytes, 1024, int64_t{1} << 50);
  in_range("--stream-buffer", limits.stream_buffer_bytes, 4096, 1 << 30);
  in_range("--read-timeout", limits.read_timeout_s, 0.05, 86400.0);
  in_range("--idle-timeout", limits.idle_timeout_s, 0.05, 86400.0);
  in_range("--write-timeout", limits.write_timeout_s, 0.05, 86400.0);
  in_range("--heartbeat", limits.heartbeat_s, 0.05, 86400.0);
}

tcp::endpoint resolve(const std::string& host, uint16_t port) {
  boost::system::error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (!error) return {address, port};
  asio::io_context context;
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    fail(ErrorCode::kIo, "--host {}: is no address of this machine: {}", host, error ? error.message() : "unknown");
  }
  return found.begin()->endpoint();
}

std::string text_of(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return fmt::format(fmt::runtime(endpoint.address().is_v6() ? "[{}]:{}" : "{}:{}"), address, endpoint.port());
}

// Raises the limit of file descriptors: each connection takes one.
void raise_file_limit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Sets a flag while a handler is pending, so that a dropped handler is noticed.
class Pending {
 public:
  explicit Pending(bool& flag) : flag_(&flag) { flag = true; }
  Pending(Pending&& other) noexcept : flag_(std::exchange(other.flag_, nullptr)) {}
  Pending& operator=(Pending&&) = delete;
  ~Pending() {
    if (flag_ != nullptr) *flag_ = false;
  }
  void end() { Pending(std::move(*this)); }

 private:
  bool* flag_;
};

struct IoThread {
  explicit IoThread(ServerCore& core) : loop(core), work(loop.context.get_executor()) {}
  IoLoop loop;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::thread thread;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, HttpApplication& application)
      : core_(application, options.limits),
        secure_(options.tls.has_value()),
        streams_(options.tls ? tls_streams(*options.tls) : plain_streams()) {
    raise_file_limit();
    for (int64_t i = 0; i < options.threads; ++i) threads_.push_back(std::make_unique<IoThread>(core_));
    pause_.emplace(context());
    listen(options);
    start_threads();
  }
  ~Impl() { stop(); }

  tcp::endpoint endpoint() const { return endpoint_; }
  bool secure() const { return secure_; }

  void drain() {
    core_.draining = true;
    try {
      asio::post(context(), [this] { close_acceptor(); });
    } catch (const std::bad_alloc&) {  // who connects next closes it
    }
  }

  bool wait_until_idle(std::chrono::steady_clock::time_point deadline) {
    while (core_.in_flight > 0) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  void stop() noexcept {
    if (stopped_) return;
    stopped_ = true;
    core_.draining = true;
    for (const auto& thread : threads_) {
      try {
        asio::post(thread->loop.context, [this, &thread] {
          if (thread == threads_.front()) close_acceptor();
          thread->loop.close_all();
          thread->work.reset();
          thread->loop.context.stop();
        });
      } catch (const std::bad_alloc&) {
        thread->loop.context.stop();
      }
    }
    for (const auto& thread : threads_) {
      if (thread->thread.joinable()) thread->thread.join();
    }
  }

  TransportCounts counts() const {
    return {.connections = core_.connections,
            .in_flight = core_.in_flight,
            .buffered_bytes = *core_.buffered_bytes,
            .accepted = core_.accepted,
            .refused = core_.refused,
            .timeouts = core_.timeouts,
            .malformed = core_.malformed};
  }

 private:
  asio::io_context& context() { return threads_.front()->loop.context; }

  void listen(const HttpServerOptions& options) {
    const tcp::endpoint wanted = resolve(options.host, static_cast<uint16_t>(options.port));
    try {
      acceptor_.emplace(context());
      acceptor_->open(wanted.protocol());
      acceptor_->set_option(tcp::acceptor::reuse_address(true));
      if (wanted.address().is_v6()) acceptor_->set_option(asio::ip::v6_only(false));
      acceptor_->bind(wanted);
      acceptor_->listen(1024);
      acceptor_->non_blocking(true);
      endpoint_ = acceptor_->local_endpoint();
    } catch (const boost::system::system_error& error) {
      fail(ErrorCode::kIo, "cannot listen on {}: {}", text_of(wanted), error.code().message());
    }
  }

  void start_threads() {
    try {
      for (const auto& thread : threads_) {
        const bool accepts = thread == threads_.front();
        thread->thread = std::thread([this, &loop = thread->loop, accepts] {
          loop.run([this, accepts] {
            if (accepts) await_connections();
          });
        });
      }
    } catch (const std::system_error& error) {
      stop();
      fail(ErrorCode::kIo, "the system gives no thread to serve the network with: {}", error.what());
    }
  }

  void close_acceptor() {
    boost::system::error_code ignored;
    if (acceptor_) acceptor_->close(ignored);
    pause_->cancel();
  }

  // Accepts the next connection, unless an accept is pending.
  void await_connections() {
    if (waits_ || pauses_ || !acceptor_->is_open()) return;
    acceptor_->async_wait(tcp::acceptor::wait_read,
                          [this, pending = Pending(waits_)](boost::system::error_code error) mutable {
                            pending.end();
                            if (core_.draining) close_acceptor();
                            if (!error && acceptor_->is_open()) accept_all();
                          });
  }

  void accept_all() {
    for (int i = 0; i < kMaxAcceptedAtOnce; ++i) {
      std::string problem;
      try {
        IoLoop& loop = threads_[next_++ % threads_.size()]->loop;
        tcp::socket socket(loop.context);
        boost::system::error_code error;
        acceptor_->accept(socket, error);
        if (error == asio::error::would_block) break;
        if (!error) {
          has_failed_ = false;
          take(loop, std::move(socket));
          continue;
        }
        if (error == asio::error::connection_aborted) continue;
        problem = error.message();
      } catch (const std::bad_alloc&) {
        problem = "out of memory";
      }
      return pause(problem);
    }
    await_connections();
  }

  // Out of descriptors, or the like: waits for connections to close. Logged once, until one is accepted again.
  void pause(const std::string& problem) {
    if (!std::exchange(has_failed_, true)) log_warning("no connection could be accepted: {}", problem);
    pause_->expires_after(kAcceptPause);
    pause_->async_wait([this, pending = Pending(pauses_)](boost::system::error_code cancelled) mutable {
      pending.end();
      if (!cancelled) await_connections();
    });
  }

  void take(IoLoop& loop, tcp::socket socket) {
    ++core_.accepted;
    const int64_t others = core_.connections;
    const bool crowded = others >= core_.limits.max_connections;
    if (crowded) ++core_.refused;
    boost::system::error_code error;
    const tcp::endpoint client = socket.remote_endpoint(error);
    if (error || others >= core_.limits.max_connections + kCrowdedConnections) return;  // closes it
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(asio::socket_base::keep_alive(true), error);
    socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), error);
    auto connection = std::make_shared<Connection>(loop, streams_->make(std::move(socket)), text_of(client), crowded);
    asio::post(loop.context, [&loop, connection = std::move(connection)] { loop.add(connection); });
  }

  ServerCore core_;
  const bool secure_;
  std::unique_ptr<StreamFactory> streams_;
  bool waits_ = false;                              // for a connection
  bool pauses_ = false;                             // before it waits again
  std::vector<std::unique_ptr<IoThread>> threads_;  // the first one accepts connections for all
  std::optional<tcp::acceptor> acceptor_;
  std::optional<asio::steady_timer> pause_;
  tcp::endpoint endpoint_;
  size_t next_ = 0;
  bool has_failed_ = false;
  bool stopped_ = false;
};

HttpServer::HttpServer(const HttpServerOptions& options, HttpApplication& application) {
  check_options(options);
  impl_ = std::make_unique<Impl>(options, application);
}

HttpServer::~HttpServer() = default;

int HttpServer::port() const { return impl_->endpoint().port(); }

std::string HttpServer::url() const {
  return fmt::format("http{}://{}", impl_->secure() ? "s" : "", text_of(impl_->endpoint()));
}

void HttpServer::drain() { impl_->drain(); }

bool HttpServer::wait_until_idle(std::chrono::steady_clock::time_point deadline) {
  return impl_->wait_until_idle(deadline);
}

void HttpServer::stop() { impl_->stop(); }

TransportCounts HttpServer::counts() const { return impl_->counts(); }

bool is_loopback_host(const std::string& host) { return resolve(host, 0).address().is_loopback(); }

}  // namespace glimmer::serve
