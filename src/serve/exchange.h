// One request and its answer: an endpoint's only view of the network.
//
// Each connection belongs to one I/O thread, and so does each of its exchanges: endpoints are called there, callbacks
// run there, and every function of an Exchange but tell_news(), closed(), request() and id() may be called there only.
// Another thread (the engine's) that has news calls tell_news(). The I/O thread serves other connections too, so code
// that runs on it must not block.
//
// An endpoint answers with one respond(), or with begin_stream(), write()s and end_stream(), at once or later, for
// which it keeps the shared_ptr. Dropping the last shared_ptr without an answer sends a 500, as does an exception (an
// ApiError: that error).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace glimmer::serve {

struct Service;  // service.h: the model and the engine that endpoints work with
struct Route;    // routes.h

// Names are compared without regard to case and are in lower case in requests.
using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// Counts the bytes of request bodies in memory over all requests of a server, from arrival until they are freed,
// whoever holds them by then.
class BufferedBytes {
 public:
  using Counter = std::shared_ptr<std::atomic<int64_t>>;

  BufferedBytes() = default;
  explicit BufferedBytes(Counter counter) : counter_(std::move(counter)) {}
  BufferedBytes(BufferedBytes&& other) noexcept
      : counter_(std::move(other.counter_)), bytes_(std::exchange(other.bytes_, 0)) {}
  BufferedBytes& operator=(BufferedBytes&& other) noexcept {
    std::swap(counter_, other.counter_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BufferedBytes() { set(0); }

  void set(int64_t bytes) {
    if (counter_) *counter_ += bytes - bytes_;
    bytes_ = bytes;
  }

 private:
  Counter counter_;
  int64_t bytes_ = 0;
};

struct HttpRequest {
  std::string id;         // unique; the client's X-Request-Id if it is fit to be one; given back in the same header
  std::string method;     // "GET", ...; HEAD comes as GET, and the body of the answer is then left out
  std::string path;       // percent-decoded, without the query
  std::string parameter;  // what stands in the path where the route has {name}
  std::string query;      // behind the "?", as sent
  HttpHeaders headers;
  std::string body;
  BufferedBytes buffered;  // the body's
  std::string key_id;  // tells API keys apart and survives a restart, never the key itself; empty: the server has none
  std::string client;  // address and port
  std::chrono::steady_clock::time_point arrival;  // of the first byte
  const Route* route = nullptr;

  const std::string* header(std::string_view lower_case_name) const;  // the first of that name, or null
  // When it has been read. What is kept of it, in other forms, counts until the request ends.
  void drop_body(int64_t kept_bytes = 0);
};

// An endpoint's contribution to the log line and the metrics. Contains nothing that users wrote, except where noted.
struct RequestNotes {
  std::string model;
  int64_t prompt_tokens = -1;  // -1: it has none
  int64_t cached_tokens = -1;
  int64_t completion_tokens = -1;
  int64_t reasoning_tokens = -1;
  double queue_s = -1;
  double first_token_s = -1;
  std::string finish_reason;
  std::string error;                 // the message of an error that was answered, or that ended a stream
  std::vector<std::string> remarks;  // fields that are not known, output that could not be parsed, ...
  std::string prompt;                // only with --log-prompts
  std::string answer;                // only with --log-prompts
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual HttpRequest& request() = 0;
  const std::string& id() { return request().id; }
  virtual RequestNotes& notes() = 0;

  // tell_news(), from any thread, has the callback run on this exchange's I/O thread, soon; of several calls one may be
  // made. It needs no memory: where there is none, it is only later. An exception that leaves the callback ends the
  // exchange as one that leaves the endpoint does.
  virtual void on_news(std::function<void()> callback) = 0;
  virtual void tell_news() noexcept = 0;

  // Sends the whole answer. Ignored if the client is gone or an answer has begun.
  virtual void respond(int status, std::string_view content_type, std::string body, HttpHeaders headers = {}) = 0;

  // Begins a chunked answer with status 200. `heartbeat` is a keep-alive, sent after --heartbeat seconds of silence: it
  // keeps proxies and clients from timing out, and detects clients that are gone. Empty: none.
  virtual void begin_stream(std::string_view content_type, std::string heartbeat, HttpHeaders headers = {}) = 0;

  // Queues bytes for the client, in order. Check writable() first: the queue takes a little more than its bound, so
  // that an event need not be split, but a writer that ignores the bound is disconnected. Ignored if the client is
  // gone.
  virtual void write(std::string_view bytes) = 0;
  virtual void end_stream() = 0;

  // Ends a stream by breaking the connection, so that the client sees that it is incomplete.
  virtual void abort_stream() = 0;

  // Whether the queue has room: false from its bound (--stream-buffer) on, until the client has read half of it.
  // on_writable's callback is called whenever it has room again.
  virtual bool writable() const = 0;
  virtual void on_writable(std::function<void()> callback) = 0;

  // Called once when the client disconnects: it closed the connection or its half of it, read nothing for the write
  // timeout, or the server shuts down. Not called after a whole answer, nor if the client is gone already.
  virtual void on_closed(std::function<void()> callback) = 0;
  virtual bool closed() const = 0;

  virtual bool answered() const = 0;  // an answer has begun
};

using Endpoint = void (*)(Service& service, std::shared_ptr<Exchange> exchange);

}  // namespace glimmer::serve
