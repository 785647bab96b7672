#include "text/output_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/argument_value.h"
#include "text/output_parser_fixture.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- thinking ----

TEST(OutputParser, PromptOpensReasoning) {
  EXPECT_TRUE(prompt_opens_reasoning("<|user|>Hi<|assistant|><think>"));
  EXPECT_TRUE(prompt_opens_reasoning("<|assistant|>\n<think>\n"));
  EXPECT_FALSE(prompt_opens_reasoning("<|assistant|></think>"));
  EXPECT_FALSE(prompt_opens_reasoning("<|assistant|>\n<think></think>"));
  EXPECT_FALSE(prompt_opens_reasoning("<|user|>\nHi/nothink<|assistant|>\n<think></think>"));
  EXPECT_FALSE(prompt_opens_reasoning("<|assistant|><think>old</think>a<|user|>b<|assistant|>"));
  EXPECT_FALSE(prompt_opens_reasoning("<|assistant|>"));
  EXPECT_FALSE(prompt_opens_reasoning(""));
}

TEST(OutputParser, ReasoningOpenedByThePrompt) {
  expect_output(thinking({}), "17 + 25\n= 42</think>It is 42.", {"17 + 25\n= 42", "It is 42."});
  expect_output(thinking({}), "\nwell \n</think>\n\n42 \n", {"well", "42 \n"});
  expect_output(thinking({}), "</think>Hi", {"", "Hi"});
}

TEST(OutputParser, ReasoningOpenedByTheModel) {
  expect_output({}, "\n<think>\nhm</think>\nHello", {"hm", "Hello"});
  expect_output({}, "<think></think>\nHello", {"", "Hello"});  // GLM-4.5 after /nothink in the user's text
}

TEST(OutputParser, WithoutReasoning) {
  expect_output({}, "a < b and <thin> is no tag <", {"", "a < b and <thin> is no tag <"});
  expect_output({}, "  Hi", {"", "Hi"});
  expect_output({}, " \n ", {"", ""});
  expect_output({}, "", {"", ""});
}

TEST(OutputParser, ReasoningNeverClosedIsAllReasoning) {
  expect_output(thinking({}), "on and on </thi", {"on and on </thi", ""}, OutputEnd::kCut);
  expect_output(thinking({}), "on \n", {"on", ""});
}

TEST(OutputParser, TagsDoubledOrMissing) {
  expect_output(thinking({}), "<think>hm</think>a", {"hm", "a"});
  expect_output(thinking({}), "\n<think>\n<think>hm</think>\n</think>\na", {"hm", "a"});
  expect_output({}, "</think>Hi", {"", "Hi"});  // the prompt ended with </think>, and the model says it again
  expect_output({}, "\n</think>\n</think>Hi", {"", "Hi"});
  expect_output({}, "<think>a</think>\n<think>b</think>c", {"ab", "c"});  // thinks again before it answers
}

TEST(OutputParser, TagsInTheAnswerAreText) {
  expect_output(thinking({}), "x</think>Write `<think>` and `</think>` so.",
                {"x", "Write `<think>` and `</think>` so.", {}, 2});
  expect_output({}, "I add.</think>42", {"", "I add.</think>42", {}, 1});  // <think> is missing: too late to tell
  expect_output(thinking({}), "the tag <think> opens</think>ok", {"the tag <think> opens", "ok"});
}

// ---- GLM's calls ----

TEST(OutputParser, GlmCallInBothLayouts) {
  const ExpectedOutput expected{
      "Need weather.", "", {{"get_weather", R"({"city": "北京", "days": 3})"}, {"now", "{}"}}};
  expect_output(thinking(glm()),
                "Need weather.</think><tool_call>get_weather<arg_key>city</arg_key><arg_value>北京</arg_value>"
                "<arg_key>days</arg_key><arg_value>3</arg_value></tool_call><tool_call>now</tool_call>",
                expected);
  expect_output(glm(),
                "\n<think>Need weather.</think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n"
                "<arg_value>北京</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n"
                "<tool_call>now\n</tool_call>",
                expected);
  expect_output(glm(),
                "<think>Need weather.</think> <tool_call> \n get_weather \n\n <arg_key> city </arg_key>  "
                "<arg_value>北京</arg_value>\t<arg_key>\ndays\n</arg_key> <arg_value> 3\n</arg_value> </tool_call> "
                "<tool_call>\nnow\n\n</tool_call>\n\n",
                expected);
}

