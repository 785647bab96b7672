// An Exchange over a connection, as the endpoint holds it.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <memory>

#include "serve/exchange.h"

namespace glimmer::serve {

// State of one request, shared by connection and endpoint.
struct ExchangeState {
  HttpRequest request;
  RequestNotes notes;
  std::function<void()> on_news;
  std::function<void()> on_writable;
  std::function<void()> on_closed;
  std::string heartbeat;
  bool begun = false;                // an answer has
  std::atomic<bool> ended = false;   // it is whole, or there will be no more of it
  std::atomic<bool> closed = false;  // the client is gone
  bool full = false;                 // the queue came to its bound, and has not been half empty since
  // What another thread has to say, which the connection also finds by itself where it could not be told.
  std::atomic<bool> has_news = false;
  std::atomic<bool> abandoned = false;  // the endpoint let go of it without an answer
};

// The connection as an exchange uses it, on the I/O thread.
class ExchangeOwner {
 public:
  virtual ~ExchangeOwner() = default;
  virtual void send_whole(int status, std::string_view content_type, std::string_view body,
                          const HttpHeaders& headers) = 0;
  virtual void begin_chunks(std::string_view content_type, const HttpHeaders& headers) = 0;
  virtual void send_chunk(std::string_view bytes) = 0;
  virtual void end_chunks() = 0;
  virtual void break_off(std::string_view outcome) = 0;
  virtual void look(ExchangeState& state) = 0;  // for what another thread has to say
};

// `owner` lives in `context`'s thread only; the exchange may be let go of anywhere.
std::shared_ptr<Exchange> make_exchange(boost::asio::io_context& context, std::weak_ptr<ExchangeOwner> owner,
                                        std::shared_ptr<ExchangeState> state);

}  // namespace glimmer::serve
