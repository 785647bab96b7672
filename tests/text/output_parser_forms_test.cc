// Forms of calls besides GLM's tags: Qwen3-Coder's, and GLM-4-0414's line of metadata.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/argument_value.h"
#include "text/output_parser.h"
#include "text/output_parser_fixture.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;

// ---- INTELLECT-3's calls ----

std::string qwen_call(const std::string& name, const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::string text = "<tool_call>\n<function=" + name + ">\n";
  for (const auto& [key, value] : parameters) text += "<parameter=" + key + ">\n" + value + "\n</parameter>\n";
  return text + "</function>\n</tool_call>";
}

TEST(OutputParser, Qwen3CoderCall) {
  expect_output(thinking(qwen()),
                "Need weather.</think>\n\n" + qwen_call("get_weather", {{"city", "北京"}, {"days", "3"}}) + "\n" +
                    qwen_call("now", {}),
                {"Need weather.", "", {{"get_weather", R"({"city": "北京", "days": 3})"}, {"now", "{}"}}});
  expect_output(qwen(), "ok <tool_call><function=get_weather><parameter=city>Rome</parameter></function></tool_call>",
                {"", "ok", {{"get_weather", R"({"city": "Rome"})"}}});
}

TEST(OutputParser, Qwen3CoderTakesOneLineEndFromEachSideOfAValue) {
  expect_output(qwen(), qwen_call("write_file", {{"content", "\n a\n\nb\n"}, {"path", ""}}),
                {"", "", {{"write_file", R"({"content": "\n a\n\nb\n", "path": ""})"}}});
}

TEST(OutputParser, Qwen3CoderMalformed) {
  const ExpectedCall rome{"get_weather", R"({"city": "Rome"})"};
  const std::string begin = "<tool_call>\n<function=get_weather>\n<parameter=city>\nRome";
  expect_output(qwen(), begin, {"", "", {rome}, 1});
  expect_output(qwen(), begin + "\n", {"", "", {rome}, 2});
  expect_output(qwen(), begin + "\n</parameter>\n", {"", "", {rome}, 1});
  expect_output(qwen(), begin + "\n</parameter>\n</function>", {"", "", {rome}, 1});
  expect_output(qwen(), begin + "\n</function>\n</tool_call>", {"", "", {rome}, 1});
  expect_output(qwen(), begin + "\n</parameter>\n</tool_call>", {"", "", {rome}, 1});
  expect_output(qwen(), begin + "\n</tool_call>\n" + qwen_call("now", {}), {"", "", {rome, {"now", "{}"}}, 2});
  expect_output(qwen(), begin + "\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
                {"", "", {{"get_weather", R"({"city": "Rome", "days": 3})"}}, 1});
  expect_output(qwen(), begin + "\n</parameter>\n</function>\n<function=now>\n</function>\n</tool_call>",
                {"", "", {rome, {"now", "{}"}}, 1});
  expect_output(qwen(), "<function=now>\n</function>", {"", "", {{"now", "{}"}}});  // without <tool_call>
  expect_output(qwen(), "<function=unknown>\n</function>", {"", "<function=unknown>\n</function>", {}, 1});
  expect_output(qwen(), R"(<tool_call>{"name": "now"}</tool_call>)",
                {"", R"(<tool_call>{"name": "now"}</tool_call>)", {}, 2});
  expect_output(qwen(),
                "<tool_call>\n<function=get_weather\n<parameter=city\nRome\n</parameter>\n</function></tool_call>",
                {"", "", {rome}, 1});
  expect_output(qwen(), R"(<tool_call><function="now"></function></tool_call>)", {"", "", {{"now", "{}"}}});
}

// <function=name> by itself may be a sentence about the form.
TEST(OutputParser, ABareFunctionTagIsACallOnlyIfOneFollows) {
  const ExpectedCall rome{"get_weather", R"({"city": "Rome"})"};
  const std::vector<std::string> mentions = {"Here <function=now> opens a call and </function> ends it.",
                                             "<function=now>",
                                             "<function=now>\n",
                                             "<function=now> <param",
                                             "Use <function=get_weather><parameter=city> and so on.",
                                             "So: <function=get_weather>\n\n<tool_call> first."};
  for (const std::string& mention : mentions) {
    const ParsedOutput parsed = parse_output(mention, qwen());
    EXPECT_TRUE(parsed.calls.empty());
    EXPECT_EQ(parsed.content, mention);
    expect_same_for_every_cut(mention, qwen(), OutputEnd::kStop);
    expect_output(thinking(qwen()), mention + "</think>ok",
                  {mention.substr(0, mention.find_last_not_of('\n') + 1), "ok"});
  }
  expect_output(qwen(), "Go.\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>",
                {"", "Go.", {rome}});
  expect_output(thinking(qwen()), "Go. <function=get_weather><parameter=city>Rome</parameter></function></think>",
                {"Go.", "", {rome}});
  expect_output(qwen(), "<function=get_weather><parameter=city>Rome</parameter>", {"", "", {rome}, 1});
  const std::string long_name(9'000, 'R');
  expect_output(qwen(), "<function=get_weather><parameter=city>" + long_name,
                {"", "", {{"get_weather", R"({"city": ")" + long_name + "\"}"}}, 1});
}