TEST(OutputParser, TextAroundCalls) {
  expect_output(glm(), "Let me see.\n\n<tool_call>now</tool_call>\n then \n<tool_call>now</tool_call>\nDone.\n",
                {"", "Let me see.\n\n then \nDone.\n", {{"now", "{}"}, {"now", "{}"}}});
}

// Words do not run into each other where a call stood between them.
TEST(OutputParser, TextBehindACallKeepsItsWhiteSpace) {
  const std::string call = "<tool_call>now</tool_call>";
  const auto calls = [](size_t count) { return std::vector<ExpectedCall>(count, {"now", "{}"}); };
  expect_output(glm(), "First." + call + "\n\nThen.", {"", "First.\n\nThen.", calls(1)});
  expect_output(glm(), "First.\n" + call + "\nThen.", {"", "First.\nThen.", calls(1)});
  expect_output(glm(), "First. " + call + "  - then", {"", "First.  - then", calls(1)});
  expect_output(glm(), "First.\n" + call + "    code", {"", "First.\n    code", calls(1)});
  expect_output(glm(), "First.\n\n" + call + "\n" + call + "\n" + call + "\nThen.", {"", "First.\n\nThen.", calls(3)});
  expect_output(glm(), "First." + call + "then" + call + ".", {"", "First.then.", calls(2)});
  expect_output(glm(), "First.\n" + call + "\n\n", {"", "First.", calls(1)});
  expect_output(glm(), call + "\n\nThen.", {"", "Then.", calls(1)});  // the answer begins here
  expect_output(thinking(glm()), "a" + call + "\n\tb</think>" + call + "\nc", {"a\n\tb", "c", calls(2)});
  expect_output(qwen(), "Then:\n<tool_call>\n<function=now>\n</function>\n</tool_call>\n\nSo.",
                {"", "Then:\n\nSo.", calls(1)});
}

TEST(OutputParser, NamesThatAreNotDeclared) {
  expect_output(glm(), "<tool_call>mcp__disk.list-all<arg_key>n</arg_key><arg_value>5</arg_value></tool_call>",
                {"", "", {{"mcp__disk.list-all", R"({"n": 5})"}}, 1});
  OutputParserOptions none{.format = ToolCallFormat::kGlmXml};
  expect_output(none, "<tool_call>f<arg_key>a</arg_key><arg_value>007</arg_value></tool_call>",
                {"", "", {{"f", R"({"a": "007"})"}}, 1});
}

TEST(OutputParser, WithoutAFormatCallsAreText) {
  expect_output({}, "<tool_call>now</tool_call>", {"", "<tool_call>now</tool_call>"});
}

TEST(OutputParser, TextThatIsNoCall) {
  expect_output(glm(), "The <tool_call> tag begins a call, </tool_call> ends it.",
                {"", "The <tool_call> tag begins a call, </tool_call> ends it.", {}, 2});
  expect_output(glm(), R"(<tool_call>{"name": "now", "arguments": {}}</tool_call>)",
                {"", R"(<tool_call>{"name": "now", "arguments": {}}</tool_call>)", {}, 2});
  expect_output(glm(), "<tool_call></tool_call>", {"", "<tool_call></tool_call>", {}, 2});
  expect_output(glm(), "<tool_call>a b<arg_key>k</arg_key><arg_value>1</arg_value></tool_call>",
                {"", "<tool_call>a b<arg_key>k</arg_key><arg_value>1</arg_value></tool_call>", {}, 2});
  expect_output(glm(), "<tool_call>no</such_tag></tool_call>", {"", "<tool_call>no</such_tag></tool_call>", {}, 2});
  expect_output(glm(), "a <tool_call>" + std::string(600, 'x'), {"", "a <tool_call>" + std::string(600, 'x'), {}, 1});
  expect_output(glm(), "a <tool_call>" + std::string(600, '\n') + "b",
                {"", "a <tool_call>" + std::string(600, '\n') + "b", {}, 1});
}

