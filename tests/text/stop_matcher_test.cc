#include "text/stop_matcher.h"

#include <gtest/gtest.h>

namespace glimmer {
namespace {

// What comes through when `text` arrives in pieces of `size`.
std::string in_pieces(StopMatcher& matcher, std::string_view text, size_t size) {
  std::string out;
  for (size_t i = 0; i < text.size(); i += size) out += matcher.push(text.substr(i, size));
  return out + matcher.flush();
}

TEST(StopMatcher, CutsBeforeTheMatchHoweverItArrives) {
  for (size_t size = 1; size < 30; ++size) {
    StopMatcher matcher({"END", "stop here"});
    EXPECT_EQ(in_pieces(matcher, "one EN two stop there ENEND three", size), "one EN two stop there EN") << size;
    EXPECT_TRUE(matcher.matched());
    EXPECT_EQ(matcher.match(), "END");
  }
}

TEST(StopMatcher, WithoutAMatchAllComesThrough) {
  for (size_t size = 1; size < 30; ++size) {
    StopMatcher matcher({"aab", "abc"});
    EXPECT_EQ(in_pieces(matcher, "aaaaab", size), "aaa") << size;
    StopMatcher other({"xyz"});
    EXPECT_EQ(in_pieces(other, "xyxyxy", size), "xyxyxy") << size;
    EXPECT_FALSE(other.matched());
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBegin) {
  StopMatcher matcher({"\n\n"});
  EXPECT_EQ(matcher.push("a\n"), "a");
  EXPECT_EQ(matcher.push("b"), "\nb");
  EXPECT_EQ(matcher.push("c\n"), "c");
  EXPECT_EQ(matcher.push("\nrest"), "");
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, TheEarliestWins) {
  StopMatcher matcher({"late", "early"});
  EXPECT_EQ(matcher.push("so early, too late"), "so ");
  EXPECT_EQ(matcher.match(), "early");
}

TEST(StopMatcher, EmptyStringsStopNothing) {
  StopMatcher matcher({""});
  EXPECT_EQ(matcher.push("text"), "text");
  EXPECT_FALSE(matcher.matched());
}

}  // namespace
}  // namespace glimmer
