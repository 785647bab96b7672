#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/error.h"
#include "base/json_numbers.h"

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
  EXPECT_THAT(message_of(std::string_view("{}\0garbage", 10)),
              HasSubstr("malformed JSON at byte 3 (line 1, column 3): a NUL byte"));
}

TEST(Json, RefusesDuplicateKeysAtEveryLevel) {
  EXPECT_THAT(message_of("{\"a\\n\":1,\"a\\n\":2}"), HasSubstr("key \"a\\u000a\" appears twice"));
  EXPECT_THAT(message_of(R"({"a":1,"a":2})"), HasSubstr("key \"a\" appears twice"));
  EXPECT_THAT(message_of(R"({"a":1,"b":2,"\u0061":1})"), HasSubstr("key \"a\" appears twice"));
  EXPECT_THAT(message_of(R"([{"x":{"b":[],"c":{},"b":null}}])"), HasSubstr("key \"b\" appears twice"));
  EXPECT_THAT(message_of(R"([{"x":{"b":[],"c":{},"b":null}}])"), HasSubstr("twice in [0].x"));
  EXPECT_THAT(message_of(R"({"messages":[{},{"role":1,"role":2}]})"), HasSubstr("twice in messages[1]"));
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

// Where it is and what it is, whole, however much stands before it.
TEST(Json, SaysWhatIsWrongAndWhere) {
  const std::pair<std::string, const char*> cases[] = {
      {R"({"a":"x \ud83d y"})", "surrogate"},
      {R"({"a":"x \ude00"})", "surrogate"},
      {R"({"a":"\ud83d\ud83d"})", "surrogate"},
      {R"({"a":")" + std::string(100'000, 'x') + R"(: \udfff"})", "surrogate"},
      {R"({"a":")" + std::string(100'000, 'x') + "\n\"}", "U+000A (LF) must be escaped"},
      {R"({"a":[1,2,]})", "byte 11 (line 1, column 11): a comma before ']'"},
      {"{\n  \"a\": 1,\n}", "byte 13 (line 3, column 1): a comma before '}'"},
      {"{\"a\": NaN}", "NaN is no number of JSON"},
      {"{\"a\": nan}", "nan is no number of JSON"},
      {"{\"a\": -Infinity}", "Infinity is no number of JSON"},
      {"{\"a\": True}", "True is no literal of JSON"},
      {"{\"a\": None}", "None is no literal of JSON"},
      {"{'a': 1}", "strings stand in double quotes"},
      {"{\"a\": 1} // done", "no comments in JSON"},
      {"{\"a\" 1}", "unexpected number literal; expected ':'"},
      {"{\"a\": 1", "unexpected end of input"},
      {"{\"a\": \"x: y", "missing closing quote"},
      {"{\"a\": \"\\x\"}", "forbidden character after backslash"},
      {"{\"a\": 1e999}", "1e999"},
      {"{\"a\": \"\xC3(\"}", "ill-formed UTF-8"},
      {"", "the text is empty"},
      {" \n", "the text is empty"},
      {std::string("\xFF\xFE{\0}\0", 6), "the text is UTF-16"},
      {std::string("{\0\"\0", 4), "the text is UTF-16"},
      {std::string("\0\0\0{", 4), "the text is UTF-32"},
      {std::string("\x1F\x8B\x08\0\0", 5), "compressed with gzip"},
  };
  for (const auto& [text, reason] : cases) {
    const std::string message = message_of(text);
    EXPECT_THAT(message, HasSubstr(reason)) << text.substr(0, 100);
    EXPECT_LT(message.size(), 400u);
  }
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

// Arrays of numbers that neither 64 bits nor doubles hold, and what becomes of them.
TEST(ExactJson, NumbersKeepTheirDigits) {
  const std::string digits400(400, '7');
  for (const std::string& text :
       {std::string("18446744073709551615"), std::string("18446744073709551616"), std::string("-9223372036854775808"),
        std::string("-9223372036854775809"), std::string("12345678901234567890123"), digits400, "-" + digits400,
        std::string("1e400"), std::string("-1E+4000"), std::string("1e-400"), std::string("0.1000000000000000055"),
        "0." + digits400, digits400 + ".5e-7"}) {
    for (const std::string& json : {text, "[" + text + "]", "{\"a\":[1," + text + ",\"" + text + "\"],\"b\":2.5}"}) {
      EXPECT_EQ(dump_json(parse_exact_json(json, "x")), json);
    }
  }
}

TEST(ExactJson, OtherNumbersAreTheLibrarys) {
  const Json json =
      parse_exact_json("[1, -2, 0.25, 1e2, 0.10000000000000001, 1.7976931348623157e308, 5e-324, 0e9999, 0.0]", "x");
  for (const Json& number : json) EXPECT_TRUE(number.is_number());
  EXPECT_EQ(json, parse_json("[1, -2, 0.25, 1e2, 0.1, 1.7976931348623157e308, 5e-324, 0, 0.0]", "x"));
}

TEST(ExactJson, TellsWhatItKept) {
  const Json json = parse_exact_json("[18446744073709551616, 1e400, 1.00000000000000000005, 3]", "x");
  EXPECT_TRUE(keeps_number_text(json[0]) && keeps_number_text(json[1]) && keeps_number_text(json[2]));
  EXPECT_FALSE(keeps_number_text(json[3]) || json[0].is_number());
  EXPECT_TRUE(is_integer_text(number_text(json[0])));
  EXPECT_FALSE(is_integer_text(number_text(json[1])) || is_integer_text(number_text(json[2])));
  EXPECT_EQ(nearest_number(json[0]), 18446744073709551616.0);
  EXPECT_TRUE(std::isinf(nearest_number(json[1])));
  EXPECT_EQ(nearest_number(json[3]), 3);
}

// A number that is taken out and put back moves no other, and no position in an error.
TEST(ExactJson, HugeNumbersAreFoundAmongAnything) {
  const std::string huge(500, '9');
  const std::string json = R"({"1e999\"2e999":[1,"3e999",)" + huge + R"(,-4e999,5,true,6.5,7e999],"x":)" + huge + "}";
  EXPECT_EQ(dump_json(parse_exact_json(json, "x")), json);
  for (const char* text : {"x", "[1e999,x", "[1e999,01]", "[1e999e1]", "[1e999", "[-1e999,--1]"}) {
    EXPECT_THROW(parse_exact_json(text, "x"), Error) << text;
  }
  EXPECT_THROW(parse_exact_json("[" + huge + ",1.]", "x"), Error);
  try {
    parse_exact_json("[" + huge + ",?]", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("byte 503"));
  }
}

}  // namespace
}  // namespace glimmer
