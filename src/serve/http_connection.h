// One connection of the HTTP server: reads requests in turn, hands each to the application as an exchange, and writes
// the answer. Runs on one I/O thread and never blocks.
#pragma once

#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/byte_stream.h"
#include "serve/http_exchange.h"
#include "serve/http_text.h"
#include "serve/io_loop.h"

namespace glimmer::serve {

class Connection final : public ExchangeOwner, public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  // `crowded`: there are too many; it is told so, and closed.
  Connection(IoLoop& loop, std::unique_ptr<ByteStream> stream, std::string client, bool crowded)
      : loop_(loop),
        core_(loop.core),
        stream_(std::move(stream)),
        client_(std::move(client)),
        crowded_(crowded),
        buffered_(core_.buffered_bytes) {
    ++core_.connections;
  }
  ~Connection() override {
    release_request();
    --core_.connections;
  }

  void start();
  void check(Clock::time_point now) noexcept;  // deadlines, and notifications that could not be posted
  void lost(std::string_view outcome) noexcept;

  void send_whole(int status, std::string_view content_type, std::string_view body,
                  const HttpHeaders& headers) override;
  void begin_chunks(std::string_view content_type, const HttpHeaders& headers) override;
  void send_chunk(std::string_view bytes) override;
  void end_chunks() override;
  void break_off(std::string_view outcome) override;
  void look(ExchangeState& state) override;

 private:
  enum class State {
    kHandshake,
    kIdle,  // nothing of a request is there yet
    kHead,  // of a request is being read
    kBody,
    kAnswering,  // until the last byte of the answer is out
    kLingering,  // nothing more is sent; input is discarded
    kClosed,
  };

  template <typename Work>
  void guarded(Work work) noexcept;
  void enter(State state);

  void read();
  void on_read(ByteStream::Error error, size_t bytes);
  void advance();
  bool begin_request();
  bool parse_head();
  bool accept_head();
  bool parse_body();
  bool feed_parser();
  void fill_request();
  std::string fault_of_head();
  void dispatch();
  template <typename Work>
  void call_endpoint(Work work);
  void failed(const std::exception_ptr& exception);
  void check_deadlines(Clock::time_point now);
  void refuse(int status, const std::string& message);
  void refuse_malformed(ByteStream::Error error);
  void send_refusal(const HttpAnswer& answer);

  void send_head(ResponseHead head, const HttpHeaders& headers);
  size_t queued_bytes() const { return sending_.size() - sent_of_sending_ + waiting_.size(); }
  void send();
  void on_sent(ByteStream::Error error, size_t bytes);
  void tell_writable();
  void answered();
  void record();
  void release_body();
  void release_request();
  void end_politely();
  bool hung_up();
  void close();

  IoLoop& loop_;
  ServerCore& core_;
  std::unique_ptr<ByteStream> stream_;
  std::string client_;
  const bool crowded_;
  State state_ = State::kHandshake;
  Clock::time_point since_;  // when the state was entered

  std::array<char, 16 << 10> chunk_;  // of one read
  std::string in_;                    // read, but not parsed yet
  bool reading_ = false;
  bool peer_done_ = false;  // nothing more comes

  // One request
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  std::shared_ptr<ExchangeState> exchange_;
  std::string method_;  // as sent
  bool http_1_0_ = false;
  bool keep_alive_ = false;
  bool in_flight_ = false;
  int64_t body_bytes_ = 0;
  BufferedBytes buffered_;  // of those, until the endpoint has them
  int status_ = 0;
  int64_t sent_bytes_ = 0;
  std::string_view outcome_;

  // Output: `sending_` is being written, `waiting_` follows.
  std::string sending_;
  size_t sent_of_sending_ = 0;
  std::string waiting_;
  bool writing_ = false;
  Clock::time_point last_progress_;
  Clock::time_point last_queued_;
};

}  // namespace glimmer::serve
