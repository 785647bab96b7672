#include "text/pre_tokenizer_scan.h"

#include "text/pre_tokenizer_unicode.h"

namespace glimmer {

const std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

constexpr std::string_view kCl100kPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Reads code points of valid UTF-8 with their classes.
struct Cursor {
  std::string_view text;
  const uint8_t* classes;
  size_t at;

  bool more() const { return at < text.size(); }

  uint8_t char_class() const {
    const auto first = static_cast<uint8_t>(text[at]);
    if (first < 0x80) return classes[first];
    size_t next = at;
    return classes[next_code_point(text, next)];
  }

  void skip() {
    const auto first = static_cast<uint8_t>(text[at]);
    at += first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  }

  bool is_newline() const { return text[at] == '\r' || text[at] == '\n'; }

  // Skips what is of one of the classes `wanted`.
  void skip_run(uint8_t wanted) {
    while (more() && (char_class() & wanted)) skip();
  }

  // Skips [^\s\p{L}\p{N}]; true if there was any.
  bool skip_others() {
    const size_t begin = at;
    while (more() && !(char_class() & (kSpace | kLetter | kNumber))) skip();
    return at > begin;
  }
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Bytes of 's 't 're 've 'm 'll 'd at `at`, or 0.
size_t contraction_bytes(std::string_view text, size_t at, bool ignore_case) {
  if (text[at] != '\'' || at + 1 >= text.size()) return 0;
  const auto letter = [&](size_t i) { return ignore_case ? lower(text[i]) : text[i]; };
  const char first = letter(at + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if (ignore_case && text.substr(at + 1, 2) == "\u017F") return 3;  // the long s folds to s
  if (at + 2 >= text.size()) return 0;
  const char second = letter(at + 2);
  const bool two =
      (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return two ? 3 : 0;
}

// \s+(?!\S)|\s+ : all white space if the text ends with it, else all but its last character, but at least one.
size_t white_space_end(Cursor cursor) {
  const size_t begin = cursor.at;
  size_t last = begin;
  while (cursor.more() && (cursor.char_class() & kSpace)) {
    last = cursor.at;
    cursor.skip();
  }
  return cursor.more() && last > begin ? last : cursor.at;
}

// \s*[\r\n]+ : up to the last newline of the white space, or 0 without one.
size_t newline_end(Cursor cursor) {
  size_t end = 0;
  while (cursor.more() && (cursor.char_class() & kSpace)) {
    const bool newline = cursor.is_newline();
    cursor.skip();
    if (newline) end = cursor.at;
  }
  return end;
}

}  // namespace

PieceScanner::PieceScanner(Kind kind, int max_digits)
    : kind_(kind), max_digits_(max_digits), classes_(char_classes()) {}

PieceScanner PieceScanner::gpt2() { return {Kind::kGpt2, 0}; }

std::optional<PieceScanner> PieceScanner::for_pattern(std::string_view pattern) {
  if (pattern == kCl100kPattern) return PieceScanner(Kind::kCl100k, 3);
  if (pattern == kQwen2Pattern) return PieceScanner(Kind::kCl100k, 1);
  if (pattern == kGpt2Pattern) return gpt2();
  return std::nullopt;
}

size_t PieceScanner::piece_end(std::string_view text, size_t begin) const {
  return kind_ == Kind::kGpt2 ? gpt2_end(text, begin) : cl100k_end(text, begin);
}

size_t PieceScanner::gpt2_end(std::string_view text, size_t begin) const {
  if (const size_t bytes = contraction_bytes(text, begin, false)) return begin + bytes;
  Cursor cursor{text, classes_, begin};
  if (text[begin] == ' ') {
    ++cursor.at;
    if (!cursor.more()) return cursor.at;
  }
  const uint8_t next = cursor.char_class();
  if (next & kLetter) return cursor.skip_run(kLetter), cursor.at;
  if (next & kNumber) return cursor.skip_run(kNumber), cursor.at;
  if (cursor.skip_others()) return cursor.at;
  return white_space_end({text, classes_, begin});
}

size_t PieceScanner::cl100k_end(std::string_view text, size_t begin) const {
  if (const size_t bytes = contraction_bytes(text, begin, true)) return begin + bytes;
  Cursor cursor{text, classes_, begin};
  const uint8_t first = cursor.char_class();
  if (first & kLetter) return cursor.skip_run(kLetter), cursor.at;
  if (first & kNumber) {
    for (int i = 0; i < max_digits_ && cursor.more() && (cursor.char_class() & kNumber); ++i) cursor.skip();
    return cursor.at;
  }
  const bool newline = cursor.is_newline();
  cursor.skip();
  const uint8_t second = cursor.more() ? cursor.char_class() : 0;
  if (!newline && (second & kLetter)) return cursor.skip_run(kLetter), cursor.at;
  if (text[begin] != ' ') cursor.at = begin;
  if (cursor.skip_others()) {
    while (cursor.more() && cursor.is_newline()) ++cursor.at;
    return cursor.at;
  }
  const Cursor start{text, classes_, begin};
  if (const size_t end = newline_end(start)) return end;
  return white_space_end(start);
}

}  // namespace glimmer
