#include "serve/http_connection.h"

#include <poll.h>

#include <boost/asio/post.hpp>

#include "base/log.h"

namespace glimmer::serve {
namespace {

namespace http = boost::beast::http;
using Clock = Connection::Clock;

constexpr size_t kReadAheadBytes = 64 << 10;    // pipelined requests buffered while one is being answered
constexpr double kBodyBytesPerS = 16 << 10;     // slowest upload tolerated after the read timeout
constexpr double kLingerS = 2;                  // keep reading after an early answer: a reset would discard it
constexpr size_t kSmallAnswerBytes = 64 << 10;  // larger ones count like bodies of requests
constexpr size_t kSmallBufferBytes = 64 << 10;  // larger buffers are freed when empty, so idle connections stay cheap

// Moves the callback out first: it may end its exchange, which destroys it, or replace it.
void call_back(const ExchangeState& state, std::function<void()>& callback) {
  if (!callback) return;
  std::function<void()> called = std::move(callback);
  callback = nullptr;
  called();
  if (!callback && !state.ended && !state.closed) callback = std::move(called);
}

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

// Runs an I/O handler. An internal failure costs this connection, and affects no other.
template <typename Work>
void Connection::guarded(Work work) noexcept {
  try {
    work();
  } catch (...) {
    const std::string_view about = exchange_ != nullptr ? exchange_->request.id : client_;
    log_warning("{}: the connection is closed, for something went wrong within the server", about);
    lost("aborted");
  }
}

// An exception of an endpoint or its callback becomes the answer, if there is none yet.
template <typename Work>
void Connection::call_endpoint(Work work) {
  const std::shared_ptr<ExchangeState> state = exchange_;
  try {
    work();
  } catch (...) {
    if (state->closed) return;
    if (state != exchange_) throw;  // the answer is out, but the connection could not go on
    if (!state->ended) failed(std::current_exception());
  }
}

void Connection::enter(State state) {
  state_ = state;
  since_ = Clock::now();
}

void Connection::start() {
  enter(State::kHandshake);
  guarded([this] {
    stream_->handshake([self = shared_from_this()](ByteStream::Error error) {
      if (self->state_ == State::kClosed) return;
      if (error) return self->close();
      self->enter(State::kIdle);
      self->guarded([&] { self->advance(); });
    });
  });
}

// ---- reading ----

// A read is always pending, unless too much pipelined input is buffered: this detects disconnected clients.
void Connection::read() {
  if (reading_ || peer_done_ || state_ == State::kClosed) return;
  stream_->read_some(boost::asio::buffer(chunk_), [self = shared_from_this()](ByteStream::Error error, size_t bytes) {
    self->guarded([&] { self->on_read(error, bytes); });
  });
  reading_ = true;
}

void Connection::on_read(ByteStream::Error error, size_t bytes) {
  reading_ = false;
  if (state_ == State::kClosed) return;
  if (!error) {
    if (state_ != State::kLingering) in_.append(chunk_.data(), bytes);
    return advance();
  }
  peer_done_ = true;
  if (state_ != State::kAnswering) return close();
  // A client that half-closes is treated as disconnected: its work ends. Answers that are ready are still sent.
  if (!exchange_->ended || error != boost::asio::error::eof) lost("client_gone");
}

void Connection::advance() {
  for (bool on = true; on;) {
    switch (state_) {
      case State::kIdle:
        on = begin_request();
        break;
      case State::kHead:
        on = parse_head();
        break;
      case State::kBody:
        on = parse_body();
        break;
      case State::kAnswering:
        if (in_.size() < kReadAheadBytes) read();
        on = false;
        break;
      case State::kLingering:
        read();
        on = false;
        break;
      case State::kHandshake:
      case State::kClosed:
        on = false;
        break;
    }
  }
}

// The functions from here to dispatch() return whether there is more to do before more input is needed.

bool Connection::begin_request() {
  in_.erase(0, std::min(in_.find_first_not_of("\r\n"), in_.size()));  // RFC 9112, 2.2
  if (in_.empty()) {
    if (peer_done_) {
      close();
    } else {
      read();
    }
    return false;
  }
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(core_.limits.max_header_bytes));
  parser_->body_limit(static_cast<uint64_t>(core_.limits.max_body_bytes));
  exchange_ = std::make_shared<ExchangeState>();
  exchange_->request.arrival = Clock::now();
  exchange_->request.client = client_;
  method_.clear();
  http_1_0_ = false;
  keep_alive_ = false;
  status_ = 0;
  body_bytes_ = 0;
  sent_bytes_ = 0;
  outcome_ = "ok";
  enter(State::kHead);
  return true;
}

// Feeds the parser. False if it rejected the input.
bool Connection::feed_parser() {
  ByteStream::Error error;
  const size_t used = parser_->put(boost::asio::buffer(in_), error);
  in_.erase(0, used);
  if (!error || error == http::error::need_more) return true;
  if (method_.empty()) fill_request();
  refuse_malformed(error);
  return false;
}

bool Connection::parse_head() {
  if (!feed_parser()) return true;
  if (parser_->is_header_done()) return accept_head();
  read();
  return false;
}

void Connection::fill_request() {
  const auto& message = parser_->get();
  HttpRequest& request = exchange_->request;
  method_ = message.method_string();
  request.method = method_ == "HEAD" ? "GET" : method_;
  for (const auto& field : message) {
    request.headers.emplace_back(lower_case(field.name_string()), std::string(field.value()));
  }
  if (std::optional<Target> target = parse_target(message.target())) {
    request.path = std::move(target->path);
    request.query = std::move(target->query);
  }
  const std::string* given = request.header("x-request-id");
  request.id = given != nullptr && is_request_id(*given) ? *given : new_request_id();
}

// Rejects what Beast accepts but must not be: with two conflicting body lengths a proxy may use the other one (request
// smuggling).
std::string Connection::fault_of_head() {
  const HttpRequest& request = exchange_->request;
  const auto count = [&](std::string_view name) {
    int64_t found = 0;
    for (const auto& header : request.headers) found += header.first == name ? 1 : 0;
    return found;
  };
  if (request.path.empty()) return "the request's target is not a path";
  if (count("host") > 1 || (!http_1_0_ && count("host") == 0)) return "there must be one Host header";
  const std::string* encoding = request.header("transfer-encoding");
  if (count("content-length") > 1 || (encoding != nullptr && count("content-length") > 0)) {
    return "the length of the body is given twice";
  }
  if (encoding != nullptr && (http_1_0_ || count("transfer-encoding") > 1 || lower_case(*encoding) != "chunked")) {
    return "of transfer encodings only chunked is known";
  }
  return {};
}

bool Connection::accept_head() {
  fill_request();
  HttpRequest& request = exchange_->request;
  const unsigned version = parser_->get().version();
  http_1_0_ = version == 10;
  if (version != 10 && version != 11) return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here"), true;
  if (const std::string fault = fault_of_head(); !fault.empty()) {
    ++core_.malformed;
    return refuse(400, fault), true;
  }
  const std::string* expected = request.header("expect");
  const bool expects_continue = expected != nullptr && lower_case(*expected) == "100-continue";
  if (expected != nullptr && !expects_continue) return refuse(417, "this expectation is not known"), true;
  if (crowded_) return refuse(503, "there are too many connections"), true;

  std::optional<HttpAnswer> refusal;
  try {
    refusal = core_.application.admit(request);
  } catch (...) {
    refusal = core_.application.error_answer(std::current_exception(), request, exchange_->notes);
  }
  keep_alive_ = !http_1_0_ && parser_->keep_alive() && (parser_->is_done() || !refusal);
  if (refusal) return send_refusal(*refusal), true;
  if (expects_continue && !parser_->is_done() && in_.empty()) {
    waiting_ += "HTTP/1.1 100 Continue\r\n\r\n";
    send();
  }
  parser_->eager(true);
  enter(State::kBody);
  return true;
}

bool Connection::parse_body() {
  if (!parser_->is_done()) {
    if (!in_.empty() && !feed_parser()) return true;
    const auto size = static_cast<int64_t>(parser_->get().body().size());
    buffered_.set(size);
    body_bytes_ = size;
    if (*core_.buffered_bytes > core_.limits.max_buffered_bytes) {
      return refuse(503, "the server holds too many bodies of requests at present"), true;
    }
    // Chunked overhead: chunk sizes and trailers.
    if (static_cast<int64_t>(in_.size()) > core_.limits.max_header_bytes) {
      return refuse(431, "the headers of a chunk are too long"), true;
    }
    if (!parser_->is_done()) {
      read();
      return false;
    }
  }
  dispatch();
  return true;
}

void Connection::dispatch() {
  exchange_->request.body = std::move(parser_->get().body());
  exchange_->request.buffered = std::exchange(buffered_, BufferedBytes(core_.buffered_bytes));
  parser_.reset();
  enter(State::kAnswering);
  in_flight_ = true;
  ++core_.in_flight;
  const std::shared_ptr<ExchangeState> state = exchange_;
  call_endpoint([&] { core_.application.handle(make_exchange(loop_.context, weak_from_this(), state)); });
  if (peer_done_ && !state->ended && !state->closed) lost("client_gone");
}

// ---- answering ----

void Connection::refuse_malformed(ByteStream::Error error) {
  if (error == http::error::header_limit) {
    return refuse(431,
                  "the request's headers are larger than " + std::to_string(core_.limits.max_header_bytes) + " bytes");
  }
  if (error == http::error::buffer_overflow) return refuse(503, "the server has no memory for this request");
  if (error == http::error::body_limit) {
    return refuse(413, "the request's body is larger than " + std::to_string(core_.limits.max_body_bytes) + " bytes");
  }
  ++core_.malformed;
  if (error == http::error::bad_version) return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  refuse(400, "the request is not HTTP/1.1: " + error.message());
}

// Answers a request that was not read completely, and closes the connection.
void Connection::refuse(int status, const std::string& message) {
  keep_alive_ = false;
  if (exchange_->request.id.empty()) exchange_->request.id = new_request_id();
  exchange_->notes.error = message;
  send_refusal(core_.application.refusal(status, message, exchange_->request));
}

void Connection::send_refusal(const HttpAnswer& answer) {
  release_body();
  enter(State::kAnswering);
  exchange_->begun = true;
  send_whole(answer.status, answer.content_type, answer.body, answer.headers);
}

void Connection::failed(const std::exception_ptr& exception) {
  if (exchange_->begun) return break_off("aborted");
  const HttpAnswer answer = core_.application.error_answer(exception, exchange_->request, exchange_->notes);
  exchange_->begun = true;
  send_whole(answer.status, answer.content_type, answer.body, answer.headers);
}

void Connection::send_head(ResponseHead head, const HttpHeaders& headers) {
  status_ = head.status;
  if (core_.draining) keep_alive_ = false;
  head.request_id = exchange_->request.id;
  head.keep_alive = keep_alive_;
  HttpHeaders all = headers;
  core_.application.decorate(exchange_->request, all);
  waiting_ += response_head(head, all);
}

void Connection::send_whole(int status, std::string_view content_type, std::string_view body,
                            const HttpHeaders& headers) {
  if (body.size() > kSmallAnswerBytes) {
    BufferedBytes& buffered = exchange_->request.buffered;
    buffered.set(static_cast<int64_t>(body.size()));
    if (*core_.buffered_bytes > core_.limits.max_buffered_bytes) {
      buffered.set(0);
      exchange_->notes.error = "the server holds too many bodies of requests and answers at present";
      const HttpAnswer refusal = core_.application.refusal(503, exchange_->notes.error, exchange_->request);
      return send_whole(refusal.status, refusal.content_type, refusal.body, refusal.headers);
    }
  }
  send_head({.status = status, .content_type = content_type, .body_bytes = static_cast<int64_t>(body.size())}, headers);
  if (method_ != "HEAD") waiting_ += body;
  exchange_->ended = true;
  send();
}

void Connection::begin_chunks(std::string_view content_type, const HttpHeaders& headers) {
  if (http_1_0_) keep_alive_ = false;
  send_head({.content_type = content_type, .body_bytes = http_1_0_ ? kUntilClose : kChunked}, headers);
  last_queued_ = Clock::now();
  send();
}

void Connection::send_chunk(std::string_view bytes) {
  const auto bound = static_cast<size_t>(core_.limits.stream_buffer_bytes);
  if (queued_bytes() >= 2 * bound) {  // deferred: not within the endpoint's call
    boost::asio::post(loop_.context, [self = shared_from_this(), state = exchange_] {
      if (state == self->exchange_) self->lost("overrun");
    });
    return;
  }
  if (http_1_0_) {
    waiting_ += bytes;
  } else {
    fmt::format_to(std::back_inserter(waiting_), "{:x}\r\n", bytes.size());
    waiting_.append(bytes).append("\r\n");
  }
  last_queued_ = Clock::now();
  if (queued_bytes() >= bound) exchange_->full = true;
  send();
}

void Connection::end_chunks() {
  if (!http_1_0_) waiting_ += "0\r\n\r\n";
  exchange_->ended = true;
  send();
  if (queued_bytes() == 0) answered();
}

void Connection::break_off(std::string_view outcome) {
  exchange_->ended = true;
  if (!exchange_->begun) return lost(outcome);
  keep_alive_ = false;
  outcome_ = outcome;
  if (!writing_) answered();
}

void Connection::send() {
  if (writing_ || state_ == State::kClosed) return;
  if (sent_of_sending_ == sending_.size()) {
    sending_.clear();
    if (sending_.capacity() > kSmallBufferBytes) sending_.shrink_to_fit();
    sending_.swap(waiting_);
    sent_of_sending_ = 0;
  }
  if (sending_.empty()) return;
  last_progress_ = Clock::now();
  try {
    stream_->write_some(boost::asio::buffer(sending_) + sent_of_sending_,
                        [self = shared_from_this()](ByteStream::Error error, size_t bytes) {
                          self->guarded([&] { self->on_sent(error, bytes); });
                        });
    writing_ = true;
  } catch (const std::bad_alloc&) {  // retried at the next check of deadlines
  }
}

void Connection::on_sent(ByteStream::Error error, size_t bytes) {
  writing_ = false;
  if (state_ == State::kClosed) return;
  if (error) return lost("client_gone");
  sent_of_sending_ += bytes;
  sent_bytes_ += static_cast<int64_t>(bytes);
  send();
  if (state_ != State::kAnswering) return;
  if (!writing_ && exchange_->ended) return answered();
  if (exchange_->full && queued_bytes() <= static_cast<size_t>(core_.limits.stream_buffer_bytes) / 2) tell_writable();
}

void Connection::tell_writable() {
  const std::shared_ptr<ExchangeState> state = exchange_;
  state->full = false;
  if (!state->ended) call_endpoint([&] { call_back(*state, state->on_writable); });
}

void Connection::look(ExchangeState& state) {
  if (&state != exchange_.get()) return;  // it has been answered
  const std::shared_ptr<ExchangeState> kept = exchange_;
  guarded([&] {
    if (state.has_news.exchange(false) && !state.ended) call_endpoint([&] { call_back(state, state.on_news); });
    if (!state.abandoned || state.ended || state.closed) return;
    failed(std::make_exception_ptr(std::logic_error("the endpoint let go of a request without an answer")));
  });
}

// The last byte of the answer has been written.
void Connection::answered() {
  record();
  release_request();
  if (!keep_alive_) return end_politely();
  enter(State::kIdle);
  if (peer_done_ && in_.empty()) return close();
  advance();
}

void Connection::record() {
  const HttpRequest& request = exchange_->request;
  const int status = exchange_->begun ? status_ : 499;
  core_.application.done({.request = request,
                          .notes = exchange_->notes,
                          .method = method_,
                          .status = status,
                          .received_bytes = body_bytes_,
                          .sent_bytes = sent_bytes_,
                          .seconds = seconds_between(request.arrival, Clock::now()),
                          .outcome = outcome_});
}

void Connection::release_body() {
  buffered_.set(0);
  parser_.reset();
}

void Connection::release_request() {
  if (in_flight_) --core_.in_flight;
  in_flight_ = false;
  body_bytes_ = 0;
  release_body();
  // Callbacks keep the endpoint's state alive, including the exchange.
  if (const std::shared_ptr<ExchangeState> state = std::move(exchange_)) {
    state->ended = true;
    const std::function<void()> callbacks[] = {std::move(state->on_news), std::move(state->on_writable),
                                               std::move(state->on_closed)};
  }
}

// ---- closing ----

// The client is gone: tells the running request, if any.
void Connection::lost(std::string_view outcome) noexcept {
  if (state_ == State::kClosed) return;
  const bool answering = state_ == State::kAnswering && exchange_ != nullptr;
  const std::shared_ptr<ExchangeState> state = exchange_;
  if (answering && !state->ended) {
    state->closed = true;
    const std::function<void()> callback = std::move(state->on_closed);
    try {
      if (callback) callback();
    } catch (...) {
      log_warning("request {}: an exception on the way out", state->request.id);
    }
  }
  if (answering) {
    outcome_ = outcome;
    record();
  }
  close();
}

void Connection::end_politely() {
  enter(State::kLingering);
  in_.clear();
  stream_->end_sending([self = shared_from_this()] {
    if (self->state_ == State::kLingering && self->peer_done_) self->close();
  });
  if (state_ == State::kLingering) read();
}

// Whether the client closed after input that we have not read.
bool Connection::hung_up() {
  pollfd asked = {.fd = stream_->socket().native_handle(), .events = POLLRDHUP, .revents = 0};
  return !exchange_->ended && ::poll(&asked, 1, 0) > 0;
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  enter(State::kClosed);
  release_request();
  stream_->close();
  loop_.remove(shared_from_this());
}

void Connection::check(Clock::time_point now) noexcept {
  guarded([&] {
    if (exchange_ != nullptr && (exchange_->has_news || exchange_->abandoned)) look(*exchange_);
    if (!writing_ && queued_bytes() > 0 && (state_ == State::kAnswering || state_ == State::kBody)) send();
    if (state_ != State::kClosed) check_deadlines(now);
  });
}

void Connection::check_deadlines(Clock::time_point now) {
  const TransportLimits& limits = core_.limits;
  const double seconds = seconds_between(since_, now);
  switch (state_) {
    case State::kHandshake:
      if (seconds < limits.read_timeout_s) return;
      ++core_.timeouts;
      return close();
    case State::kIdle:
      if (seconds < (crowded_ ? std::min(kLingerS, limits.idle_timeout_s) : limits.idle_timeout_s)) return;
      return close();
    case State::kHead:
    case State::kBody:
      if (seconds < limits.read_timeout_s + static_cast<double>(body_bytes_) / kBodyBytesPerS) return;
      ++core_.timeouts;
      if (method_.empty()) fill_request();
      return refuse(408, "the request did not come in time");
    case State::kAnswering:
      if (writing_ && seconds_between(last_progress_, now) >= limits.write_timeout_s) {
        ++core_.timeouts;
        return lost("write_timeout");
      }
      if (!reading_ && hung_up()) return lost("client_gone");
      if (exchange_->begun && !exchange_->ended && !exchange_->heartbeat.empty() && !writing_ &&
          seconds_between(last_queued_, now) >= limits.heartbeat_s) {
        send_chunk(exchange_->heartbeat);
      }
      return;
    case State::kLingering:
      if (seconds >= kLingerS) close();
      return;
    case State::kClosed:
      return;
  }
}

}  // namespace glimmer::serve
