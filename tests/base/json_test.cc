#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace glimmer {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string message_of(std::string_view text) {
  try {
    parse_json(text, "config.json");
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), StartsWith("config.json: ")) << text;
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text;
  return "";
}

std::string nested(int depth, char open = '[', char close = ']') {
  return std::string(static_cast<size_t>(depth), open) + std::string(static_cast<size_t>(depth), close);
}

TEST(Json, KeepsTypesAndOrder) {
  const std::string text =
      R"({"z":1,"a":[true,false,null,-2,18446744073709551615,1.5],"m":{"é\n":"中😀","empty":{},"none":[]}})";
  const Json value = parse_json(text, "config.json");
  EXPECT_EQ(dump_json(value), text);
  EXPECT_TRUE(value["z"].is_number_unsigned());
  EXPECT_TRUE(value["a"][3].is_number_integer());
  EXPECT_FALSE(value["a"][3].is_number_unsigned());
  EXPECT_EQ(value["a"][4].get<uint64_t>(), 18446744073709551615u);
  EXPECT_TRUE(value["a"][5].is_number_float());
}

TEST(Json, ReadsScalarDocuments) {
  EXPECT_EQ(parse_json("7", "x"), Json(7));
  EXPECT_EQ(parse_json(" \"a\" ", "x"), Json("a"));
  EXPECT_TRUE(parse_json("null", "x").is_null());
}

TEST(Json, ReadsDoublesExactly) {
  EXPECT_EQ(parse_json("1e-06", "x").get<double>(), 1e-06);
  EXPECT_EQ(parse_json("0.1", "x").get<double>(), 0.1);
  EXPECT_EQ(parse_json("4.9406564584124654e-324", "x").get<double>(), 4.9406564584124654e-324);
}

TEST(Json, RefusesWhatFollowsANulByte) {
  EXPECT_THAT(message_of(std::string_view("{}\0garbage", 10)), HasSubstr("malformed JSON at byte 2: a NUL byte"));
}

TEST(Json, RefusesDuplicateKeysAtEveryLevel) {
  EXPECT_THAT(message_of("{\"a\\n\":1,\"a\\n\":2}"), HasSubstr("key \"a\\u000a\" appears twice"));
  EXPECT_THAT(message_of(R"({"a":1,"a":2})"), HasSubstr("key \"a\" appears twice"));
  EXPECT_THAT(message_of(R"({"a":1,"b":2,"\u0061":1})"), HasSubstr("key \"a\" appears twice"));
  EXPECT_THAT(message_of(R"([{"x":{"b":[],"c":{},"b":null}}])"), HasSubstr("key \"b\" appears twice"));
  // The same key in different objects is no duplicate.
  EXPECT_NO_THROW(parse_json(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]})", "x"));
}

TEST(Json, KeepsManyKeys) {
  std::string text = "{";
  for (int i = 0; i < 20'000; ++i) text += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  text.back() = '}';
  EXPECT_EQ(parse_json(text, "x").size(), 20'000u);
}

TEST(Json, BoundsTheDepth) {
  EXPECT_NO_THROW(parse_json(nested(kMaxJsonDepth), "x"));
  EXPECT_THAT(message_of(nested(kMaxJsonDepth + 1)), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(message_of(std::string(10'000'000, '[')), HasSubstr("nested deeper than 64"));
  std::string objects;
  for (int i = 0; i <= kMaxJsonDepth; ++i) objects += "{\"a\":";
  EXPECT_THAT(message_of(objects), HasSubstr("nested deeper than 64"));
}

TEST(Json, RefusesMalformedText) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[1,]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "'a'",
                           "[1 2]",
                           "nul",
                           "True",
                           "NaN",
                           "Infinity",
                           "-",
                           "01",
                           "1.",
                           ".5",
                           "+1",
                           "0x10",
                           "1e",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\n\"",
                           "\"\\ud800\"",
                           "// c\n1",
                           "{} {}",
                           "[] x",
                           "\"\xFF\"",
                           "\"\xC0\xAF\"",
                           "\"\xED\xA0\x80\"",
                           "{\"\xFF\":1}"}) {
    EXPECT_THAT(message_of(text), HasSubstr("malformed JSON at byte ")) << text;
  }
  EXPECT_THAT(message_of("1e999"), HasSubstr("config.json: "));
}

TEST(Json, RefusesEveryTruncation) {
  const std::string text = R"({"rope_parameters":{"rope_theta":1.0e6,"list":[1,-2,"x\u00e9"]},"flag":true})";
  EXPECT_NO_THROW(parse_json(text, "x"));
  for (size_t size = 0; size < text.size(); ++size) message_of(std::string_view(text).substr(0, size));
}

TEST(Json, DumpsInvalidUtf8AsReplacement) {
  EXPECT_EQ(dump_json(Json("a\xFF"
                           "b")),
            "\"a\uFFFDb\"");
  EXPECT_EQ(dump_json(Json("line\n\x01")), R"("line\n\u0001")");
}

static_assert(kMaxJsonDepth <= 1024, "a value is taken apart by recursion");

TEST(Json, TakesTheDeepestValueApart) {
  std::string text = "1";
  for (int i = 0; i < kMaxJsonDepth; ++i) text = i % 2 == 0 ? "[" + text + ",\"x\"]" : "{\"k\":" + text + "}";
  Json value = parse_json(text, "x");
  Json copy = value;
  copy = Json::array({std::move(copy), value});
  value = nullptr;
  EXPECT_EQ(copy.size(), 2u);
}

}  // namespace
}  // namespace glimmer
