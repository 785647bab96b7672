#include "text/tool_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/argument_value.h"
#include "text/output_parser_fixture.h"

namespace glimmer {
namespace {

ArgumentType type_of(const std::string& schema, const std::string& defs = "{}") {
  const Json tools =
      Json::parse(R"([{"name": "f", "parameters": {"$defs": )" + defs + R"(, "properties": {"x": )" + schema + "}}}]");
  return ToolSchemas(tools).find("f")->type_of("x");
}

unsigned types(const std::string& schema, const std::string& defs = "{}") { return type_of(schema, defs).types; }

constexpr unsigned kNumbers = kJsonNumber | kJsonInteger;

TEST(ToolSchemas, ReadsTypes) {
  EXPECT_EQ(types(R"({"type": "string"})"), kJsonString);
  EXPECT_EQ(types(R"({"type": "integer"})"), kJsonInteger);
  EXPECT_EQ(types(R"({"type": "number"})"), kNumbers);
  EXPECT_EQ(types(R"({"type": ["boolean", "null"]})"), unsigned{kJsonBoolean | kJsonNull});
  EXPECT_EQ(types(R"({"anyOf": [{"type": "array"}, {"type": "object"}]})"), unsigned{kJsonArray | kJsonObject});
  EXPECT_EQ(types(R"({"oneOf": [{"type": "string"}, {"const": null}]})"), unsigned{kJsonString | kJsonNull});
  EXPECT_EQ(types(R"({"allOf": [{"type": ["string", "integer"]}, {"type": "number"}]})"), kJsonInteger);
  EXPECT_EQ(types(R"({"enum": ["a", 1, null]})"), unsigned{kJsonString | kJsonInteger | kJsonNull});
  EXPECT_EQ(types(R"({"type": "string", "nullable": true})"), unsigned{kJsonString | kJsonNull});
}

// Gemini's declarations have capitals, and hand-written ones Python's names, as vLLM and SGLang know them.
TEST(ToolSchemas, ReadsTypesInOtherSpellings) {
  EXPECT_EQ(types(R"({"type": "STRING"})"), kJsonString);
  EXPECT_EQ(types(R"({"type": "Object"})"), kJsonObject);
  EXPECT_EQ(types(R"({"type": ["INTEGER", "Null"]})"), unsigned{kJsonInteger | kJsonNull});
  EXPECT_EQ(types(R"({"anyOf": [{"type": "ARRAY"}, {"type": "BOOLEAN"}]})"), unsigned{kJsonArray | kJsonBoolean});
  EXPECT_EQ(types(R"({"type": "NUMBER", "nullable": true})"), kNumbers | kJsonNull);
  EXPECT_EQ(types(R"({"type": "str"})"), kJsonString);
  EXPECT_EQ(types(R"({"type": "int"})"), kJsonInteger);
  EXPECT_EQ(types(R"({"type": "Float"})"), kNumbers);
  EXPECT_EQ(types(R"({"type": "bool"})"), kJsonBoolean);
  EXPECT_EQ(types(R"({"type": "None"})"), kJsonNull);
  EXPECT_EQ(types(R"({"type": "List[str]"})"), kJsonArray);
  EXPECT_EQ(types(R"({"type": "dict[str, int]"})"), kJsonObject);
  EXPECT_EQ(types(R"({"type": "TYPE_UNSPECIFIED"})"), unsigned{kAnyJsonType});
  EXPECT_EQ(types(R"({"type": ""})"), unsigned{kAnyJsonType});
}

unsigned type_in(const std::string& parameters, const std::string& name) {
  const Json tools = Json::parse(R"([{"name": "f", "parameters": )" + parameters + "}]");
  return ToolSchemas(tools).find("f")->type_of(name).types;
}

TEST(ToolSchemas, ReadsAlternativesAtTheRoot) {
  for (const std::string key : {"anyOf", "oneOf"}) {
    const std::string schema = R"({"type": "object", ")" + key + R"(": [
      {"properties": {"by": {"const": "isbn"}, "code": {"type": "string"}, "size": {"type": "integer"}}},
      {"properties": {"by": {"const": 7}, "code": {"type": "string", "maxLength": 9}, "size": {"type": "null"}}},
      {"required": ["code"]}],
      "properties": {"both": {"type": "boolean"}, "code": {"description": "either"}}})";
    EXPECT_EQ(type_in(schema, "code"), kJsonString) << key;
    EXPECT_EQ(type_in(schema, "by"), unsigned{kJsonString | kJsonInteger});
    EXPECT_EQ(type_in(schema, "size"), unsigned{kJsonInteger | kJsonNull});
    EXPECT_EQ(type_in(schema, "both"), kJsonBoolean);
    EXPECT_EQ(type_in(schema, "none"), unsigned{kAnyJsonType});
  }
}

