// An HTTP/1.1 server: sockets, messages, limits and timeouts. The answers come from the application.
//
// Boost.Asio and Beast stay in http_server.cc, http_connection.cc and byte_stream.cc: they are heavy to compile.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/exchange.h"
#include "serve/limits.h"
#include "serve/tls.h"

namespace glimmer::serve {

struct HttpAnswer {
  int status = 200;
  std::string content_type;
  std::string body;
  HttpHeaders headers;
};

// How a request ended, for the log and the metrics.
struct RequestRecord {
  const HttpRequest& request;  // the body may have been moved out
  const RequestNotes& notes;
  std::string_view method;     // as sent
  int status = 0;              // 499: the client was gone before an answer began
  int64_t received_bytes = 0;  // of the body
  int64_t sent_bytes = 0;      // of the answer, head and all
  double seconds = 0;          // from the first byte of the request to the last of the answer
  std::string_view outcome;    // "ok", "client_gone", "write_timeout", "aborted", "shutdown"
};

// The application. Called concurrently on all I/O threads. May throw: the client then gets error_answer().
class HttpApplication {
 public:
  virtual ~HttpApplication() = default;

  // Checks the head of a request before its body is read. Returning an answer refuses it. May fill in request fields.
  virtual std::optional<HttpAnswer> admit(HttpRequest& head) = 0;
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;
  // For a request that went wrong in the transport; the path may be empty.
  virtual HttpAnswer refusal(int status, const std::string& message, const HttpRequest& request) = 0;
  virtual HttpAnswer error_answer(const std::exception_ptr& exception, const HttpRequest& request,
                                  RequestNotes& notes) = 0;
  // Headers that go with every answer to this request.
  virtual void decorate(const HttpRequest& request, HttpHeaders& headers) = 0;
  virtual void done(const RequestRecord& record) = 0;
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";  // an address, or a name that resolves to one
  int64_t port = 8080;             // 0: any that is free
  int64_t threads = 2;
  std::optional<TlsFiles> tls;
  TransportLimits limits;
};

struct TransportCounts {
  int64_t connections = 0;     // now
  int64_t in_flight = 0;       // requests that are being answered
  int64_t buffered_bytes = 0;  // of bodies
  int64_t accepted = 0;        // since the start
  int64_t refused = 0;         // beyond max_connections
  int64_t timeouts = 0;        // of reading, of writing
  int64_t malformed = 0;       // that were no HTTP
};

class HttpServer {
 public:
  // Listens at once. `application` must outlive the server. Throws kUsage for options out of range, kIo when the
  // address cannot be had or a TLS file not be read.
  HttpServer(const HttpServerOptions& options, HttpApplication& application);
  // stop(). Whoever else holds exchanges must have let go of their posting by then: stop the engine first.
  ~HttpServer();

  int port() const;
  std::string url() const;  // "http://127.0.0.1:8080"

  // Stops accepting. Running requests go on; connections close after their answer.
  void drain();
  // Waits until no request is running, at most this long. False on timeout.
  bool wait_until_idle(std::chrono::steady_clock::time_point deadline);
  // Closes every connection (unanswered exchanges get on_closed) and joins the threads.
  void stop();

  TransportCounts counts() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether this host is, or resolves to, an address that only this machine can reach. Throws kIo if it does not resolve.
bool is_loopback_host(const std::string& host);

}  // namespace glimmer::serve