TEST(OutputParser, CallInsideThinking) {
  const std::string call = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome</arg_value></tool_call>";
  const ExpectedCall rome{"get_weather", R"({"city": "Rome"})"};
  expect_output(thinking(glm()), "Look it up. " + call, {"Look it up.", "", {rome}});
  expect_output(thinking(glm()), "Look it up. " + call + "\n</think>", {"Look it up.", "", {rome}});
  expect_output(thinking(glm()), "a\n" + call + "\nb</think>\nc", {"a\nb", "c", {rome}});
  // A mention is none, and neither is a tool that does not exist.
  expect_output(thinking(glm()), "use <tool_call>f</tool_call> or <tool_call>?</think>ok",
                {"use <tool_call>f</tool_call> or <tool_call>?", "ok"});
}

// Thinking about the form itself: neither the end of the thinking nor the answer may end up in an argument.
TEST(OutputParser, HalfACallInsideThinkingIsAMention) {
  const std::string begin = "Write <tool_call>get_weather<arg_key>city</arg_key>";
  const std::vector<std::string> mentions = {"Write <tool_call>get_weather",
                                             begin,
                                             begin + " and so on.",
                                             begin + "<arg_value>",
                                             begin + "<arg_value> so.",
                                             "Write <tool_call>get_weather city</arg_key> so.",
                                             "Write <tool_call>get_weather<arg_key> a key.",
                                             begin + " ... </tool_call> there.",
                                             begin + "<arg_key>days</arg_key>, then values."};
  for (const std::string& mention : mentions) {
    expect_output(thinking(glm()), mention + "</think>The answer is 4.", {mention, "The answer is 4."});
  }
  expect_output(thinking(glm()), begin + " first. <tool_call>now</tool_call></think>ok",
                {begin + " first.", "ok", {{"now", "{}"}}});
  const ExpectedCall rome{"get_weather", R"({"city": "Rome"})"};
  expect_output(thinking(glm()), begin + "\n<arg_value>Rome</arg_value>\n</tool_call></think>ok",
                {"Write", "ok", {rome}});
  expect_output(thinking(glm()), begin + "Rome</arg_value></tool_call></think>ok", {"Write", "ok", {rome}, 1});
  expect_output(thinking(glm()), begin + "<arg_value>Rome</tool_call></think>ok", {"Write", "ok", {rome}, 1});
  expect_output(thinking(glm()), begin + "<arg_value>Rome", {"Write", "", {rome}, 1});
  // No mention is that long.
  const std::string file(9'000, 'f');
  expect_output(thinking(glm()),
                "a <tool_call>write_file<arg_key>content</arg_key><arg_value>" + file + "</think>" + file,
                {"a", "", {{"write_file", R"({"content": ")" + file + "</think>" + file + "\"}"}}, 1});

  const std::string half = "Write <tool_call>\n<function=get_weather>";
  for (const std::string& mention :
       {half + " so.", half + "\n<parameter=city> and so on.", half + "\n<parameter=city>\nRome"}) {
    expect_output(thinking(qwen()), mention + "</think>The answer is 4.", {mention, "The answer is 4."});
  }
  expect_output(thinking(qwen()), half + "<parameter=city>Rome</parameter></function></tool_call></think>ok",
                {"Write", "ok", {rome}});
  expect_output(thinking(qwen()), half + "</function></tool_call></think>ok", {"Write", "ok", {{"get_weather", "{}"}}});
}

TEST(OutputParser, ACallCutOffInsideThinkingIsOne) {
  for (const std::string text : {"<tool_call>get_weather<arg_key>ci", "<tool_call>get_weather<arg_key>city</arg_key>",
                                 "<tool_call>get_weather<arg_key>city</arg_key>\n<arg_v"}) {
    const ParsedOutput parsed = parse_output("Go. " + text, thinking(glm()), OutputEnd::kCut);
    ASSERT_EQ(parsed.calls.size(), 1U) << text;
    EXPECT_EQ(parsed.calls[0], (ParsedOutput::Call{"get_weather", "", "{}"}));
    EXPECT_EQ(parsed.reasoning, "Go.");
    EXPECT_EQ(parsed.content, "");
    expect_same_for_every_cut("Go. " + text, thinking(glm()), OutputEnd::kCut);
  }
}

