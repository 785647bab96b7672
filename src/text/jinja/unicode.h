// What Python's str methods know of Unicode (14.0, as Python 3.11): classes of a code point and full case mappings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer::jinja {

enum CharClass : uint16_t {
  kAlpha = 1,       // str.isalpha
  kDecimal = 2,     // isdecimal
  kDigit = 4,       // isdigit
  kNumeric = 8,     // isnumeric
  kSpace = 16,      // isspace
  kPrintable = 32,  // isprintable: repr() shows it as it is
  kUpper = 64,      // isupper
  kLower = 128,     // islower
  kTitle = 256,     // istitle
  kIdStart = 512,   // begins an identifier
  kIdContinue = 1024,
  kCaseIgnorable = 2048,  // looked through when a final sigma is recognised
};

uint16_t char_classes(char32_t c);
inline bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return (char_classes(c) & kSpace) != 0;
}
inline bool is_cased(char32_t c) { return (char_classes(c) & (kUpper | kLower | kTitle)) != 0; }

std::u32string to_code_points(std::string_view text);
std::string from_code_points(std::u32string_view points);

// str.lower, upper, title, capitalize, casefold of valid UTF-8.
std::string lower(std::string_view text);
std::string upper(std::string_view text);
std::string title(std::string_view text);
std::string capitalize(std::string_view text);
std::string casefold(std::string_view text);

// str.strip() and its halves: of whitespace, or of the code points in `chars`.
enum class StripSide { kLeft, kRight, kBoth };
std::string_view strip(std::string_view text, StripSide side);
std::string_view strip(std::string_view text, StripSide side, std::string_view chars);

}  // namespace glimmer::jinja
