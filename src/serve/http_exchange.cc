#include "serve/http_exchange.h"

#include <boost/asio/post.hpp>

namespace glimmer::serve {
namespace {

class HttpExchange final : public Exchange {
 public:
  HttpExchange(boost::asio::io_context& context, std::weak_ptr<ExchangeOwner> owner,
               std::shared_ptr<ExchangeState> state)
      : context_(context), owner_(std::move(owner)), state_(std::move(state)) {}

  ~HttpExchange() override {
    if (state_->ended || state_->closed) return;
    state_->abandoned = true;
    wake();
  }

  HttpRequest& request() override { return state_->request; }
  RequestNotes& notes() override { return state_->notes; }

  void on_news(std::function<void()> callback) override { state_->on_news = std::move(callback); }

  void tell_news() noexcept override {
    if (!state_->has_news.exchange(true)) wake();
  }

  void respond(int status, std::string_view content_type, std::string body, HttpHeaders headers) override {
    const std::shared_ptr<ExchangeOwner> owner = alive();
    if (owner == nullptr || state_->begun) return;
    state_->begun = true;
    owner->send_whole(status, content_type, body, headers);
  }

  void begin_stream(std::string_view content_type, std::string heartbeat, HttpHeaders headers) override {
    const std::shared_ptr<ExchangeOwner> owner = alive();
    if (owner == nullptr || state_->begun) return;
    state_->begun = true;
    state_->heartbeat = std::move(heartbeat);
    owner->begin_chunks(content_type, headers);
  }

  void write(std::string_view bytes) override {
    const std::shared_ptr<ExchangeOwner> owner = alive();
    if (owner != nullptr && state_->begun && !bytes.empty()) owner->send_chunk(bytes);
  }

  void end_stream() override {
    const std::shared_ptr<ExchangeOwner> owner = alive();
    if (owner != nullptr && state_->begun) owner->end_chunks();
  }

  void abort_stream() override {
    const std::shared_ptr<ExchangeOwner> owner = alive();
    if (owner != nullptr) owner->break_off("aborted");
  }

  bool writable() const override { return !state_->full; }
  void on_writable(std::function<void()> callback) override { state_->on_writable = std::move(callback); }

  void on_closed(std::function<void()> callback) override {
    if (!state_->closed && !state_->ended) state_->on_closed = std::move(callback);
  }

  bool closed() const override { return state_->closed; }
  bool answered() const override { return state_->begun; }

 private:
  std::shared_ptr<ExchangeOwner> alive() const { return state_->ended || state_->closed ? nullptr : owner_.lock(); }

  // May run on any thread: the work is left to the connection's.
  void wake() noexcept {
    try {
      boost::asio::post(context_, [owner = owner_, state = state_] {
        if (const std::shared_ptr<ExchangeOwner> connection = owner.lock()) connection->look(*state);
      });
    } catch (...) {  // no memory: found at the connection's next check of deadlines
    }
  }

  boost::asio::io_context& context_;
  std::weak_ptr<ExchangeOwner> owner_;
  std::shared_ptr<ExchangeState> state_;
};

}  // namespace

std::shared_ptr<Exchange> make_exchange(boost::asio::io_context& context, std::weak_ptr<ExchangeOwner> owner,
                                        std::shared_ptr<ExchangeState> state) {
  return std::make_shared<HttpExchange>(context, std::move(owner), std::move(state));
}

}  // namespace glimmer::serve