TEST(OutputParser, ThinkTagsInsideArgumentsAreText) {
  expect_output(thinking(glm()),
                "x</think><tool_call>get_weather<arg_key>city</arg_key><arg_value></think><think>a</arg_value>"
                "</tool_call></think>",
                {"x", "", {{"get_weather", R"({"city": "</think><think>a"})"}}});
}

// ---- malformed calls of GLM ----

TEST(OutputParser, EndTagsAreMissingAtTheEnd) {
  const ExpectedOutput rome{"", "", {{"get_weather", R"({"city": "Rome"})"}}, 1};
  const std::string begin = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome";
  expect_output(glm(), begin, rome);
  expect_output(glm(), begin + "</arg_value>", rome);
  expect_output(glm(), begin + "</arg_value>\n</tool_c", rome);
  expect_output(glm(), begin + "</tool_call>", rome);
  expect_output(glm(), begin + "</arg_value><arg_key>da", {"", "da", {{"get_weather", R"({"city": "Rome"})"}}, 2});
  expect_output(glm(), begin + "</arg_value><arg_key>days</arg_key>",
                {"", "days", {{"get_weather", R"({"city": "Rome"})"}}, 2});
  expect_output(glm(), begin + "</arg_value><arg_key>days</arg_key><arg_value>4",
                {"", "", {{"get_weather", R"({"city": "Rome", "days": 4})"}}, 1});
  expect_output(glm(), "<tool_call>now", {"", "", {{"now", "{}"}}, 1});
  expect_output(glm(), "<tool_call>now\n", {"", "", {{"now", "{}"}}, 1});
  expect_output(glm(), "<tool_call>get_wea", {"", "<tool_call>get_wea", {}, 1});
  expect_output(glm(), "hm <tool_ca", {"", "hm <tool_ca"});
}

TEST(OutputParser, EndTagsAreMissingBetweenCalls) {
  const ExpectedCall rome{"get_weather", R"({"city": "Rome"})"};
  const std::string begin = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome";
  expect_output(glm(), begin + "</arg_value><tool_call>now</tool_call>", {"", "", {rome, {"now", "{}"}}, 1});
  expect_output(glm(), begin + "</tool_call>\n<tool_call>now</tool_call>", {"", "", {rome, {"now", "{}"}}, 1});
  expect_output(glm(), "<tool_call>now<tool_call>now</tool_call>", {"", "", {{"now", "{}"}, {"now", "{}"}}, 1});
  expect_output(glm(), begin + "<arg_key>days</arg_key><arg_value>3</arg_value></tool_call>",
                {"", "", {{"get_weather", R"({"city": "Rome", "days": 3})"}}, 1});
}

TEST(OutputParser, TagsAreMissingInsideACall) {
  const ExpectedOutput rome{"", "", {{"get_weather", R"({"city": "Rome", "days": 3})"}}, 1};
  expect_output(glm(),
                "<tool_call>get_weather\ncity</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>days</arg_key>\n"
                "<arg_value>3</arg_value>\n</tool_call>",
                rome);
  expect_output(glm(),
                "<tool_call>get_weathercity</arg_key><arg_value>Rome</arg_value><arg_key>days</arg_key>"
                "<arg_value>3</arg_value></tool_call>",
                rome);
  expect_output(glm(),
                "<tool_call>get_weather<arg_key>city</arg_key>Rome</arg_value><arg_key>days</arg_key>"
                "<arg_value>3</arg_value></tool_call>",
                rome);
  expect_output(glm(),
                "<tool_call>get_weather<arg_key>city<arg_value>Rome</arg_value><arg_key>days</arg_key>"
                "<arg_value>3</arg_value></tool_call>",
                rome);
  expect_output(glm(),
                "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome</arg_value>days</arg_key>"
                "<arg_value>3</arg_value></tool_call>",
                rome);
}

