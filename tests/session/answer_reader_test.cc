// Tokens to the pieces of an answer, with the demo model's tokenizer.
#include "session/answer_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "session/demo_chat.h"
#include "text/tool_schema.h"

namespace glimmer {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kCall =
    "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value></tool_call>";

struct Reading {
  Answer answer;
  std::vector<AnswerDelta> deltas;
  std::vector<std::string> remarks;
  AnswerFinish finish;
  int64_t tokens = 0;
  int64_t reasoning_tokens = 0;
};

class AnswerReaderTest : public ::testing::Test {
 protected:
  AnswerReaderTest() { output_.starts_in_reasoning = true; }

  void declare_weather() {
    tools_ = std::make_shared<const ToolSchemas>(
        Json::array({{{"type", "function"},
                      {"function",
                       {{"name", "get_weather"},
                        {"parameters", {{"type", "object"}, {"properties", {{"city", {{"type", "string"}}}}}}}}}}}));
  }

  // Gives the tokens of `text`, up to where the reader ends by itself.
  Reading run(std::string_view text, FinishReason reason = FinishReason::kStopToken) {
    Reading out;
    AnswerReader reader(
        setup(),
        [&](AnswerDelta delta) {
          out.answer.add(delta);
          out.deltas.push_back(std::move(delta));
        },
        out.remarks);
    float logprob = -1;
    for (const int32_t id : demo_chat().tokenizer().encode(text)) {
      GeneratedToken token{id, logprob--, {{id, -0.5F}, {5, -2.F}}};
      reader.take(token);
      if (reader.finish()) break;
    }
    if (!reader.finish()) reader.end(reason, reader.tokens() + (reason == FinishReason::kStopToken));
    out.finish = *reader.finish();
    out.tokens = reader.tokens();
    out.reasoning_tokens = reader.reasoning_tokens();
    out.answer.finish = out.finish;
    return out;
  }

  AnswerReader::Setup setup() const {
    AnswerReader::Setup setup{.tokenizer = demo_chat().tokenizer(),
                              .stop = stop_,
                              .top_logprobs = top_logprobs_,
                              .max_new_tokens = max_new_tokens_};
    if (!reads_output_) return setup;
    setup.output = output_;
    setup.output->tools = tools_;
    if (tools_ != nullptr) setup.output->format = demo_chat().tool_call_format();
    return setup;
  }

