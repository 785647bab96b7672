#include "base/printable_text.h"

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"

namespace glimmer {
namespace {

std::string whole(std::string_view text) {
  PrintableText printable;
  std::string out = printable.add(text);
  return out + printable.finish();
}

TEST(PrintableText, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(whole("\x1b]0;title\a\x1b[2J"), "\\u001b]0;title\\u0007\\u001b[2J");
  EXPECT_EQ(whole("a\bb\x7f\v"), "a\\u0008b\\u007f\\u000b");
  EXPECT_EQ(whole(std::string("\0", 1)), "\\u0000");
  EXPECT_EQ(whole("\u0085\u009b31m\u009d\u009f"), "\\u0085\\u009b31m\\u009d\\u009f");  // C1
  EXPECT_EQ(whole("\u202eabc\u202c\u2066\u2069"), "\\u202eabc\\u202c\\u2066\\u2069");
  EXPECT_EQ(whole("\x9b\xff\xc2"), "\uFFFD\uFFFD\uFFFD");  // a C1 control as a byte is no UTF-8
}

TEST(PrintableText, LeavesTextAlone) {
  for (const std::string text : {"", "plain", "lines\nand\ttabs\r\nof both kinds", "日本語 עברית\u200f \u00a0é",
                                 "\\u001b", "👩‍👩‍👧"}) {
    EXPECT_EQ(whole(text), text);
  }
  EXPECT_EQ(whole("10%\r100%\r"), "10%\\u000d100%\\u000d");
}

TEST(PrintableText, IsTheSameHoweverItIsCut) {
  const std::string text = "é\u009b日\x1b[1m👩\r\n\r \r\x9b\xe6\x97 \u202e\xf0\x9f";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      PrintableText printable;
      std::string out = printable.add(text.substr(0, first));
      out += printable.add(text.substr(first, second - first));
      out += printable.add(text.substr(second));
      EXPECT_EQ(out + printable.finish(), whole(text)) << first << " " << second;
    }
  }
}

TEST(PrintableText, EscapesAreJsonsOwn) {
  const std::string name = "tensor\u009b\u202e\x7f";
  EXPECT_EQ(parse_json(whole(dump_json(Json(name))), "test"), Json(name));
}

TEST(PrintableLine, IsOneLine) {
  EXPECT_EQ(printable_line("one\ntwo\r\nthree\tfour\x1b["), "one two  three\tfour\\u001b[");
}

}  // namespace
}  // namespace glimmer