TEST(OutputParser, TagsAreDoubled) {
  expect_output(glm(), "<tool_call><tool_call>now</tool_call></tool_call>", {"", "", {{"now", "{}"}}, 1});
  expect_output(glm(),
                "<tool_call>get_weather<arg_key>city</arg_key></arg_key><arg_value>Rome</arg_value></arg_value>"
                "</tool_call>",
                {"", "", {{"get_weather", R"({"city": "Rome"})"}}, 2});
}

TEST(OutputParser, LineEndsSpeltOutBetweenTagsAreWhiteSpace) {
  const ExpectedCall rome{"get_weather", R"({"city": "Rome", "days": 3})"};
  expect_output(glm(), "<tool_call>now\\n</tool_call>", {"", "", {{"now", "{}"}}});
  expect_output(
      glm(),
      "<tool_call>get_weather\\n<arg_key>city</arg_key>\\n<arg_value>Rome</arg_value>\\n<arg_key>days</arg_key>"
      "\\n<arg_value>3</arg_value>\\n</tool_call>",
      {"", "", {rome}});
  expect_output(glm(),
                "\\n<tool_call>\\n\nget_weather\\n\\n<arg_key>city</arg_key>\\r\\n \\t<arg_value>Rome</arg_value>\n\\n"
                "<arg_key>days</arg_key><arg_value>3</arg_value>\\n\\n</tool_call>\\n<tool_call>now</tool_call>\\n",
                {"", "", {rome, {"now", "{}"}}});
  // In a value, in text and in front of text they are what they are.
  expect_output(
      glm(),
      "\\now<tool_call>write_file<arg_key>path</arg_key><arg_value>\\n</arg_value>\\n<arg_key>content</arg_key>"
      "\\new</arg_value></tool_call>\\n.",
      {"", "\\now\\n.", {{"write_file", R"({"path": "\\n", "content": "\\new"})"}}, 1});
  expect_output(glm(), "a\\n", {"", "a\\n"});
  expect_output(glm(), "\\n", {"", "\\n"});
  std::string many;
  for (int i = 0; i < 100; ++i) many += "\\n";
  expect_output(glm(), many + "<tool_call>now</tool_call>", {"", many, {{"now", "{}"}}});
}

TEST(OutputParser, StrayTextInsideACallFollowsIt) {
  expect_output(glm(),
                "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome</arg_value><arg_key>days</arg_key>"
                "<arg_value>3</arg_value> or so <arg_key>metric</arg_key><arg_value>true</arg_value></tool_call>",
                {"", "or so", {{"get_weather", R"({"city": "Rome", "days": 3, "metric": true})"}}, 1});
  expect_output(glm(),
                "<tool_call>get_weather<arg_key>city</arg_key><arg_key>days</arg_key><arg_value>3</arg_value>"
                "</tool_call>",
                {"", "city", {{"get_weather", R"({"days": 3})"}}, 1});
  const std::string noise(10'000, 'z');
  expect_output(glm(), "<tool_call>get_weather<arg_key>days</arg_key><arg_value>3</arg_value>" + noise + "</tool_call>",
                {"", noise, {{"get_weather", R"({"days": 3})"}}, 3});
}

TEST(OutputParser, KeysAndValuesThatComeApartAreAPairByTheirOrder) {
  const auto key = [](const std::string& name) { return "<arg_key>" + name + "</arg_key>\n"; };
  const auto value = [](const std::string& text) { return "<arg_value>" + text + "</arg_value>\n"; };
  const std::string begin = "<tool_call>get_weather\n";
  const std::string end = "</tool_call>";
  expect_output(glm(),
                begin + key("city") + key("days") + key("metric") + value("Rome") + value("3") + value("true") + end,
                {"", "", {{"get_weather", R"({"city": "Rome", "days": 3, "metric": true})"}}, 1});
  expect_output(glm(),
                begin + key("city") + value("Rome") + key("days") + key("tags") + value("3") + value("[1]") +
                    key("metric") + value("false") + end,
                {"", "", {{"get_weather", R"({"city": "Rome", "days": 3, "tags": [1], "metric": false})"}}, 1});
  expect_output(glm(), begin + key("city") + key("days") + "<arg_value>a</arg_value> b</arg_value>" + value("3") + end,
                {"", "", {{"get_weather", R"({"city": "a</arg_value> b", "days": 3})"}}, 1});
  expect_output(glm(), begin + key("city") + key("days") + value("Rome") + "<arg_value>3" + end,
                {"", "", {{"get_weather", R"({"city": "Rome", "days": 3})"}}, 2});
  expect_output(glm(), begin + key("city") + key("days") + value("Rome") + "<arg_value>3",
                {"", "", {{"get_weather", R"({"city": "Rome", "days": 3})"}}, 2});
  // One value is that of the key in front of it. What else does not come out even belongs to no one.
  expect_output(glm(), begin + key("city") + key("days") + value("3") + end,
                {"", "city", {{"get_weather", R"({"days": 3})"}}, 1});
  expect_output(glm(), begin + key("city") + key("note") + key("days") + value("Rome") + value("3") + end,
                {"", "citynotedaysRome3", {{"get_weather", "{}"}}, 5});
  expect_output(glm(), begin + key("city") + key("days") + end, {"", "citydays", {{"get_weather", "{}"}}, 2});
  const std::string cut = begin + key("city") + key("note") + key("days") + value("Rome") + "<arg_value>we";
  EXPECT_EQ(parse_output(cut, glm(), OutputEnd::kCut).calls[0],
            (ParsedOutput::Call{"get_weather", R"({"city": "Rome", "note": "we)", "\"}"}));
  expect_same_for_every_cut(cut, glm(), OutputEnd::kCut);
}

