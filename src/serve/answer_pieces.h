// Answers that may be many times as large as their request: written piece by piece, as the client reads them, and never
// whole in memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/exchange.h"

namespace glimmer {

// Appends the next piece, some KiB of it; false when there is nothing behind that.
using NextPiece = std::function<bool(std::string& out)>;

// Answers with status 200 and JSON: whole where it is small, else as a stream, for which `next` is called as long as
// the client reads. What `next` throws breaks the answer off.
void respond_in_pieces(const std::shared_ptr<Exchange>& exchange, NextPiece next);

// One behind the other.
NextPiece in_order(std::vector<NextPiece> parts);

// The text as it is.
NextPiece json_piece(std::string text);
// The text as a JSON string without its quotes; ill-formed UTF-8 becomes U+FFFD.
NextPiece string_pieces(std::shared_ptr<const std::string> text);

}  // namespace glimmer