  OutputParserOptions output_;
  std::shared_ptr<const ToolSchemas> tools_;
  std::vector<std::string> stop_;
  int top_logprobs_ = -1;
  std::optional<int64_t> max_new_tokens_;
  bool reads_output_ = true;
};

TEST_F(AnswerReaderTest, TellsReasoningFromTheAnswer) {
  const Reading got = run("17 + 25 is 42.</think>It is 42.");
  EXPECT_EQ(got.answer.text(DeltaKind::kReasoning), "17 + 25 is 42.");
  EXPECT_EQ(got.answer.text(DeltaKind::kContent), "It is 42.");
  EXPECT_EQ(got.finish.end, AnswerEnd::kStop);
  const auto count = [](std::string_view text) {
    return static_cast<int64_t>(demo_chat().tokenizer().encode(text).size());
  };
  EXPECT_EQ(got.reasoning_tokens, count("17 + 25 is 42.</think>"));
  EXPECT_EQ(got.tokens, count("17 + 25 is 42.</think>It is 42.") + 1);
}

TEST_F(AnswerReaderTest, ReadsCallsOfDeclaredTools) {
  const std::string text = "I call.</think>" + std::string(kCall) + std::string(kCall);
  EXPECT_EQ(run(text).answer.text(DeltaKind::kContent), std::string(kCall) + std::string(kCall));  // none is declared
  declare_weather();
  const Reading got = run(text);
  EXPECT_EQ(got.finish.end, AnswerEnd::kToolCalls);
  ASSERT_EQ(got.answer.parts.size(), 3u);
  EXPECT_EQ(got.answer.parts[1].name, "get_weather");
  EXPECT_EQ(parse_json(got.answer.parts[1].text, "arguments"), Json({{"city", "Paris"}}));
  EXPECT_TRUE(got.answer.parts[1].call_id.starts_with("call_"));
  EXPECT_NE(got.answer.parts[1].call_id, got.answer.parts[2].call_id);
  EXPECT_EQ(got.deltas.back().call, 1);
}

TEST_F(AnswerReaderTest, EndsWithTheFirstCallWhereOneIsEnough) {
  declare_weather();
  output_.max_calls = 1;
  const Reading got = run("I call.</think>" + std::string(kCall) + std::string(kCall));
  EXPECT_EQ(got.finish.end, AnswerEnd::kToolCalls);
  EXPECT_EQ(got.answer.parts.size(), 2u);
  EXPECT_LT(got.tokens, static_cast<int64_t>(demo_chat().tokenizer().encode(kCall).size()) * 2);
}

TEST_F(AnswerReaderTest, StopStringsEndTheAnswerOnly) {
  declare_weather();
  stop_ = {"Paris", "I"};
  Reading got = run("I think of Paris.</think>" + std::string(kCall));
  EXPECT_EQ(got.finish.end, AnswerEnd::kToolCalls);  // neither in reasoning nor in arguments
  got = run("I think.</think>We go to Paris now.");
  EXPECT_EQ(got.finish.end, AnswerEnd::kStopString);
  EXPECT_EQ(got.finish.stop_string, "Paris");
  EXPECT_EQ(got.answer.text(DeltaKind::kContent), "We go to ");
}

TEST_F(AnswerReaderTest, GivesBackWhatWasNoStopString) {
  stop_ = {"now or never"};
  const Reading got = run("</think>We go now or");
  EXPECT_EQ(got.answer.text(DeltaKind::kContent), "We go now or");
  EXPECT_EQ(got.finish.end, AnswerEnd::kStop);
}

TEST_F(AnswerReaderTest, SaysWhyItWasCutOff) {
  max_new_tokens_ = 3;
  EXPECT_EQ(run("one two three four", FinishReason::kLength).finish.end, AnswerEnd::kLength);
  max_new_tokens_ = 1000;
  EXPECT_EQ(run("one two three four", FinishReason::kLength).finish.end, AnswerEnd::kContextFull);
  max_new_tokens_.reset();
  declare_weather();
  const Reading got = run("</think><tool_call>get_weather<arg_key>city</arg_key><arg_value>Pa", FinishReason::kLength);
  EXPECT_EQ(got.finish.end, AnswerEnd::kContextFull);
  ASSERT_EQ(got.answer.parts.size(), 1u);
  EXPECT_NE(got.answer.parts[0].missing, "");
  EXPECT_EQ(parse_json(got.answer.parts[0].text + got.answer.parts[0].missing, "arguments"), Json({{"city", "Pa"}}));
}

// Those of the answer's text: no tags, no reasoning, nothing behind a stop string.
TEST_F(AnswerReaderTest, GivesLogprobsOfTheText) {
  top_logprobs_ = 2;
  Reading got = run("Hm.</think>It is 42.");
  std::string text;
  for (const TokenRecord& record : got.answer.logprobs()) {
    text += record.token.bytes;
    EXPECT_EQ(record.top.size(), 2u);
  }
  EXPECT_EQ(text, "It is 42.");
  EXPECT_LT(got.answer.logprobs().front().token.logprob, -1);

  stop_ = {" 42"};
  got = run("Hm.</think>It is 42.");
  text.clear();
  for (const TokenRecord& record : got.answer.logprobs()) text += record.token.bytes;
  EXPECT_EQ(text.substr(0, 5), "It is");
  EXPECT_LE(text.size(), 6u);

  // White space is held back until it is known that no call follows; what comes behind it is not there yet.
  for (const auto& [stop, left] : {std::pair("25", "17 + "), std::pair("42", "17 + 25 is\n ")}) {
    stop_ = {stop};
    got = run("Hm.</think>\n17 + 25 is\n 42.");
    EXPECT_EQ(got.answer.text(DeltaKind::kContent), left);
    text.clear();
    for (const TokenRecord& record : got.answer.logprobs()) text += record.token.bytes;
    EXPECT_EQ(text, left);
  }

  declare_weather();
  stop_.clear();
  got = run("Hm.</think>Well." + std::string(kCall));
  text.clear();
  for (const TokenRecord& record : got.answer.logprobs()) text += record.token.bytes;
  EXPECT_EQ(text, "Well.");
}

TEST_F(AnswerReaderTest, LeavesRawTextAsItIs) {
  reads_output_ = false;
  const std::string text = "a</think>b" + std::string(kCall);
  const Reading got = run(text);
  EXPECT_EQ(got.answer.text(DeltaKind::kContent), text);
  EXPECT_EQ(got.reasoning_tokens, 0);
}

TEST_F(AnswerReaderTest, GoesOnWhereTheClientsBeginningEnds) {
  output_.starts_in_reasoning = false;
  output_.continues_text = true;
  EXPECT_EQ(run(" 42.").answer.text(DeltaKind::kContent), " 42.");
  EXPECT_EQ(run("\n\n42.\n").answer.text(DeltaKind::kContent), "\n\n42.\n");
  declare_weather();
  const Reading got = run(std::string(kCall));
  ASSERT_EQ(got.answer.parts.size(), 1u);
  EXPECT_EQ(got.finish.end, AnswerEnd::kToolCalls);
}

TEST_F(AnswerReaderTest, GoesOnWithReasoningThatWasBegun) {
  output_.continues_text = true;
  const Reading got = run(" and so on.</think> So.");
  EXPECT_EQ(got.answer.text(DeltaKind::kReasoning), " and so on.");
  EXPECT_EQ(got.answer.text(DeltaKind::kContent), "So.");
}

TEST_F(AnswerReaderTest, RemarksOnMalformedOutput) {
  declare_weather();
  const Reading got = run("</think><tool_call>no_such_tool at all");
  EXPECT_THAT(got.remarks, ::testing::Not(IsEmpty()));
  EXPECT_THAT(got.remarks.front(), HasSubstr("output: "));
  EXPECT_THAT(got.answer.text(DeltaKind::kContent), HasSubstr("no_such_tool at all"));
}

}  // namespace
}  // namespace glimmer