TEST(OutputParser, Qwen3CoderTagsInsideAValue) {
  const std::string file = "<parameter=x> is closed by </parameter>, a function by </function> and\n</tool_call> so";
  expect_output(qwen(), qwen_call("write_file", {{"content", file}}),
                {"", "", {{"write_file", R"({"content": )" + json_string(file) + "}"}}});
}

TEST(OutputParser, Qwen3CoderReadsPythonsLiterals) {
  expect_output(qwen(), qwen_call("get_weather", {{"metric", "True"}, {"note", "None"}, {"either", "False"}}),
                {"", "", {{"get_weather", R"({"metric": true, "note": null, "either": false})"}}});
  expect_output(glm(), "<tool_call>get_weather<arg_key>note</arg_key><arg_value>None</arg_value></tool_call>",
                {"", "", {{"get_weather", R"({"note": "None"})"}}});
}

// ---- calls of GLM-4-0414: the name in a line, then JSON ----

TEST(OutputParser, GlmMetadataCall) {
  const ExpectedCall rome{"get_weather", R"({"city": "北京", "days": 3})"};
  expect_output(glm_metadata(), "get_weather\n{\"city\": \"北京\", \"days\": 3}", {"", "", {rome}});
  expect_output(glm_metadata(), "\n get_weather \r\n\n{ \"city\" :\"\\u5317京\",\n \"days\": 3 }\n<|observation|>",
                {"", "", {rome}});
  expect_output(glm_metadata(), "now\n{}", {"", "", {{"now", "{}"}}});
  expect_output(
      glm_metadata(),
      "get_weather\n{\"city\": \"北京\", \"days\": 3}<|assistant|>now\n{}\n<|assistant|>now\n{ }<|observation|>",
      {"", "", {rome, {"now", "{}"}, {"now", "{}"}}});
  // Also where the decoder left the special tokens out.
  expect_output(glm_metadata(), "now\n{}now\n{}", {"", "", {{"now", "{}"}, {"now", "{}"}}});
  expect_output(glm_metadata(), "\nLet me look.<|assistant|>now\n{}<|assistant|>\nDone.",
                {"", "Let me look.\nDone.", {{"now", "{}"}}});
  const ExpectedOutput z1{"Need weather.", "", {rome}};
  expect_output(thinking(glm_metadata()), "\nNeed weather.\n</think>\nget_weather\n{\"city\": \"北京\", \"days\": 3}",
                z1);
  expect_output(thinking(glm_metadata()),
                "Need weather.</think><|assistant|>get_weather\n{\"city\": \"北京\", \"days\": 3}", z1);
  expect_output(thinking(glm_metadata()), "Need weather.<|assistant|>get_weather\n{\"city\": \"北京\", \"days\": 3}",
                z1);
  expect_output(glm_metadata(), "<think>Need weather.</think>get_weather\n{\"city\": \"北京\", \"days\": 3}", z1);
}

// A first line is a call only if it names a declared tool and an object follows.
TEST(OutputParser, GlmMetadataTakesNoProse) {
  for (const std::string text :
       {"Hello.", "now", "now\n", "now is the time\n{\"a\": 1}", "unknown\n{\"a\": 1}", "now\nor never", "now\n[1]",
        "now\n{a: 1}", "now\n{\"a\"}", "now\n{\"a\"", "now\n{", "no", "Call now:\nnow\n{}", "get_weather(\"Rome\")\n{}",
        "{\"a\": 1}", "now {}", "`now`\n{}"}) {
    expect_output(glm_metadata(), text, {"", text});
  }
  expect_output(thinking(glm_metadata()), "now\n{}\nis a call</think>\nYes", {"now\n{}\nis a call", "Yes"});
  expect_output({.format = ToolCallFormat::kGlmMetadata}, "now\n{}", {"", "now\n{}"});
  expect_output(glm_metadata(), "now" + std::string(600, ' ') + "\n{}", {"", "now" + std::string(600, ' ') + "\n{}"});
  expect_output(glm_metadata(), "a </tool_call><tool_call>now</tool_call>",
                {"", "a </tool_call><tool_call>now</tool_call>"});
}

