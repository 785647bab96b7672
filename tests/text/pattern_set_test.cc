#include "text/pattern_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "text/added_tokens.h"

namespace glimmer {
namespace {

using Found = std::vector<std::pair<size_t, int32_t>>;

// Every place, with the values of all patterns that begin there, the longest first.
Found all_starts(const PatternSet& set, std::string_view text) {
  Found found;
  PatternStarts starts(set, text);
  for (size_t from = 0; const PatternSet::Match* match = starts.next(from); from = match->begin + 1) {
    for (PatternSet::Match one = *match; one.size > 0; one = set.next_shorter(one)) {
      found.emplace_back(one.begin, one.value);
    }
  }
  return found;
}

Found by_trying(const std::vector<std::string>& patterns, std::string_view text) {
  Found found;
  for (size_t at = 0; at < text.size(); ++at) {
    for (size_t size = text.size() - at; size > 0; --size) {
      for (size_t i = 0; i < patterns.size(); ++i) {
        if (patterns[i] == text.substr(at, size)) found.emplace_back(at, static_cast<int32_t>(i));
      }
    }
  }
  return found;
}

TEST(PatternSet, FindsWhatTryingFinds) {
  std::mt19937 random(7);
  const auto text_of = [&](size_t size, int letters) {
    std::string text;
    while (text.size() < size)
      text += static_cast<char>('a' + static_cast<int>(random() % static_cast<uint32_t>(letters)));
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    const int letters = 1 + round % 4;
    std::vector<std::string> patterns;
    PatternSet set;
    for (uint32_t i = random() % 9; i-- > 0;) {
      const std::string pattern = text_of(1 + random() % 6, letters);
      if (std::find(patterns.begin(), patterns.end(), pattern) != patterns.end()) continue;
      set.add(pattern, static_cast<int32_t>(patterns.size()));
      patterns.push_back(pattern);
    }
    set.finish();
    const std::string text = text_of(random() % 40, letters);
    EXPECT_EQ(all_starts(set, text), by_trying(patterns, text)) << text;
  }
}

TEST(PatternSet, FindsWhatLiesAcrossBlocks) {
  PatternSet set;
  const std::string patterns[] = {"<|user|>", std::string(100'000, 'y') + "z"};
  set.add(patterns[0], 0);
  set.add(patterns[1], 1);
  set.finish();
  std::string text;
  Found expected;
  for (int i = 0; i < 40; ++i) {
    text += std::string(static_cast<size_t>(9999 + i), i % 2 == 0 ? '<' : 'x');
    const bool is_long = i % 10 == 9;
    expected.emplace_back(text.size(), is_long ? 1 : 0);
    text += patterns[is_long ? 1 : 0];
  }
  EXPECT_EQ(all_starts(set, text), expected);
}

// Quadratic, each of these would take hours.
TEST(PatternSet, TakesNoLongerForPatternsThatNearlyMatch) {
  PatternSet set;
  set.add(std::string(300'000, 'a') + "b", 0);
  set.add("<|begin_of_image|>", 1);
  set.finish();
  for (const std::string& piece :
       {std::string("a"), std::string("<"), std::string("<|"), std::string("<|begin_of_imag")}) {
    std::string text;
    while (text.size() < 4'000'000) text += piece;
    EXPECT_TRUE(all_starts(set, text).empty());
  }
}

struct Splits {
  AddedTokenFinder finder;

  void add(std::string_view content, bool lstrip, bool rstrip) {
    finder.add({.id = next_id++, .content = std::string(content), .lstrip = lstrip, .rstrip = rstrip}, content);
  }
  std::vector<AddedTokenFinder::Part> split(std::string_view text) {
    std::vector<AddedTokenFinder::Part> parts;
    finder.split(text, {}, parts);
    return parts;
  }
  int32_t next_id = 0;
};

// Tokens that strip the white space beside them, in white space that is made of tokens.
TEST(AddedTokenFinder, RunsOfWhiteSpaceAreReadOnce) {
  constexpr size_t kSpaces = 2'000'000;
  for (const bool left : {true, false}) {
    Splits splits;
    splits.add(" ", left, !left);
    splits.finder.finish();
    const auto parts = splits.split(std::string(kSpaces, ' '));
    ASSERT_EQ(parts.size(), kSpaces);
    EXPECT_EQ(parts.back().end, kSpaces);
  }
  Splits splits;
  splits.add("<s>", true, true);
  splits.finder.finish();
  const auto parts = splits.split("a <s>   b\t<s> ");
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_EQ(std::pair(parts[1].begin, parts[1].end), std::pair(size_t{1}, size_t{8}));
  EXPECT_EQ(std::pair(parts[3].begin, parts[3].end), std::pair(size_t{9}, size_t{14}));
}

}  // namespace
}  // namespace glimmer
