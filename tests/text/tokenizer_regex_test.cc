// The rewriting of Oniguruma patterns for PCRE2, and the hand-written scanner against PCRE2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "base/utf8.h"
#include "text/pre_tokenizer_regex.h"
#include "text/pre_tokenizer_scan.h"
#include "text/pre_tokenizer_unicode.h"

namespace glimmer {
namespace {

constexpr const char* kCl100k =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> matches(const std::string& pattern, std::string_view text) {
  const Regex regex(pattern, "test");
  RegexScratch scratch;
  std::vector<std::string> out;
  Span match;
  for (size_t at = 0; at <= text.size() && regex.find(text, at, scratch, match);) {
    out.emplace_back(text.substr(match.begin, match.end - match.begin));
    at = match.end > match.begin ? match.end : match.end + 1;
  }
  return out;
}

using Strings = std::vector<std::string>;

TEST(TokenizerRegex, CarriesOverWhatDiffers) {
  EXPECT_EQ(matches(R"(\s+)", "a \u0085b\u180Ec\u200Bd\u3000\x1C"), (Strings{" \u0085", "\u3000"}));
  EXPECT_EQ(matches(R"(\S+)", "a\u180Eb c"), (Strings{"a\u180Eb", "c"}));
  EXPECT_EQ(matches(R"([\S\n]+)", "a\nb c"), (Strings{"a\nb", "c"}));
  EXPECT_EQ(matches(R"(\p{L}+)", "\U00031350x1\U0001E4D5"), (Strings{"\U00031350x", "\U0001E4D5"}));  // Unicode 15
  EXPECT_EQ(matches(R"([\p{N}]+)", "\U00010D41"), (Strings{"\U00010D41"}));                           // Unicode 16
  EXPECT_EQ(matches(R"(\P{L}+)", "a1\U000313501"), (Strings{"1", "1"}));
  EXPECT_EQ(matches(R"([^\p{L}]+)", "a1\U000313502"), (Strings{"1", "2"}));
  EXPECT_EQ(matches(R"(\p{^L}+)", "a1b"), (Strings{"1"}));
  EXPECT_EQ(matches(R"(\h+)", "xfFz9"), (Strings{"fF", "9"}));
  EXPECT_EQ(matches(R"(\v)", "\n\v\f"), (Strings{"\v"}));
  EXPECT_EQ(matches(R"(a{,2}b)", "aaab"), (Strings{"aab"}));
  EXPECT_EQ(matches(R"(\d{1,3}+)", "12345"), (Strings{"12345"}));
  EXPECT_EQ(matches(R"((?:ab){1,2}+c)", "abababc"), (Strings{"abababc"}));
  EXPECT_EQ(matches(R"(a{2}{2})", "aaaaa"), (Strings{"aaaa"}));
  EXPECT_EQ(matches(R"(a{)", "a{1}"), (Strings{"a{"}));
  EXPECT_EQ(matches(R"(x++x)", "xxx"), (Strings{}));
  EXPECT_EQ(matches(R"((?m:a.b))", "a\nb"), (Strings{"a\nb"}));
  EXPECT_EQ(matches(R"(a.b)", "a\nb a\rb"), (Strings{"a\rb"}));
  EXPECT_EQ(matches(R"(^a$)", "a\na\nb"), (Strings{"a", "a"}));
  EXPECT_EQ(matches(R"((?i)ab|CD)", "AB cd"), (Strings{"AB", "cd"}));
  EXPECT_EQ(matches(R"((?i:'s))", "'\u017F'S"), (Strings{"'\u017F", "'S"}));
  EXPECT_EQ(matches(R"([\u4e00-\u9fff]+|\x{1F642})", "你好🙂a"), (Strings{"你好", "🙂"}));
  EXPECT_EQ(matches(R"([一-龥]+)", "你好a"), (Strings{"你好"}));
  EXPECT_EQ(matches(R"((a)(b)(c))", "abc"), (Strings{"abc"}));
}

TEST(TokenizerRegex, EscapesALiteral) {
  const std::string literal = "a.b*c\\d[e]{2}(f)|^$+?- \n#你";
  EXPECT_EQ(matches(escape_regex(literal), "x" + literal + literal), (Strings{literal, literal}));
}

TEST(TokenizerRegex, ClassesHoldTheDifficultCodePoints) {
  const uint8_t* classes = char_classes();
  for (const int c : {0x9, 0xD, 0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x3000}) EXPECT_TRUE(classes[c] & kSpace) << c;
  for (const int c : {0x1C, 0x1F, 0x180E, 0x200B, 0x2060, 0xFEFF}) EXPECT_FALSE(classes[c] & kSpace) << c;
  EXPECT_EQ(classes[0x301], kWord);   // a combining mark is no letter
  EXPECT_EQ(classes[0x200D], kWord);  // zero width joiner
  EXPECT_EQ(classes[0xB2], kNumber | kNumeric);
  EXPECT_EQ(classes[0x16FF4], kNumeric);  // newer than the regular expressions' Unicode
  EXPECT_TRUE(classes[0x31350] & kLetter);
}

// Code points that the patterns tell apart, and any others.
std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> kPieces = {
      " ",      "  ",   "\t",     "\n",         "\r\n",       "\r", "\u0085", "\u00A0", "\u3000", "\u180E",
      "\u200B", "'",    "'s",     "'S",         "'\u017F",    "'t", "'rE",    "'VE",    "'m",     "'lL",
      "'l",     "'d",   "’s",     "a",          "Z",          "é",  "ſ",      "你",     "好",     "ж",
      "\u0301", "1",    "2",      "٣",          "½",          "Ⅷ",  ".",      "!",      "-",      "_",
      "(",      "🙂", "\u200D", "\U00031350", "\U00010D41", "<",  "|",      "=",      "K"};
  std::string out;
  for (int i = 0, n = random() % 14; i < n; ++i) {
    if (random() % 12 == 0) {
      const char32_t c = random() % 0x110000;
      append_utf8(out, c >= 0xD800 && c < 0xE000 ? U'x' : c);
    } else {
      out += kPieces[random() % kPieces.size()];
    }
  }
  return out;
}

// What repeats a character and then fails is not tried again at each character of the run: PCRE2's JIT sees to it.
TEST(TokenizerRegex, LongRunsTakeLinearTime) {
  const std::string text = std::string(1 << 20, ' ') + "x";
  for (const char* pattern : {R"(\s+$)", R"( ?\s+$)", R"(\s*\n)", R"( +(?=a)|\n)", R"(\s++$|\s*[\r\n])"}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(matches(pattern, text), testing::Each("")) << pattern;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10)) << pattern;
  }
}

