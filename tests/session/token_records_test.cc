// Pieces of a text find the tokens that they are made of.
#include "session/token_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TokenRecordsTest : public ::testing::Test {
 protected:
  void add(const std::string& text) { add(text, text); }
  void add(const std::string& bytes, const std::string& text) {
    records_.add({{bytes, -1}, {}});
    records_.add_text(text);
  }

  std::vector<std::string> take(size_t content_bytes) {
    std::vector<std::string> out;
    for (const TokenRecord& record : records_.take(content_bytes)) out.push_back(record.token.bytes);
    return out;
  }

  TokenRecords records_;
};

TEST_F(TokenRecordsTest, ComeWithTheText) {
  add("It");
  records_.pass_content("It");
  EXPECT_THAT(take(2), ElementsAre("It"));
  add(" is");
  records_.pass_content(" is");
  EXPECT_THAT(take(2), IsEmpty());
  EXPECT_THAT(take(3), ElementsAre(" is"));
}

TEST_F(TokenRecordsTest, TextMayBeHeldBackAndDropped) {
  add("\n\n");
  add("a");
  add(" ");
  records_.pass_content("a");  // white space before it is of no content, that behind it may be
  add("b");
  records_.pass_content(" b");
  EXPECT_THAT(take(3), ElementsAre("a", " ", "b"));
  add(" ");
  add("<tool_call>");
  records_.drop();
  add("c");
  records_.drop();
  add("d");
  records_.pass_content("d");
  EXPECT_THAT(take(4), ElementsAre("d"));
}

TEST_F(TokenRecordsTest, ATokenThatTheTextEndsInCounts) {
  add("one");
  add(" two</");
  records_.pass_content("one two");
  add("think>");
  add("x");
  records_.pass_content("x");
  EXPECT_THAT(take(100), ElementsAre("one", " two</", "x"));
}

TEST_F(TokenRecordsTest, ReasoningTakesItsTokensAlong) {
  add("hm");
  records_.pass_other("hm");
  add("</think>");
  add("<b");
  records_.pass_content("<b");
  EXPECT_THAT(take(100), ElementsAre("<b"));
}

TEST_F(TokenRecordsTest, TokensOfOneCharacterComeTogether) {
  add("a");
  add("\xE4", "");
  add("\xBD", "");
  add("\xA0", "\xE4\xBD\xA0");
  records_.pass_content("a");
  EXPECT_THAT(take(1), ElementsAre("a"));
  records_.pass_content("\xE4\xBD\xA0");
  EXPECT_THAT(take(4), ElementsAre("\xE4", "\xBD", "\xA0"));
}

TEST_F(TokenRecordsTest, SurvivesAPieceThatIsNotThere) {
  add("a");
  records_.pass_content("other");
  records_.pass_other("thing");
  records_.pass_content("a");
  EXPECT_THAT(take(100), ElementsAre("a"));
}

}  // namespace
}  // namespace glimmer
