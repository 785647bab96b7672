// Answers that may be many times as large as their request: generated piece by piece as the client reads, never held
// whole in memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/exchange.h"

namespace glimmer::serve {

// Appends the next piece, some KiB of it; false when there is nothing behind that.
using NextPiece = std::function<bool(std::string& out)>;

// Answers 200 with JSON: whole if small, else as a stream, calling `next` while the client reads. An exception from
// `next` aborts the answer.
void respond_in_pieces(const std::shared_ptr<Exchange>& exchange, NextPiece next);

// One behind the other.
NextPiece in_order(std::vector<NextPiece> parts);

// The text as it is.
NextPiece json_piece(std::string text);
// The text as a JSON string without its quotes; ill-formed UTF-8 becomes U+FFFD.
NextPiece string_pieces(std::shared_ptr<const std::string> text);

}  // namespace glimmer::serve
