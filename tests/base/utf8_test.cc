// Compares with table 3-7 of the Unicode standard, "Well-Formed UTF-8 Byte Sequences", written out as it stands there.
#include "base/utf8.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace glimmer {
namespace {

struct ByteRange {
  uint8_t low;
  uint8_t high;
};

const std::vector<std::vector<ByteRange>> kWellFormed = {
    {{0x00, 0x7F}},
    {{0xC2, 0xDF}, {0x80, 0xBF}},
    {{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
    {{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
    {{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}},
};

// What the table says of the bytes at the start of `text`.
struct Expected {
  uint32_t matched = 0;  // bytes that agree with some row, from the first on
  bool complete = false;
};

Expected expected_of(std::string_view text) {
  Expected best;
  for (const auto& row : kWellFormed) {
    uint32_t matched = 0;
    while (matched < row.size() && matched < text.size()) {
      const auto byte = static_cast<uint8_t>(text[matched]);
      if (byte < row[matched].low || byte > row[matched].high) break;
      ++matched;
    }
    if (matched > best.matched) best = {matched, matched == row.size()};
  }
  return best;
}

bool agrees(std::string_view text) {
  const Expected expected = expected_of(text);
  const CodePoint point = decode_utf8(text, 0);
  if (point.valid != expected.complete) return false;
  if (!point.valid && point.value != kReplacementCharacter) return false;
  return point.size_bytes == std::max(expected.matched, 1u);
}

std::string hex(std::string_view text) {
  std::string out;
  for (const char c : text) out += fmt::format("{:02x} ", static_cast<uint8_t>(c));
  return out;
}

TEST(Utf8, RoundTripsEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const CodePoint point = decode_utf8(text, 0);
    ASSERT_TRUE(point.valid && point.value == c && point.size_bytes == text.size()) << hex(text);
    ASSERT_TRUE(expected_of(text).complete) << hex(text);
    ASSERT_TRUE(is_valid_utf8(text));
    ASSERT_EQ(incomplete_utf8_suffix_bytes(text), 0u) << hex(text);
    for (size_t size = 1; size < text.size(); ++size) {
      const std::string cut = std::string(1, 'a').append(text, 0, size);
      ASSERT_EQ(incomplete_utf8_suffix_bytes(cut), size) << hex(cut);
    }
  }
}

// Every first and second byte; then all bytes where the table's limits lie.
TEST(Utf8, AgreesWithTheTable) {
  constexpr std::array<uint8_t, 12> kEdges = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xE1, 0xFF};
  std::string text(4, '\0');
  for (int first = 0; first < 256; ++first) {
    text[0] = static_cast<char>(first);
    ASSERT_TRUE(agrees(std::string_view(text).substr(0, 1))) << hex(text.substr(0, 1));
    for (int second = 0; second < 256; ++second) {
      text[1] = static_cast<char>(second);
      ASSERT_TRUE(agrees(std::string_view(text).substr(0, 2))) << hex(text.substr(0, 2));
      for (const uint8_t third : kEdges) {
        text[2] = static_cast<char>(third);
        ASSERT_TRUE(agrees(std::string_view(text).substr(0, 3))) << hex(text.substr(0, 3));
        for (const uint8_t fourth : kEdges) {
          text[3] = static_cast<char>(fourth);
          ASSERT_TRUE(agrees(text)) << hex(text);
        }
      }
    }
  }
}

TEST(Utf8, FindsIncompleteSuffixes) {
  constexpr std::array<uint8_t, 16> kBytes = {0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0,
                                              0xC3, 0xE0, 0xE4, 0xED, 0xF0, 0xF1, 0xF4, 0xF5};
  for (size_t code = 0; code < kBytes.size() * kBytes.size() * kBytes.size() * kBytes.size(); ++code) {
    std::string text;
    for (size_t rest = code, i = 0; i < 4; ++i, rest /= kBytes.size())
      text += static_cast<char>(kBytes[rest % kBytes.size()]);
    size_t expected = 0;
    for (size_t size = 1; size <= 3; ++size) {
      const Expected suffix = expected_of(std::string_view(text).substr(text.size() - size));
      if (suffix.matched == size && !suffix.complete) expected = size;
    }
    ASSERT_EQ(incomplete_utf8_suffix_bytes(text), expected) << hex(text);
  }
  EXPECT_EQ(incomplete_utf8_suffix_bytes(""), 0u);
  EXPECT_EQ(incomplete_utf8_suffix_bytes("\xE4"), 1u);
  EXPECT_EQ(incomplete_utf8_suffix_bytes("\x80\x80\x80\x80\x80"), 0u);
}

// Tables 3-8 to 3-11 of the standard: one U+FFFD for each maximal subpart.
TEST(Utf8, ReplacesAsTheStandardShows) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(to_valid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(to_valid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(to_valid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(to_valid_utf8("plain 中😀"), "plain 中😀");
  EXPECT_EQ(to_valid_utf8(""), "");
}

TEST(Utf8, CountsCodePoints) {
  EXPECT_EQ(count_code_points(""), 0u);
  EXPECT_EQ(count_code_points("aé中😀"), 4u);
  EXPECT_EQ(count_code_points("a\xF0\x9F"), 2u);
}

TEST(Utf8, ValidatesWholeTexts) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_valid_utf8("中\xE4\xB8"));
  EXPECT_FALSE(is_valid_utf8("\xE4\xB8\xAD\xAD"));
}

}  // namespace
}  // namespace glimmer