class Scanner : public testing::TestWithParam<std::string> {};

TEST_P(Scanner, MatchesAsPcre2Does) {
  const auto scanner = PieceScanner::for_pattern(GetParam());
  ASSERT_TRUE(scanner);
  const Regex regex(GetParam(), "test");
  RegexScratch scratch;
  std::mt19937 random(1);
  for (int round = 0; round < 60'000; ++round) {
    const std::string text = random_text(random);
    for (size_t at = 0; at < text.size();) {
      Span match;
      ASSERT_TRUE(regex.find(text, at, scratch, match)) << text;
      ASSERT_EQ(match.begin, at) << text;
      ASSERT_EQ(scanner->piece_end(text, at), match.end) << text << " at " << at;
      at = match.end;
    }
  }
}

TEST_P(Scanner, ClassesEveryCodePointAsPcre2Does) {
  const auto scanner = PieceScanner::for_pattern(GetParam());
  const Regex regex(GetParam(), "test");
  RegexScratch scratch;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = "a";
    append_utf8(text, c);
    text += "1 ";
    append_utf8(text, c);
    text += ".";
    for (size_t at = 0; at < text.size();) {
      Span match;
      ASSERT_TRUE(regex.find(text, at, scratch, match));
      ASSERT_EQ(scanner->piece_end(text, at), match.end) << std::hex << static_cast<uint32_t>(c) << " at " << at;
      at = match.end;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Patterns, Scanner, testing::Values(kCl100k, kQwen2, std::string(kGpt2Pattern)));

}  // namespace
}  // namespace glimmer
