#include "base/printable_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace glimmer {
namespace {

bool is_plain(char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\t'; }

bool gives_orders(char32_t c) {
  const bool is_control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  const bool turns_text = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return is_control || turns_text;
}

void append_printable(std::string& out, std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto end = std::find_if_not(text.begin() + static_cast<int64_t>(at), text.end(), is_plain) - text.begin();
    out.append(text.substr(at, static_cast<size_t>(end) - at));
    at = static_cast<size_t>(end);
    if (at == text.size()) return;
    const CodePoint point = decode_utf8(text, at);
    if (text.substr(at).starts_with("\r\n")) {
      out += '\r';
    } else if (!point.valid) {
      append_utf8(out, kReplacementCharacter);
    } else if (gives_orders(point.value)) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(point.value));
    } else {
      out.append(text.substr(at, point.size_bytes));
    }
    at += point.size_bytes;
  }
}

}  // namespace

std::string printable_line(std::string_view text) {
  std::string one_line(text);
  std::replace_if(
      one_line.begin(), one_line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  std::string out;
  append_printable(out, one_line);
  return out;
}

std::string PrintableText::add(std::string_view piece) {
  std::string text = std::exchange(kept_, {}).append(piece);
  const size_t kept_bytes = text.ends_with('\r') ? 1 : incomplete_utf8_suffix_bytes(text);
  kept_ = text.substr(text.size() - kept_bytes);
  std::string out;
  append_printable(out, std::string_view(text).substr(0, text.size() - kept_bytes));
  return out;
}

std::string PrintableText::finish() {
  std::string out;
  append_printable(out, std::exchange(kept_, {}));
  return out;
}

}  // namespace glimmer