TEST(OutputParser, GlmMetadataValuesAreWhatIsDeclared) {
  expect_output(
      glm_metadata(),
      "get_weather\n{\"city\": 7, \"days\": \"12345678901234567890123\", \"temp\": -0.50, \"metric\": \"true\", "
      "\"note\": null, \"tags\": \"[1]\", \"opts\": {\"a\": [18446744073709551616, \"}\"]}, \"more\": \"5\"}",
      {"",
       "",
       {{"get_weather", R"({"city": "7", "days": 12345678901234567890123, "temp": -0.50, "metric": true, )"
                        R"("note": null, "tags": [1], "opts": {"a": [18446744073709551616, "}"]}, "more": "5"})"}}});
  // Python's spelling, which the models' own example code takes, too.
  expect_output(
      glm_metadata(), "get_weather\n{'city': 'Val d\\'Or', 'metric': True, 'tags': ['a', ('b',)], 'note': None}",
      {"", "", {{"get_weather", R"({"city": "Val d'Or", "metric": true, "tags": ["a", ["b"]], "note": null})"}}});
  expect_output(glm_metadata(),
                R"(write_file)"
                "\n"
                R"({"content": "a\tb \"c\" \\ \/ \ud83d\ude42 \ud83d \q é"})",
                {"", "", {{"write_file", R"({"content": "a\tb \"c\" \\ / 🙂 � \\q é"})"}}});
  expect_output(glm_metadata(), "get_weather\n{\"days\": three, \"metric\": {\"a\": 1}}",
                {"", "", {{"get_weather", R"({"days": "three", "metric": {"a": 1}})"}}, 2});
}

TEST(OutputParser, GlmMetadataMalformed) {
  const ExpectedCall rome{"get_weather", R"({"city": "Rome"})"};
  const std::string begin = "get_weather\n{\"city\": \"Rome";
  expect_output(glm_metadata(), begin, {"", "", {rome}, 1});
  expect_output(glm_metadata(), begin + "\"", {"", "", {rome}, 1});
  expect_output(glm_metadata(), begin + "\", ", {"", "", {rome}, 1});
  expect_output(glm_metadata(), begin + "\",}", {"", "", {rome}});
  expect_output(glm_metadata(), begin + "\" and so on", {"", "and so on", {rome}, 1});
  expect_output(glm_metadata(), begin + "\", days: 3}", {"", "days: 3}", {rome}, 1});
  expect_output(glm_metadata(), begin + "\", \"days\":", {"", "days", {rome}, 2});
  expect_output(glm_metadata(), begin + "\", \"city\": \"Pisa\"}", {"", "Pisa", {rome}, 1});
  expect_output(glm_metadata(), begin + "\"} and\nso on", {"", "and\nso on", {rome}});
  OutputParserOptions one = glm_metadata();
  one.max_calls = 1;
  expect_output(one, "now\n{}<|assistant|>now\n{}", {"", "", {{"now", "{}"}}});
}

TEST(OutputParser, GlmMetadataCutOff) {
  const auto cut = [](const std::string& text) {
    expect_same_for_every_cut(text, glm_metadata(), OutputEnd::kCut);
    const ParsedOutput parsed = parse_output(text, glm_metadata(), OutputEnd::kCut);
    EXPECT_EQ(parsed.content, "");
    return parsed.calls.size() == 1 ? parsed.calls[0] : ParsedOutput::Call{};
  };
  const std::string begin = "get_weather\n{\"city\": \"Ro";
  EXPECT_EQ(cut("get_weather\n{"), (ParsedOutput::Call{"get_weather", "", "{}"}));
  EXPECT_EQ(cut("get_weather\n{\"ci"), (ParsedOutput::Call{"get_weather", "", "{}"}));
  EXPECT_EQ(cut("get_weather\n{\"city\":"), (ParsedOutput::Call{"get_weather", "", "{}"}));
  EXPECT_EQ(cut(begin), (ParsedOutput::Call{"get_weather", R"({"city": "Ro)", "\"}"}));
  EXPECT_EQ(cut(begin + "\\"), (ParsedOutput::Call{"get_weather", R"({"city": "Ro)", "\"}"}));
  EXPECT_EQ(cut(begin + "\\u00e"), (ParsedOutput::Call{"get_weather", R"({"city": "Ro)", "\"}"}));
  EXPECT_EQ(cut(begin + "\", \"da"), (ParsedOutput::Call{"get_weather", R"({"city": "Ro")", "}"}));
  EXPECT_EQ(cut(begin + "\", \"tags\": [1, \"a"),
            (ParsedOutput::Call{"get_weather", R"({"city": "Ro", "tags": "[1, \"a)", "\"}"}));
  EXPECT_EQ(cut(begin + "\", \"days\": 12"), (ParsedOutput::Call{"get_weather", R"({"city": "Ro", "days": 12)", "}"}));
}

TEST(OutputParser, GlmMetadataStreams) {
  OutputParser parser(glm_metadata());
  ParsedOutput so_far;
  so_far.add(parser.feed("get_wea"));
  EXPECT_EQ(so_far.content, "");
  so_far.add(parser.feed("ther\n{\"city\": \"Ro"));
  ASSERT_EQ(so_far.calls.size(), 1U);
  EXPECT_EQ(so_far.calls[0].arguments, R"({"city": "Ro)");
  so_far.add(parser.feed("me\"}"));
  EXPECT_EQ(so_far.calls[0].arguments, R"({"city": "Rome"})");
  OutputParser prose(glm_metadata());
  EXPECT_THAT(prose.feed("get_weather is"), ElementsAre(OutputDelta{DeltaKind::kContent, "get_weather is"}));
}

}  // namespace
}  // namespace glimmer
