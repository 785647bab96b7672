#include "base/json_fault.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quoted_name.h"
#include "base/utf8.h"

namespace glimmer {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kMaxReasonBytes = 300;

bool is_word_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// The letters and digits around `offset`.
std::string_view word_at(std::string_view text, size_t offset) {
  size_t begin = std::min(offset, text.size());
  size_t end = begin;
  while (begin > 0 && is_word_char(text[begin - 1])) --begin;
  while (end < text.size() && is_word_char(text[end])) ++end;
  return text.substr(begin, end - begin);
}

// The last character before `offset` that is no white space; NUL if there is none.
char before(std::string_view text, size_t offset) {
  const size_t found = text.substr(0, offset).find_last_not_of(kSpace);
  return found == std::string_view::npos ? '\0' : text[found];
}

// What is written there in place of JSON; empty if it is nothing well known.
std::string known_mistake(std::string_view text, size_t offset) {
  if (offset >= text.size()) return {};
  const char at = text[offset];
  if ((at == ']' || at == '}') && before(text, offset) == ',') return fmt::format("a comma before '{}'", at);
  if (at == '\'') return "strings stand in double quotes";
  if (at == '/') return "there are no comments in JSON";
  const std::string_view word = word_at(text, offset);
  if (word == "NaN" || word == "nan" || word == "Infinity" || word == "inf") {
    return fmt::format("{} is no number of JSON", word);
  }
  if (word == "True" || word == "False" || word == "None" || word == "undefined") {
    return fmt::format("{} is no literal of JSON, which has true, false and null", word);
  }
  return {};
}

// Without the library's own prefix, and without all the text that it had read of a token.
std::string_view bare_reason(std::string_view reason) {
  if (const size_t column = reason.find(", column "); column != std::string_view::npos) {
    if (const size_t colon = reason.find(": ", column); colon != std::string_view::npos) {
      reason.remove_prefix(colon + 2);
    }
  } else if (const size_t bracket = reason.find("] "); bracket != std::string_view::npos && reason.front() == '[') {
    reason.remove_prefix(bracket + 2);
  }
  return reason;
}

std::string without_last_read(std::string_view reason) {
  const size_t read = reason.find("; last read: '");
  if (read == std::string_view::npos) return std::string(reason);
  // What the parser expected follows the text that it had read.
  const size_t end = reason.rfind("'; expected ");
  const bool says_expected = end != std::string_view::npos && end > read;
  return std::string(reason.substr(0, read)).append(says_expected ? reason.substr(end + 1) : std::string_view());
}

}  // namespace

std::string json_place(std::string_view text, size_t offset) {
  const std::string_view read = text.substr(0, offset);
  const auto line = std::count(read.begin(), read.end(), '\n') + 1;
  const size_t last_end = read.rfind('\n');
  const size_t column = offset - (last_end == std::string_view::npos ? 0 : last_end + 1) + 1;
  return fmt::format("byte {} (line {}, column {})", offset + 1, line, column);
}

std::string json_fault(std::string_view text, size_t offset, std::string_view reason) {
  if (text.find_first_not_of(kSpace) == std::string_view::npos) return "the text is empty";
  if (const std::string_view encoding = foreign_encoding(text); !encoding.empty()) {
    return fmt::format("the text is {}, and should be UTF-8", encoding);
  }
  if (std::string mistake = known_mistake(text, offset); !mistake.empty()) return mistake;
  std::string out = without_last_read(bare_reason(reason));
  if (out.size() > kMaxReasonBytes) out = out.substr(0, kMaxReasonBytes) + "...";
  return to_valid_utf8(out);
}

std::string_view foreign_encoding(std::string_view text) {
  const auto begins = [&](std::string_view bytes) { return text.starts_with(bytes); };
  using std::string_view_literals::operator""sv;
  if (begins("\xFF\xFE\0\0"sv) || begins("\0\0\xFE\xFF"sv) || begins("\0\0\0{"sv) || begins("{\0\0\0"sv))
    return "UTF-32";
  if (begins("\xFF\xFE"sv) || begins("\xFE\xFF"sv) || begins("\0{"sv) || begins("{\0"sv) || begins("\0["sv) ||
      begins("[\0"sv)) {
    return "UTF-16";
  }
  if (begins("\x1F\x8B"sv)) return "compressed with gzip";
  return {};
}

}  // namespace glimmer