TEST(OutputParser, ACallsTagInPlaceOfAKeys) {
  expect_output(glm(), "<tool_call>get_weather<tool_call>city</arg_key><arg_value>Rome</arg_value></tool_call>",
                {"", "", {{"get_weather", R"({"city": "Rome"})"}}, 1});
}

TEST(OutputParser, NamesWithSpacesAreDeclaredOnes) {
  OutputParserOptions options{.format = ToolCallFormat::kGlmXml};
  options.tools = std::make_shared<const ToolSchemas>(Json::parse(R"([{"name": "warm up now"}, {"name": "warm"}])"));
  expect_output(options, "<tool_call>warm up now</tool_call><tool_call>warm</tool_call>",
                {"", "", {{"warm up now", "{}"}, {"warm", "{}"}}});
  expect_output(options, "<tool_call>warm up</tool_call>", {"", "<tool_call>warm up</tool_call>", {}, 2});
}

TEST(OutputParser, TheFirstOfTwoValuesCounts) {
  expect_output(glm(),
                "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Rome</arg_value><arg_key>city</arg_key>"
                "<arg_value>Pisa</arg_value></tool_call>",
                {"", "Pisa", {{"get_weather", R"({"city": "Rome"})"}}, 1});
}

TEST(OutputParser, TagsInsideAValueAreTextIfNoArgumentFollows) {
  const std::string file =
      "call: <tool_call>f<arg_key>k</arg_key> <arg_value>v</arg_value> and</tool_call> or </arg_value\n <";
  expect_output(glm(),
                "<tool_call>write_file<arg_key>path</arg_key><arg_value>a</arg_value><arg_key>content</arg_key>"
                "<arg_value>" +
                    file + "</arg_value></tool_call>",
                {"", "", {{"write_file", R"({"path": "a", "content": )" + json_string(file) + "}"}}});
}

TEST(OutputParser, ValuesKeepWhiteSpaceQuotesAndUnicode) {
  const std::string text = "\n  \"a\\b\" \t'c'\r\n{\"d\": [1]} \u2028 é 你好 🙂\n\n";
  expect_output(glm(), "<tool_call>write_file<arg_key>content</arg_key><arg_value>" + text + "</arg_value></tool_call>",
                {"", "", {{"write_file", R"({"content": )" + json_string(text) + "}"}}});
}

// ---- streaming ----

