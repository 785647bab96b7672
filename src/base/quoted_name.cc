#include "base/quoted_name.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace glimmer {
namespace {

constexpr size_t kMaxQuotedBytes = 160;

bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// C0, DEL and C1 controls move a terminal's cursor or colours; the separators and direction marks garble a line.
bool is_printable(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return false;
  return c != 0x2028 && c != 0x2029 && !(c >= 0x200E && c <= 0x200F) && !(c >= 0x202A && c <= 0x202E) &&
         !(c >= 0x2066 && c <= 0x2069);
}

void append_quoted(std::string& out, std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (point.value == '"' || point.value == '\\') {
      out += '\\';
      out += static_cast<char>(point.value);
    } else if (is_printable(point.value)) {
      append_utf8(out, point.value);
    } else {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(point.value));
    }
    at += point.size_bytes;
  }
}

}  // namespace

std::string quoted_name(std::string_view name) {
  std::string out = "\"";
  if (name.size() <= kMaxQuotedBytes) {
    append_quoted(out, name);
  } else {
    size_t head = kMaxQuotedBytes / 2;
    size_t tail = name.size() - kMaxQuotedBytes / 4;
    for (int i = 0; i < 3 && is_continuation(name[head]); ++i) --head;
    for (int i = 0; i < 3 && is_continuation(name[tail]); ++i) ++tail;
    append_quoted(out, name.substr(0, head));
    out += fmt::format("[... {} bytes ...]", tail - head);
    append_quoted(out, name.substr(tail));
  }
  return out + '"';
}

}  // namespace glimmer
