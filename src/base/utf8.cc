#include "base/utf8.h"

#include <algorithm>

namespace glimmer {
namespace {

// The range that the second byte must lie in, by the first (Unicode 3.9, table 3-7), and the sequence's length.
struct Lead {
  uint8_t size_bytes;
  uint8_t second_low;
  uint8_t second_high;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Bytes from `at` that follow the rules of their lead byte, at most its length.
uint32_t well_formed_prefix(std::string_view text, size_t at, const Lead& lead) {
  uint32_t good = 1;
  while (good < lead.size_bytes && at + good < text.size()) {
    const auto byte = static_cast<uint8_t>(text[at + good]);
    const uint8_t low = good == 1 ? lead.second_low : 0x80;
    const uint8_t high = good == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) break;
    ++good;
  }
  return good;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, size_t at) {
  const auto first = static_cast<uint8_t>(text[at]);
  if (first < 0x80) return {first, 1, true};
  const Lead lead = lead_of(first);
  if (lead.size_bytes == 0) return {kReplacementCharacter, 1, false};
  const uint32_t good = well_formed_prefix(text, at, lead);
  if (good < lead.size_bytes) return {kReplacementCharacter, good, false};
  char32_t value = first & (0x7F >> lead.size_bytes);
  for (uint32_t i = 1; i < good; ++i) value = value << 6 | (static_cast<uint8_t>(text[at + i]) & 0x3F);
  return {value, good, true};
}

size_t incomplete_utf8_suffix_bytes(std::string_view text) {
  const size_t limit = std::min<size_t>(3, text.size());
  for (size_t back = 1; back <= limit; ++back) {
    const size_t at = text.size() - back;
    const auto byte = static_cast<uint8_t>(text[at]);
    if ((byte & 0xC0) == 0x80) continue;  // a continuation byte: its lead is further back
    const Lead lead = lead_of(byte);
    const bool waits = lead.size_bytes > back && well_formed_prefix(text, at, lead) == back;
    return waits ? back : 0;
  }
  return 0;
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (!point.valid) return false;
    at += point.size_bytes;
  }
  return true;
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) at += decode_utf8(text, at).size_bytes;
  return count;
}

std::string to_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (point.valid) {
      out.append(text.substr(at, point.size_bytes));
    } else {
      append_utf8(out, kReplacementCharacter);
    }
    at += point.size_bytes;
  }
  return out;
}

}  // namespace glimmer