TEST(OutputParser, StringsStreamWhileTheyCome) {
  OutputParser parser(glm());
  ParsedOutput so_far;
  so_far.add(parser.feed("<tool_call>write_file<arg_key>content</arg_key><arg_value>first"));
  ASSERT_EQ(so_far.calls.size(), 1U);
  EXPECT_EQ(so_far.calls[0].arguments, R"({"content": "first)");
  so_far.add(parser.feed(" \"second\"\n"));
  EXPECT_EQ(so_far.calls[0].arguments, R"({"content": "first \"second\"\n)");
  so_far.add(parser.feed("</arg_"));  // held back: it may end the value
  EXPECT_EQ(so_far.calls[0].arguments, R"({"content": "first \"second\"\n)");
  so_far.add(parser.feed("key"));
  EXPECT_EQ(so_far.calls[0].arguments, R"({"content": "first \"second\"\n</arg_key)");
  so_far.add(parser.feed("</arg_value></tool_call>"));
  EXPECT_EQ(so_far.calls[0].arguments, R"({"content": "first \"second\"\n</arg_key"})");
}

TEST(OutputParser, UnionsStreamOnceTheyCanOnlyBeAString) {
  OutputParser parser(glm());
  ParsedOutput so_far;
  so_far.add(parser.feed("<tool_call>get_weather<arg_key>note</arg_key><arg_value>nul"));
  EXPECT_EQ(so_far.calls[0].arguments, R"({"note": )");
  so_far.add(parser.feed("lify"));
  EXPECT_EQ(so_far.calls[0].arguments, R"({"note": "nullify)");
}

TEST(OutputParser, TextIsHeldOnlyWhereATagMayBegin) {
  OutputParser parser(glm());
  EXPECT_THAT(joined(parser.feed("a <")), ElementsAre(OutputDelta{DeltaKind::kContent, "a"}));
  EXPECT_THAT(joined(parser.feed("b")), ElementsAre(OutputDelta{DeltaKind::kContent, " <b"}));
  EXPECT_THAT(parser.feed("<tool_call>get_weather"), IsEmpty());
  EXPECT_THAT(parser.feed("<arg_key>"), ElementsAre(OutputDelta{DeltaKind::kToolCallBegin, "get_weather", 0}));
}

TEST(OutputParser, TwoBytesOfACharacterAreHeld) {
  OutputParser parser({});
  EXPECT_THAT(parser.feed("\xE4\xBD"), IsEmpty());
  EXPECT_THAT(parser.feed("\xA0"), ElementsAre(OutputDelta{DeltaKind::kContent, "你"}));
  EXPECT_THAT(parser.feed("\xFF"), ElementsAre(OutputDelta{DeltaKind::kContent, "\uFFFD"}));
  EXPECT_THAT(parser.feed("\xE4"), IsEmpty());
  EXPECT_THAT(parser.finish(OutputEnd::kCut), ElementsAre(OutputDelta{DeltaKind::kContent, "\uFFFD"}));
}

// ---- cut off, and stopped ----

TEST(OutputParser, ACallThatWasCutOffStaysOpen) {
  const auto cut = [](std::string_view text) {
    expect_same_for_every_cut(text, glm(), OutputEnd::kCut);
    ParsedOutput parsed = parse_output(text, glm(), OutputEnd::kCut);
    EXPECT_EQ(parsed.calls.size(), 1U) << text;
    const ParsedOutput::Call call = parsed.calls.empty() ? ParsedOutput::Call{} : parsed.calls[0];
    EXPECT_TRUE(Json::accept(call.arguments + call.missing)) << call.arguments << call.missing;
    return call;
  };
  const std::string begin = "<tool_call>get_weather<arg_key>city</arg_key>";
  EXPECT_EQ(cut(begin + "<arg_value>Ro"), (ParsedOutput::Call{"get_weather", R"({"city": "Ro)", "\"}"}));
  EXPECT_EQ(cut(begin + "<arg_value>Rome</arg_value>"), (ParsedOutput::Call{"get_weather", R"({"city": "Rome")", "}"}));
  EXPECT_EQ(cut(begin + "<arg_value>Rome</arg_value></tool_c"),
            (ParsedOutput::Call{"get_weather", R"({"city": "Rome")", "}"}));
  EXPECT_EQ(cut(begin), (ParsedOutput::Call{"get_weather", "", "{}"}));
  EXPECT_EQ(cut("<tool_call>get_weather<arg_key>tags</arg_key><arg_value>[1, \"a"),
            (ParsedOutput::Call{"get_weather", R"({"tags": "[1, \"a)", "\"}"}));
  EXPECT_EQ(cut("<tool_call>get_weather<arg_key>days</arg_key><arg_value>3"),
            (ParsedOutput::Call{"get_weather", R"({"days": 3)", "}"}));
  EXPECT_EQ(parse_output("<tool_call>now", glm(), OutputEnd::kCut).content, "<tool_call>now");
}

