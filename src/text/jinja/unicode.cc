#include "text/jinja/unicode.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/unicode_data.h"

namespace glimmer::jinja {
namespace {

bool map_case(const CaseTable& table, char32_t c, std::u32string& out) {
  const auto run =
      std::partition_point(table.runs.begin(), table.runs.end(), [c](const CaseRun& r) { return r.last < c; });
  if (run != table.runs.end() && run->first <= c && (c - run->first) % run->stride == 0) {
    out += static_cast<char32_t>(static_cast<int64_t>(c) + run->delta);
    return true;
  }
  const auto special = std::partition_point(table.special.begin(), table.special.end(),
                                            [c](const SpecialCase& s) { return s.code_point < c; });
  if (special == table.special.end() || special->code_point != c) return false;
  for (uint32_t mapped : special->mapped) {
    if (mapped != 0) out += static_cast<char32_t>(mapped);
  }
  return true;
}

// Greek capital sigma is lowered to its final form at the end of a word (Unicode 3.13, Final_Sigma).
bool is_final_sigma(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && (char_classes(text[before - 1]) & kCaseIgnorable)) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && (char_classes(text[after]) & kCaseIgnorable)) ++after;
  return after == text.size() || !is_cased(text[after]);
}

void append_lower(std::u32string& out, std::u32string_view text, size_t at) {
  static const CaseTable table = lower_table();
  const char32_t c = text[at];
  if (c < 0x80) {
    out += c >= 'A' && c <= 'Z' ? c + 32 : c;
  } else if (c == 0x3A3) {
    out += is_final_sigma(text, at) ? U'\u03C2' : U'\u03C3';
  } else if (!map_case(table, c, out)) {
    out += c;
  }
}

void append_upper(std::u32string& out, char32_t c) {
  static const CaseTable table = upper_table();
  if (c < 0x80) {
    out += c >= 'a' && c <= 'z' ? c - 32 : c;
  } else if (!map_case(table, c, out)) {
    out += c;
  }
}

void append_title(std::u32string& out, char32_t c) {
  static const CaseTable table = title_table();
  if (!map_case(table, c, out)) append_upper(out, c);
}

}  // namespace

uint16_t char_classes(char32_t c) {
  static const std::span<const uint64_t> runs = class_runs();
  const auto after = std::partition_point(runs.begin(), runs.end(), [c](uint64_t run) { return (run >> 12) <= c; });
  return static_cast<uint16_t>(*(after - 1) & 0xFFF);
}

std::u32string to_code_points(std::string_view text) {
  charge_work(4 * text.size());
  std::u32string points;
  points.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    points += point.value;
    at += point.size_bytes;
  }
  return points;
}

std::string from_code_points(std::u32string_view points) {
  std::string text;
  text.reserve(points.size());
  for (char32_t c : points) append_utf8(text, c);
  return text;
}

std::string lower(std::string_view text) {
  const std::u32string points = to_code_points(text);
  std::u32string out;
  for (size_t at = 0; at < points.size(); ++at) append_lower(out, points, at);
  return from_code_points(out);
}

std::string upper(std::string_view text) {
  std::u32string out;
  for (char32_t c : to_code_points(text)) append_upper(out, c);
  return from_code_points(out);
}

std::string title(std::string_view text) {
  const std::u32string points = to_code_points(text);
  std::u32string out;
  bool inside_word = false;
  for (size_t at = 0; at < points.size(); ++at) {
    if (inside_word) {
      append_lower(out, points, at);
    } else {
      append_title(out, points[at]);
    }
    inside_word = is_cased(points[at]);
  }
  return from_code_points(out);
}

std::string capitalize(std::string_view text) {
  const std::u32string points = to_code_points(text);
  std::u32string out;
  for (size_t at = 0; at < points.size(); ++at) {
    if (at == 0) {
      append_title(out, points[at]);
    } else {
      append_lower(out, points, at);
    }
  }
  return from_code_points(out);
}

std::string casefold(std::string_view text) {
  static const CaseTable table = fold_table();
  const std::u32string points = to_code_points(text);
  std::u32string out;
  for (char32_t c : points) {
    // One code point at a time: folding knows no final sigma.
    if (!map_case(table, c, out)) append_lower(out, std::u32string_view(&c, 1), 0);
  }
  return from_code_points(out);
}

namespace {

// Bytes where the last code point of `text` begins.
size_t last_code_point(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

template <typename Drop>
std::string_view strip_if(std::string_view text, StripSide side, Drop drop) {
  while (side != StripSide::kRight && !text.empty()) {
    const CodePoint point = decode_utf8(text, 0);
    if (!drop(point.value)) break;
    text.remove_prefix(point.size_bytes);
  }
  while (side != StripSide::kLeft && !text.empty()) {
    const size_t at = last_code_point(text);
    if (!drop(decode_utf8(text, at).value)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

}  // namespace

std::string_view strip(std::string_view text, StripSide side) { return strip_if(text, side, is_space); }

std::string_view strip(std::string_view text, StripSide side, std::string_view chars) {
  std::u32string set = to_code_points(chars);
  std::sort(set.begin(), set.end());
  return strip_if(text, side, [&set](char32_t c) { return std::binary_search(set.begin(), set.end(), c); });
}

}  // namespace glimmer::jinja
