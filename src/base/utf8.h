// UTF-8, one code point at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace glimmer {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

struct CodePoint {
  char32_t value = 0;
  uint32_t size_bytes =
      0;  // 1..4 when valid; else the bytes of the longest ill-formed prefix (Unicode 3.9, "maximal subpart")
  bool valid = false;
};

// Decodes the code point that starts at text[at]; at < text.size(). Surrogates and overlong forms are invalid.
CodePoint decode_utf8(std::string_view text, size_t at);

// Bytes at the end of `text` that begin a code point which more bytes could complete: 0..3.
size_t incomplete_utf8_suffix_bytes(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);
bool is_valid_utf8(std::string_view text);
size_t count_code_points(std::string_view text);

// `text` with each ill-formed subsequence replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

}  // namespace glimmer