TEST(ToolSchemas, ReadsPartsAndReferencesAtTheRoot) {
  EXPECT_EQ(type_in(R"({"allOf": [{"properties": {"x": {"type": ["string", "integer"]}}},
                                  {"properties": {"x": {"type": "number"}, "y": {"type": "array"}}}]})",
                    "x"),
            kJsonInteger);
  const std::string by_reference = R"({"$ref": "#/definitions/Args", "definitions": {
    "Args": {"allOf": [{"$ref": "#/definitions/Base"}, {"oneOf": [{"properties": {"z": {"type": "STRING"}}}]}],
             "additionalProperties": {"type": "boolean"}},
    "Base": {"properties": {"x": {"$ref": "#/definitions/Text"}, "y": {"type": "integer"}}},
    "Text": {"type": "string"}}})";
  EXPECT_EQ(type_in(by_reference, "x"), kJsonString);
  EXPECT_EQ(type_in(by_reference, "y"), kJsonInteger);
  EXPECT_EQ(type_in(by_reference, "z"), kJsonString);
  EXPECT_EQ(type_in(by_reference, "other"), kJsonBoolean);
  // In a circle, or leading nowhere: nothing is declared.
  EXPECT_EQ(type_in(R"({"$ref": "#"})", "x"), unsigned{kAnyJsonType});
  EXPECT_EQ(type_in(R"({"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "properties": {"x": {"type": "null"}}})", "x"),
            kJsonNull);
  EXPECT_EQ(type_in(R"({"anyOf": 5, "allOf": [5, null], "oneOf": {}, "$ref": "#/no"})", "x"), unsigned{kAnyJsonType});
}

TEST(ToolSchemas, FollowsReferences) {
  EXPECT_EQ(types(R"({"$ref": "#/$defs/P"})", R"({"P": {"type": "object"}})"), kJsonObject);
  EXPECT_EQ(types(R"({"$ref": "#/$defs/a~1b"})", R"({"a/b": {"type": "array"}})"), kJsonArray);
  EXPECT_EQ(
      types(R"({"$ref": "#/$defs/P", "nullable": true})", R"({"P": {"$ref": "#/$defs/Q"}, "Q": {"type": "integer"}})"),
      unsigned{kJsonInteger | kJsonNull});
}

TEST(ToolSchemas, WhatCannotBeReadAllowsAnything) {
  for (const char* schema : {"{}", "true", "5", R"({"type": 5})", R"({"type": "blob"})", R"({"type": ["string", 3]})",
                             R"({"anyOf": []})", R"({"$ref": "#/$defs/P"})", R"({"$ref": "other.json"})",
                             R"({"$ref": "#no"})", R"({"$ref": 7})", R"({"enum": "a"})"}) {
    EXPECT_EQ(types(schema), unsigned{kAnyJsonType}) << schema;
  }
  EXPECT_EQ(types(R"({"$ref": "#/$defs/L"})", R"({"L": {"$ref": "#/$defs/L"}})"), unsigned{kAnyJsonType});
  // Each level refers to the next twice: read all the way, it would not end.
  EXPECT_EQ(types(R"({"$ref": "#/$defs/L"})", R"({"L": {"anyOf": [{"$ref": "#/$defs/L"}, {"$ref": "#/$defs/L"}]}})"),
            unsigned{kAnyJsonType});
}

TEST(ToolSchemas, FollowsPointersAsTheyAreWritten) {
  const std::string defs =
      R"({"a~b": {"type": "array"}, "": {"type": "null"}, "l": [{"type": "integer"}, {"type": "object"}]})";
  EXPECT_EQ(types(R"({"$ref": "#/$defs/a~0b"})", defs), kJsonArray);
  EXPECT_EQ(types(R"({"$ref": "#/$defs/"})", defs), kJsonNull);
  EXPECT_EQ(types(R"({"$ref": "#/$defs/l/1"})", defs), kJsonObject);
  for (const char* nowhere : {"#/$defs/a~2b", "#/$defs/a~", "#/$defs/l/2", "#/$defs/l/01", "#/$defs/l/-",
                              "#/$defs/l/1/type/0", "#$defs", "#/$defs/l/18446744073709551616"}) {
    EXPECT_EQ(types(std::string(R"({"$ref": ")") + nowhere + "\"}", defs), unsigned{kAnyJsonType}) << nowhere;
  }
}

std::vector<std::string> values(const ArgumentType& type) {
  std::vector<std::string> out;
  for (const Json& value : type.values) out.push_back(dump_json(value));
  return out;
}

TEST(ToolSchemas, KeepsTheValuesOfEveryAlternativeOnce) {
  using ::testing::ElementsAre;
  EXPECT_THAT(values(type_of(R"({"anyOf": [{"enum": ["a", "b"]}, {"const": 1}, {"const": "c"}, {"type": "null"}]})")),
              ElementsAre("\"a\"", "\"b\"", "1", "\"c\""));
  EXPECT_THAT(values(type_of(R"({"anyOf": [{"$ref": "#/$defs/E"}, {"$ref": "#/$defs/E"}, {"const": 2}]})",
                             R"({"E": {"enum": ["a"]}})")),
              ElementsAre("\"a\"", "2"));
  EXPECT_THAT(values(type_of(R"({"allOf": [{"$ref": "#/$defs/E"}], "const": "x"})", R"({"E": {"enum": ["a"]}})")),
              ElementsAre("\"x\"", "\"a\""));
}

Json tool(const std::string& name, Json parameters) {
  return {{"type", "function"}, {"function", {{"name", name}, {"parameters", std::move(parameters)}}}};
}

Json reference(const std::string& name) { return {{"$ref", "#/$defs/" + name}}; }

// Work in multiples of what was sent.
double steps_per_byte(const Json& tools, const ToolSchemas& schemas) {
  return static_cast<double>(schemas.steps()) / static_cast<double>(dump_json(tools).size());
}

// Read along every path, each of these would take millions of steps, and as much memory.
TEST(ToolSchemas, ReadsWhatIsReferredToManyTimesOnce) {
  for (const char* combiner : {"anyOf", "oneOf", "allOf"}) {
    Json defs = {{"d0", {{"enum", Json(std::vector<int>(5000, 1))}}}};
    for (int i = 1; i <= 20; ++i) {
      const Json next = reference("d" + std::to_string(i - 1));
      defs["d" + std::to_string(i)] = {{combiner, Json(std::vector<Json>(20, next))}};
    }
    const Json tools = Json::array({tool("f", {{"properties", {{"p", reference("d20")}}}, {"$defs", defs}})});
    const ToolSchemas schemas(tools);
    EXPECT_LT(steps_per_byte(tools, schemas), 4) << combiner;
    EXPECT_EQ(schemas.find("f")->type_of("p").types, kJsonInteger);
    EXPECT_EQ(schemas.find("f")->type_of("p").values.size(), 5000u);
    EXPECT_THAT(schemas.remarks(), ::testing::IsEmpty());
  }
}

TEST(ToolSchemas, ParametersShareTheValuesOfOneDefinition) {
  Json properties = Json::object();
  for (int i = 0; i < 3000; ++i) properties["p" + std::to_string(i)] = reference("e");
  const std::string large(100'000, 'x');
  const Json tools = Json::array({tool(
      "f", {{"properties", properties},
            {"$defs", {{"e", {{"enum", Json(std::vector<std::string>(3000, "v"))}}}, {"c", {{"const", large}}}}}})});
  const ToolSchemas schemas(tools);
  EXPECT_LT(steps_per_byte(tools, schemas), 4);
  EXPECT_EQ(schemas.find("f")->type_of("p0").values.size(), 3000u);
  EXPECT_EQ(&*schemas.find("f")->type_of("p0").values.begin(), &*schemas.find("f")->type_of("p2999").values.begin());
}

// Ever another join of long lists: beyond a bound for all tools the values are left out, and the types stay.
TEST(ToolSchemas, LeavesTooManyJoinedValuesOut) {
  Json tools = Json::array();
  for (int t = 0; t < 4; ++t) {
    Json properties = Json::object();
    for (int i = 0; i < 20; ++i) {
      properties["p" + std::to_string(i)] = {{"anyOf", {reference("e"), {{"const", i}}}}};
    }
    tools.push_back(
        tool("f" + std::to_string(t),
             {{"properties", properties}, {"$defs", {{"e", {{"enum", Json(std::vector<std::string>(2000, "v"))}}}}}}));
  }
  const ToolSchemas schemas(tools);
  EXPECT_EQ(schemas.find("f0")->type_of("p0").values.size(), 2001u);
  EXPECT_TRUE(schemas.find("f3")->type_of("p19").values.empty());
  EXPECT_EQ(schemas.find("f3")->type_of("p19").types, unsigned{kJsonString | kJsonInteger});
  EXPECT_LT(schemas.steps(), 3 * kMaxJoined);
  EXPECT_EQ(schemas.remarks().size(), 2u);
  EXPECT_THAT(schemas.remarks().front(), ::testing::HasSubstr("\"f2\" lists too much"));
}

// The same at the root, where it is parameters that multiply.
TEST(ToolSchemas, JoinsParametersWithinTheBound) {
  Json properties = Json::object();
  for (int i = 0; i < 1000; ++i) properties["p" + std::to_string(i)] = {{"type", "string"}};
  Json defs = {{"d0", {{"properties", properties}}}};
  for (int i = 1; i <= 25; ++i) {
    defs["d" + std::to_string(i)] = {{"anyOf", Json(std::vector<Json>(20, reference("d" + std::to_string(i - 1))))}};
  }
  const ToolSchemas schemas(Json::array({tool("near", {{"$ref", "#/$defs/d2"}, {"$defs", defs}}),
                                         tool("far", {{"$ref", "#/$defs/d25"}, {"$defs", defs}})}));
  EXPECT_EQ(schemas.find("near")->type_of("p7").types, kJsonString);
  EXPECT_EQ(schemas.find("far")->type_of("p7").types, unsigned{kAnyJsonType});
  EXPECT_LT(schemas.steps(), 3 * kMaxJoined);
  EXPECT_THAT(schemas.remarks(), ::testing::ElementsAre(::testing::HasSubstr("\"far\" lists too much")));
}

TEST(ToolSchemas, WhatIsReferredToTooDeeplyAllowsAnything) {
  Json defs = {{"d0", {{"type", "string"}}}};
  for (int i = 1; i <= 5000; ++i) defs["d" + std::to_string(i)] = reference("d" + std::to_string(i - 1));
  const Json tools = Json::array(
      {tool("f", {{"properties", {{"near", reference("d40")}, {"far", reference("d5000")}}}, {"$defs", defs}}),
       tool("g", Json::object())});
  const ToolSchemas schemas(tools);
  EXPECT_EQ(schemas.find("f")->type_of("near").types, kJsonString);
  EXPECT_EQ(schemas.find("f")->type_of("far").types, unsigned{kAnyJsonType});
  EXPECT_THAT(schemas.remarks(), ::testing::ElementsAre(::testing::HasSubstr("\"f\"")));
  EXPECT_LT(steps_per_byte(tools, schemas), 4);
}

TEST(ToolSchemas, ReadsEveryApisTools) {
  const ToolSchemas tools(weather_tools());
  ASSERT_NE(tools.find("get_weather"), nullptr);
  EXPECT_TRUE(tools.find("get_weather")->declares("city"));
  ASSERT_NE(tools.find("now"), nullptr);
  EXPECT_FALSE(tools.find("now")->declares("city"));
  EXPECT_EQ(tools.find("write_file")->type_of("content").types, kJsonString);
  EXPECT_EQ(tools.find("write_file")->type_of("mode").types, kJsonString);  // additionalProperties
  EXPECT_EQ(tools.find("nothing"), nullptr);
  EXPECT_EQ(tools.longest_name_in_front_of("get_weathercity"), "get_weather");
  EXPECT_EQ(tools.longest_name_in_front_of("now"), "");
  EXPECT_TRUE(ToolSchemas(Json::parse(R"([1, null, {"name": 5}, {"function": []}, {"x": {"name": "y"}}])")).empty());
  EXPECT_TRUE(ToolSchemas(Json(5)).empty());
  EXPECT_NE(ToolSchemas(Json::parse(R"([{"name": "f", "parameters": [1]}])")).find("f"), nullptr);
}

std::string json(std::string_view text, const std::string& schema, LiteralStyle style = LiteralStyle::kJson) {
  return argument_json(text, type_of(schema), style).value_or("none");
}

TEST(ArgumentValue, StringsStayStrings) {
  const std::string schema = R"({"type": "string"})";
  EXPECT_EQ(json("5", schema), R"("5")");
  EXPECT_EQ(json("true", schema), R"("true")");
  EXPECT_EQ(json("null", schema), R"("null")");
  EXPECT_EQ(json(R"({"a": 1})", schema), R"("{\"a\": 1}")");
  EXPECT_EQ(json(R"("quoted")", schema), R"("\"quoted\"")");
  EXPECT_EQ(json(" a\n", schema), R"(" a\n")");
  EXPECT_EQ(json("", schema), R"("")");
  EXPECT_EQ(json(std::string_view("\x01\0\x7F", 3), schema), "\"\\u0001\\u0000\x7F\"");
}

TEST(ArgumentValue, NumbersKeepTheirDigits) {
  const std::string number = R"({"type": "number"})";
  const std::string integer = R"({"type": "integer"})";
  EXPECT_EQ(json("12345678901234567890123", integer), "12345678901234567890123");
  EXPECT_EQ(json("0.1000", number), "0.1000");
  EXPECT_EQ(json(" -7\n", number), "-7");
  EXPECT_EQ(json("1e-3", number), "1e-3");
  EXPECT_EQ(json("3.0", integer), "3");
  EXPECT_EQ(json("-0.0", integer), "0");
  EXPECT_EQ(json("2e3", integer), "2000");
  for (const char* bad : {"3.5",  "1e300", "007",     "1.",      ".5",
                          "+1",   "0x10",  "1_000",   "NaN",     "five",
                          "",     "5 6",   "true",    "35e-1",   "-1e-99999999999",
                          "\"\"", "\"5",   "\"3.5\"", "'\"5\"'", "\"5\" 6"}) {
    EXPECT_EQ(json(bad, integer), "none") << bad;
  }
  EXPECT_EQ(json("Infinity", number), "none");
}

// Digit for digit, beyond what 64 bits or a double hold.
TEST(ArgumentValue, IntegersOfAnySize) {
  const std::string integer = R"({"type": "integer"})";
  EXPECT_EQ(json("18446744073709551615", integer), "18446744073709551615");
  EXPECT_EQ(json("-9223372036854775809", integer), "-9223372036854775809");
  EXPECT_EQ(json("12345678901234567890123.00", integer), "12345678901234567890123");
  EXPECT_EQ(json("-1.2345678901234567890e19", integer), "-12345678901234567890");
  EXPECT_EQ(json("9007199254740993.0", integer), "9007199254740993");
  EXPECT_EQ(json("250e-1", integer), "25");
  EXPECT_EQ(json("0.000e5", integer), "0");
  EXPECT_EQ(json("1e23", integer), "1" + std::string(23, '0'));
  EXPECT_EQ(json("\"12345678901234567890123\"", integer), "12345678901234567890123");
  const std::string object = R"({"type": "object"})";
  EXPECT_EQ(json(R"({"id": 12345678901234567890123, "l": [18446744073709551616]})", object),
            R"({"id": 12345678901234567890123, "l": [18446744073709551616]})");
  EXPECT_EQ(json("{'id': -12345678901234567890123, 'x': 0.10}", object),
            R"({"id": -12345678901234567890123, "x": 0.10})");
  EXPECT_EQ(json("12345678901234567890123", "{}"), "12345678901234567890123");
}

TEST(ArgumentValue, WhatStandsInQuotesWhereNoStringCan) {
  EXPECT_EQ(json("\"42\"", R"({"type": "integer"})"), "42");
  EXPECT_EQ(json(" '-1.50' ", R"({"type": "number"})"), "-1.50");
  EXPECT_EQ(json("\"2\"", R"({"type": "number", "enum": [1, 2]})"), "2");
  EXPECT_EQ(json("\"True\"", R"({"type": "boolean"})"), "true");
  EXPECT_EQ(json("\"null\"", R"({"type": ["integer", "null"]})"), "null");
  EXPECT_EQ(json(R"("[1, \"a\"]")", R"({"type": "array"})"), R"([1, "a"])");
  EXPECT_EQ(json(R"("{'a': 1}")", R"({"type": "object"})"), R"({"a": 1})");
  EXPECT_EQ(json("\"yes\"", R"({"type": "boolean"})"), "none");
  EXPECT_EQ(json("\"42\"", R"({"type": ["integer", "string"]})"), R"("\"42\"")");
}

TEST(ArgumentValue, BooleansAndNull) {
  const std::string boolean = R"({"type": "boolean"})";
  EXPECT_EQ(json("true", boolean), "true");
  EXPECT_EQ(json("False", boolean), "false");
  EXPECT_EQ(json("TRUE", boolean), "true");
  EXPECT_EQ(json("1", boolean), "none");
  EXPECT_EQ(json("null", boolean), "none");
  EXPECT_EQ(json("null", R"({"type": "null"})"), "null");
  EXPECT_EQ(json("None", R"({"type": "null"})"), "null");
  EXPECT_EQ(json("None", R"({"type": ["string", "null"]})"), R"("None")");
  EXPECT_EQ(json("None", R"({"type": ["string", "null"]})", LiteralStyle::kPython), "null");
}

TEST(ArgumentValue, ArraysAndObjects) {
  const std::string array = R"({"type": "array"})";
  EXPECT_EQ(json(" [1,\n \"é\"] ", array), "[1,\n \"é\"]");
  EXPECT_EQ(json("{}", array), "none");
  EXPECT_EQ(json("[1, 2", array), "none");
  EXPECT_EQ(json(R"({"a": {"b": null}})", R"({"type": "object"})"), R"({"a": {"b": null}})");
  EXPECT_EQ(json(R"({"a": 1, "a": 2})", R"({"type": "object"})"), "none");  // ambiguous
  EXPECT_EQ(json(std::string(1000, '[') + std::string(1000, ']'), array), "none");
}

// What is clear, though JSON does not allow it.
TEST(ArgumentValue, ArraysAndObjectsThatAreNotQuiteJson) {
  const std::string array = R"({"type": "array"})";
  const std::string object = R"({"type": ["object", "null"]})";
  EXPECT_EQ(json("['a', \"b's\", 'say \"x\"', 'it\\'s']", array), R"(["a", "b's", "say \"x\"", "it's"])");
  EXPECT_EQ(json("{'on': True, 'off': False, 'no': None, 7: 1.50, 'n': {'deep': [-1e3, ()]},}", object),
            R"({"on": true, "off": false, "no": null, "7": 1.50, "n": {"deep": [-1e3, []]}})");
  EXPECT_EQ(json("(1, 'two', (3,))", array), R"([1, "two", [3]])");
  EXPECT_EQ(json("[1, 2, ]", array), "[1, 2]");
  EXPECT_EQ(json("[\"two\nlines\"]", array), R"(["two\nlines"])");
  EXPECT_EQ(json(R"(['\x41\u00e9\ud83d\ude42\U0001F642\d\n\/'])", array), "[\"Aé🙂🙂\\\\d\\n/\"]");
  // The quotes, or all of it, escaped once more.
  EXPECT_EQ(json(R"([{\"id\": \"1\", \"say\": \"a \\\"b\\\"\"}])", array), R"([{"id": "1", "say": "a \"b\""}])");
  EXPECT_EQ(json(R"(\n)", array), "none");
  EXPECT_EQ(json(R"([\n  {\"id\": 12345678901234567890}\n])", array), "[\n  {\"id\": 12345678901234567890}\n]");
  EXPECT_EQ(json(R"({\"a\": True})", object), R"({"a": true})");
  for (const char* unclear : {"['a' 'b']", "[a]", "['a", "[1, 2}", "(1)", "[,]", "{'a'}", "{'a': 1, 'a': 2}", "{a: 1}",
                              "['a'] x", "[0x1]", "[1,,2]", "[nan]", "[\"a\\\"]", "['it's']", R"([{\"a\": "b"}])"}) {
    EXPECT_EQ(json(unclear, array), "none") << unclear;
  }
  EXPECT_EQ(json(std::string(1000, '(') + std::string(1000, ')'), array), "none");
  // Where it may be a string as well, it is one.
  EXPECT_EQ(json("['a']", R"({"type": ["string", "array"]})"), R"("['a']")");
  EXPECT_EQ(json("{'a': 1}", "{}"), R"("{'a': 1}")");
}

TEST(ArgumentValue, JsonOfAnotherTypeThanDeclared) {
  const auto retyped = [](const std::string& text, const std::string& schema) {
    return retyped_json(text, type_of(schema)).value_or("none");
  };
  EXPECT_EQ(retyped("\"42\"", R"({"type": "integer"})"), "42");
  EXPECT_EQ(retyped("\"[1]\"", R"({"type": "array"})"), "[1]");
  EXPECT_EQ(retyped("\"42\"", "{}"), "\"42\"");
  EXPECT_EQ(retyped("42", R"({"type": "string"})"), "\"42\"");
  EXPECT_EQ(retyped("12345678901234567890123", R"({"type": "string"})"), "\"12345678901234567890123\"");
  EXPECT_EQ(retyped("{\"a\": 1}", R"({"type": "string"})"), R"("{\"a\": 1}")");
  EXPECT_EQ(retyped("3.0", R"({"type": "integer"})"), "3");
  EXPECT_EQ(retyped("null", R"({"type": "string"})"), "none");
  EXPECT_EQ(retyped("true", R"({"type": "integer"})"), "none");
}

// Reading a value again for each tag in it would take the square of its length.
TEST(ArgumentValue, TagsInAValueDoNotHaveItReadAgain) {
  for (const auto& [begin, end] : std::vector<std::pair<std::string, std::string>>{{"[\"", "\"]"},
                                                                                   {"['", "']"},
                                                                                   {"[\\\"", "\\\"]"},
                                                                                   {"", ""},
                                                                                   {"12", ""},
                                                                                   {"\"", "\""},
                                                                                   {"[1]", ""},
                                                                                   {"", "]"},
                                                                                   {"[\"\"", ""}}) {
    const ArgumentType type = type_of(R"({"type": ["array", "integer"]})");
    ArgumentValue value(type, LiteralStyle::kJson);
    std::string text = begin;
    (void)value.add(begin);
    for (int i = 0; i < 1000; ++i) {
      (void)value.is_whole_literal();
      (void)value.add("</arg_value>");
      text += "</arg_value>";
    }
    (void)value.is_whole_literal();
    (void)value.add(end);
    text += end;
    EXPECT_LE(value.whole_reads(), 4) << begin;
    EXPECT_EQ(value.is_whole_literal(), argument_json(text, type, LiteralStyle::kJson).has_value()) << text;
  }
}

TEST(ArgumentValue, Unions) {
  const std::string note = R"({"anyOf": [{"type": "string"}, {"type": "null"}]})";
  EXPECT_EQ(json("null", note), "null");
  EXPECT_EQ(json("Null", note), R"("Null")");
  EXPECT_EQ(json("5", note), R"("5")");
  EXPECT_EQ(json("5", R"({"type": ["string", "integer"]})"), "5");
  EXPECT_EQ(json("05", R"({"type": ["string", "integer"]})"), R"("05")");
  EXPECT_EQ(json("1", R"({"enum": ["1", 2]})"), R"("1")");
  EXPECT_EQ(json("2", R"({"enum": ["1", 2]})"), "2");
  EXPECT_EQ(json("\ncelsius ", R"({"type": "string", "enum": ["celsius"]})"), R"("celsius")");
  EXPECT_EQ(json(" kelvin", R"({"type": "string", "enum": ["celsius"]})"), R"(" kelvin")");
}

TEST(ArgumentValue, WhatIsNotDeclaredIsJsonOrElseAString) {
  EXPECT_EQ(json("5", "{}"), "5");
  EXPECT_EQ(json("[1]", "{}"), "[1]");
  EXPECT_EQ(json(R"("a")", "{}"), R"("a")");
  EXPECT_EQ(json("007", "{}"), R"("007")");
  EXPECT_EQ(json("plain text", "{}"), R"("plain text")");
  EXPECT_EQ(json("True", "{}"), R"("True")");
  EXPECT_EQ(json("True", "{}", LiteralStyle::kPython), "true");
}

// Piece by piece, the output is that of the whole value, for every type and every cut in two and in bytes.
TEST(ArgumentValue, StreamsTheSame) {
  const std::vector<std::string> schemas = {
      R"({"type": "string"})",  R"({"type": "integer"})",           R"({"type": ["string", "null"]})",
      R"({"type": "object"})",  R"({"type": ["string", "array"]})", "{}",
      R"({"type": "boolean"})", R"({"enum": ["on", "off"]})",       R"({"type": ["string", "integer", "boolean"]})"};
  const std::vector<std::string> texts = {
      "",      "5",      "-1.5e3", "5 apples",       " true ", "truth", "null", "nullify",   "null      x", "None",
      "off\n", "[1, 2]", "[1, 2",  "{\"a\": \"}\"}", "{a}",    "\"q\"", "\"q",  "\n\n text", "f",           "- x",
      "'5'",   "['a',]", "(1,)",   "{\\\"a\\\": 1}", "\"5\"",  "'on'"};
  for (const std::string& schema : schemas) {
    for (const LiteralStyle style : {LiteralStyle::kJson, LiteralStyle::kPython}) {
      const ArgumentType type = type_of(schema);
      for (const std::string& text : texts) {
        const std::string whole = argument_json(text, type, style).value_or(json_string(text));
        for (size_t cut = 0; cut <= text.size(); ++cut) {
          ArgumentValue value(type, style);
          std::string out = value.add(text.substr(0, cut));
          out += value.add(text.substr(cut));
          out += value.end();
          EXPECT_EQ(out, whole) << schema << " cut at " << cut;
        }
        ArgumentValue value(type, style);
        std::string out;
        for (const char c : text) out += value.add({&c, 1});
        out += value.end();
        EXPECT_EQ(out, whole) << schema;
        ArgumentValue open(type, style);
        out = open.add(text);
        out += open.cut();
        EXPECT_TRUE(Json::accept(out + open.closing())) << schema << ' ' << text << ' ' << out;
      }
    }
  }
}

}  // namespace
}  // namespace glimmer
