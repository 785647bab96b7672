// The character classes of tokenizer.json's regular expressions, as the `tokenizers` package sees them (Unicode 16).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace glimmer {

enum CharClass : uint8_t {
  kLetter = 1,   // \p{L}
  kNumber = 2,   // \p{N}
  kSpace = 4,    // \s: White_Space, so U+0085 but not U+180E
  kWord = 8,     // a word character for single_word
  kNumeric = 16  // what the pre-tokenizer Digits cuts out: \p{N} and 13 newer digits
};

struct CodePointRange {
  char32_t low;
  char32_t high;
};

// What a general category ("Lu"), or the script "Han", has gained since Unicode 14, the version of PCRE2 10.42.
struct CategoryRange {
  std::string_view category;
  CodePointRange range;
};
std::span<const CategoryRange> category_ranges_since_unicode14();
std::span<const CodePointRange> space_ranges();

// One byte of CharClass bits per code point, 0x110000 of them. Built on first use.
const uint8_t* char_classes();

// Decodes the code point at `at` of valid UTF-8 and moves `at` past it.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t first = byte(0);
  char32_t value = first;
  if (first < 0x80) {
    at += 1;
  } else if (first < 0xE0) {
    value = (first & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
    at += 2;
  } else if (first < 0xF0) {
    value = (first & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
    at += 3;
  } else {
    value = (first & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu);
    at += 4;
  }
  return value;
}

// Where the last code point of valid, non-empty UTF-8 begins.
inline size_t last_code_point(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

}  // namespace glimmer