// Neither is its value there, nor was it meant for the reader.
TEST(OutputParser, AnArgumentsNameThatWasCutOffIsNoContent) {
  const std::string glm_begin = "a <tool_call>get_weather<arg_key>days</arg_key><arg_value>3</arg_value>";
  for (const std::string tail : {"<arg_key>ci", "<arg_key>city</arg_k", "<arg_key>city</arg_key>",
                                 "<arg_key>city</arg_key>\n<arg", "<arg_key>city</arg_key><arg_key>no"}) {
    const ParsedOutput parsed = parse_output(glm_begin + tail, glm(), OutputEnd::kCut);
    EXPECT_EQ(parsed.content, "a") << tail;
    ASSERT_EQ(parsed.calls.size(), 1U);
    EXPECT_EQ(parsed.calls[0], (ParsedOutput::Call{"get_weather", R"({"days": 3)", "}"}));
    expect_same_for_every_cut(glm_begin + tail, glm(), OutputEnd::kCut);
  }
  const std::string text = "a <tool_call><function=get_weather><parameter=days>3</parameter><parameter=ci";
  const ParsedOutput parsed = parse_output(text, qwen(), OutputEnd::kCut);
  EXPECT_EQ(parsed.content, "a");
  EXPECT_EQ(parsed.calls.at(0), (ParsedOutput::Call{"get_weather", R"({"days": 3)", "}"}));
  expect_same_for_every_cut(text, qwen(), OutputEnd::kCut);
}

TEST(OutputParser, StopsAfterTheLastAllowedCall) {
  OutputParserOptions one = glm();
  one.max_calls = 1;
  expect_output(one, "a <tool_call>now</tool_call>\n<tool_call>now</tool_call> b", {"", "a", {{"now", "{}"}}});
  OutputParser parser(one);
  (void)parser.feed("<tool_call>now");
  EXPECT_FALSE(parser.wants_stop());
  (void)parser.feed("</tool_call>");
  EXPECT_TRUE(parser.wants_stop());
  EXPECT_EQ(parser.calls_begun(), 1);
  EXPECT_THAT(parser.feed("more"), IsEmpty());
  EXPECT_THAT(parser.finish(OutputEnd::kStop), IsEmpty());
}

TEST(OutputParser, CallsAreNumbered) {
  const OutputDeltas deltas =
      parse_pieces({"<tool_call>now</tool_call><tool_call>now</tool_call>"}, glm(), OutputEnd::kStop);
  EXPECT_THAT(
      deltas,
      ElementsAre(OutputDelta{DeltaKind::kToolCallBegin, "now", 0}, OutputDelta{DeltaKind::kToolCallArguments, "{}", 0},
                  OutputDelta{DeltaKind::kToolCallEnd, "", 0}, OutputDelta{DeltaKind::kToolCallBegin, "now", 1},
                  OutputDelta{DeltaKind::kToolCallArguments, "{}", 1}, OutputDelta{DeltaKind::kToolCallEnd, "", 1}));
}

TEST(OutputParser, DiagnosticsQuoteNothing) {
  const ParsedOutput parsed = parse_output("<tool_call>secret word", glm());
  ASSERT_EQ(parsed.diagnostics.size(), 1U);
  EXPECT_THAT(parsed.diagnostics[0], ::testing::Not(HasSubstr("secret")));
  EXPECT_EQ(parsed.content, "<tool_call>secret word");
}

}  // namespace
}  // namespace glimmer
