#include "serve/answer_pieces.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "text/argument_value.h"

namespace glimmer::serve {
namespace {

constexpr size_t kWholeBytes = 64 << 10;  // up to here the answer is sent whole, with a Content-Length
constexpr size_t kPieceBytes = 16 << 10;
constexpr std::string_view kJsonType = "application/json";

class PieceWriter : public std::enable_shared_from_this<PieceWriter> {
 public:
  PieceWriter(std::shared_ptr<Exchange> exchange, NextPiece next)
      : exchange_(std::move(exchange)), next_(std::move(next)) {}

  void begin() {
    std::string out;
    bool goes_on = true;
    while (goes_on && out.size() < kWholeBytes) goes_on = next_(out);
    if (!goes_on) return exchange_->respond(200, kJsonType, std::move(out));
    exchange_->begin_stream(kJsonType, "");
    exchange_->on_writable([self = shared_from_this()] { self->go_on(); });
    exchange_->write(out);
    go_on();
  }

 private:
  void go_on() {
    std::string out;
    for (bool goes_on = true; goes_on && exchange_->writable();) {
      out.clear();
      goes_on = next_(out);
      exchange_->write(out);
      if (!goes_on) exchange_->end_stream();
    }
  }

  std::shared_ptr<Exchange> exchange_;
  NextPiece next_;
};

}  // namespace

void respond_in_pieces(const std::shared_ptr<Exchange>& exchange, NextPiece next) {
  std::make_shared<PieceWriter>(exchange, std::move(next))->begin();
}

NextPiece in_order(std::vector<NextPiece> parts) {
  return [parts = std::move(parts), at = size_t{0}](std::string& out) mutable {
    if (!parts[at](out)) ++at;
    return at < parts.size();
  };
}

NextPiece json_piece(std::string text) {
  return [text = std::move(text)](std::string& out) {
    out += text;
    return false;
  };
}

NextPiece string_pieces(std::shared_ptr<const std::string> text) {
  return [text = std::move(text), at = size_t{0}](std::string& out) mutable {
    std::string_view piece = std::string_view(*text).substr(at, kPieceBytes);
    if (at + piece.size() < text->size()) piece.remove_suffix(incomplete_utf8_suffix_bytes(piece));
    const std::string quoted = json_string(piece);
    out.append(quoted, 1, quoted.size() - 2);
    at += piece.size();
    return at < text->size();
  };
}

}  // namespace glimmer::serve
