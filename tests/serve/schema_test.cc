// Bodies of requests: every field of every table with good and bad values, and what the fields mean.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/sampling_options.h"
#include "serve/schema_apis.h"

namespace glimmer::serve {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<std::pair<unsigned, Json>>& samples() {
  static const std::vector<std::pair<unsigned, Json>> all = {
      {kTextField, "some text"},   {kBooleanField, true}, {kObjectField, Json::object()},
      {kListField, Json::array()}, {kNumberField, 0.5},   {kIntegerField | kNumberField, 3}};
  return all;
}

TEST(Schema, RefusesEveryFieldOfAWrongType) {
  int tried = 0;
  for (const Api& each : apis()) {
    for (const FieldSpec& spec : each.table) {
      if (spec.use == FieldUse::kIgnored) continue;
      for (const auto& [types, sample] : samples()) {
        if (types & spec.types) continue;
        const Refusal found = refusal(each.name, {{std::string(spec.name), sample}});
        EXPECT_EQ(found.param, spec.name) << each.name << " " << dump_json(sample);
        EXPECT_THAT(found.message, HasSubstr("expected"));
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 500);
}

TEST(Schema, RefusesNumbersOutOfRange) {
  int tried = 0;
  for (const Api& each : apis()) {
    for (const FieldSpec& spec : each.table) {
      if (!(spec.types & (kNumberField | kIntegerField)) || spec.use == FieldUse::kIgnored) continue;
      const bool whole = !(spec.types & kNumberField);
      const double step = whole ? 1 : 0.25;
      std::vector<Json> bad;
      if (std::isfinite(spec.minimum))
        bad = {whole ? Json(static_cast<int64_t>(spec.minimum - step)) : Json(spec.minimum - step), -1e18, -1e300};
      if (std::isfinite(spec.maximum)) {
        bad.push_back(whole ? Json(static_cast<int64_t>(spec.maximum + step)) : Json(spec.maximum + step));
        bad.push_back(1e300);
        bad.push_back(UINT64_MAX);
        bad.push_back(INT64_MAX);
      }
      for (const Json& value : bad) {
        EXPECT_EQ(refusal(each.name, {{std::string(spec.name), value}}).param, spec.name) << dump_json(value);
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 100);
}

// Each field may be absent or null; those that must be there are named.
TEST(Schema, TakesAbsentAndNullFields) {
  for (const Api& each : apis()) {
    EXPECT_NO_THROW(read(each.name, Json::object())) << each.name;
    for (const FieldSpec& spec : each.table) {
      const std::string name(spec.name);
      if (spec.required) {
        const Refusal found = refusal(each.name, {{name, nullptr}});
        EXPECT_EQ(found.param, name);
        EXPECT_THAT(found.message, HasSubstr("is missing"));
      } else {
        EXPECT_NO_THROW(read(each.name, {{name, nullptr}})) << each.name << " " << name;
      }
    }
  }
}

TEST(Schema, RefusesWordsThatAreNoChoice) {
  for (const Api& each : apis()) {
    for (const FieldSpec& spec : each.table) {
      if (spec.choices.empty() || spec.use == FieldUse::kIgnored) continue;
      const Refusal found = refusal(each.name, {{std::string(spec.name), "nonsense"}});
      EXPECT_EQ(found.param, spec.name);
      EXPECT_THAT(found.message, HasSubstr(std::string(spec.choices.front())));
    }
  }
}

TEST(Schema, RemarksOnFieldsThatItDoesNotKnow) {
  for (const Api& each : apis()) {
    std::vector<std::string> remarks;
    read(each.name, {{"frobnicate", {1, 2}}}, &remarks);
    EXPECT_THAT(remarks, Contains("\"frobnicate\"")) << each.name;
  }
  std::vector<std::string> remarks;
  Json many = Json::object();
  for (int i = 0; i < 1000; ++i) many["x" + std::to_string(i)] = i;
  read("chat", many, &remarks);
  EXPECT_LE(remarks.size(), 64u);
  for (int i = 1000; i < 1100; ++i) many["x" + std::to_string(i)] = i;
  EXPECT_THAT(refusal("chat", many).message, HasSubstr("at most 1024 fields"));
}

TEST(Schema, IsASchemaToo) {
  const Json schema = schema_of(chat_completion_table());
  EXPECT_EQ(schema["required"], Json::array({"messages"}));
  EXPECT_EQ(schema["properties"]["temperature"]["maximum"], 100);
  EXPECT_EQ(schema["properties"]["messages"]["type"], "array");
  EXPECT_EQ(schema["properties"]["stop"]["type"], Json::array({"string", "array", "null"}));
  EXPECT_THAT(schema["properties"]["reasoning_effort"]["enum"], Contains("high"));
}

// ---- sampling and the like ----

TEST(Schema, ReadsSampling) {
  for (const char* name : {"chat", "completions", "responses", "messages"}) {
    const SamplingRequest request =
        read(name, {{"temperature", 0.5}, {"top_p", 0.9}, {"top_k", 40}, {"min_p", 0.1}, {"repetition_penalty", 1.1}})
            .sampling;
    EXPECT_EQ(request.temperature, 0.5);
    EXPECT_EQ(request.top_p, 0.9);
    EXPECT_EQ(request.top_k, 40);
    EXPECT_EQ(request.min_p, 0.1);
    EXPECT_EQ(request.repetition_penalty, 1.1);
    const SamplingRequest absent = read(name, Json::object()).sampling;
    EXPECT_FALSE(absent.temperature || absent.top_p || absent.top_k || absent.min_p || absent.repetition_penalty);
  }
}

// Whatever engine/sampling_options.cc has is a field of all APIs, within its bounds, and reaches the request.
TEST(Schema, EverySamplingOptionIsAField) {
  for (const SamplingOption& option : sampling_options()) {
    const std::string field(option.name);
    for (const char* name : {"chat", "completions", "responses", "messages"}) {
      const auto given = [&](double value) {
        return Json{{field, option.is_integer ? Json(static_cast<int64_t>(value)) : Json(value)}};
      };
      const auto params = [&](const SamplingRequest& request) {
        const SamplingParams p = resolve_sampling(request, {}, 0);
        return std::tuple(p.temperature, p.top_k, p.top_p, p.min_p, p.repetition_penalty, p.presence_penalty,
                          p.frequency_penalty);
      };
      SamplingRequest expected;
      option.set(expected, option.highest);
      EXPECT_EQ(params(read(name, given(option.highest)).sampling), params(expected)) << name << " " << field;
      EXPECT_EQ(refusal(name, given(option.highest + 1)).param, field) << name;
    }
  }
}

TEST(Schema, ReadsOpenAiFields) {
  for (const char* name : {"chat", "completions"}) {
    const GenerationJob job = read(name, {{"presence_penalty", 1},
                                          {"frequency_penalty", -1.5},
                                          {"logit_bias", {{"5", -100}, {"4095", 2.5}}},
                                          {"seed", -7},
                                          {"stop", {"a", "", "b"}},
                                          {"stop_token_ids", {1, 2}},
                                          {"ignore_eos", true},
                                          {"stream", true},
                                          {"stream_options", {{"include_usage", true}}},
                                          {"n", 3},
                                          {"user", "me"}});
    EXPECT_EQ(job.sampling.presence_penalty, 1);
    EXPECT_EQ(job.sampling.frequency_penalty, -1.5);
    EXPECT_EQ(job.sampling.logit_bias, (std::map<int32_t, double>{{5, -100}, {4095, 2.5}}));
    EXPECT_EQ(job.sampling.seed, static_cast<uint64_t>(-7));
    EXPECT_THAT(job.stop, ElementsAre("a", "b"));
    EXPECT_THAT(job.stop_token_ids, ElementsAre(1, 2));
    EXPECT_TRUE(job.ignore_eos && job.stream && job.include_usage);
    EXPECT_EQ(job.n, 3);
    EXPECT_THAT(read(name, {{"stop", "one"}}).stop, ElementsAre("one"));

    EXPECT_EQ(refusal(name, {{"logit_bias", {{"4096", 1}}}}).param, "logit_bias");
    EXPECT_EQ(refusal(name, {{"logit_bias", {{"-1", 1}}}}).param, "logit_bias");
    EXPECT_EQ(refusal(name, {{"logit_bias", {{"x", 1}}}}).param, "logit_bias");
    EXPECT_EQ(refusal(name, {{"logit_bias", {{"1", 101}}}}).param, "logit_bias");
    EXPECT_EQ(refusal(name, {{"logit_bias", {{"1", "1"}}}}).param, "logit_bias");
    EXPECT_EQ(refusal(name, {{"n", 17}}).param, "n");
    EXPECT_EQ(refusal(name, {{"stop", Json(std::vector<std::string>(17, "x"))}}).param, "stop");
    EXPECT_EQ(refusal(name, {{"stop", {"a", 1}}}).param, "stop[1]");
    EXPECT_EQ(refusal(name, {{"stop", std::string(1025, 'x')}}).param, "stop[0]");
    EXPECT_EQ(refusal(name, {{"stop_token_ids", {4096}}}).param, "stop_token_ids");
    EXPECT_EQ(refusal(name, {{"stop_token_ids", {"1"}}}).param, "stop_token_ids");
    EXPECT_EQ(refusal(name, {{"stream_options", {{"include_usage", true}}}}).param, "stream_options");
    EXPECT_EQ(refusal(name, {{"stream", true}, {"stream_options", {{"include_usage", 1}}}}).param,
              "stream_options.include_usage");
  }
}

TEST(Schema, ReadsLengths) {
  EXPECT_EQ(read("chat", Json::object()).max_new_tokens, std::nullopt);
  EXPECT_EQ(read("chat", {{"max_tokens", 5}}).max_new_tokens, 5);
  EXPECT_EQ(read("chat", {{"max_tokens", 5}, {"max_completion_tokens", 6}}).max_new_tokens, 6);
  EXPECT_EQ(read("chat", {{"max_tokens", 5.0}}).max_new_tokens, 5);
  EXPECT_EQ(read("completions", Json::object()).max_new_tokens, 16);
  EXPECT_EQ(read("completions", {{"max_tokens", 0}}).max_new_tokens, 0);
  EXPECT_EQ(read("responses", {{"max_output_tokens", 7}}).max_new_tokens, 7);
  EXPECT_EQ(read("messages", Json::object()).max_new_tokens, 100);
}

TEST(Schema, ReadsLogprobs) {
  EXPECT_EQ(read("chat", Json::object()).top_logprobs, -1);
  EXPECT_EQ(read("chat", {{"logprobs", true}}).top_logprobs, 0);
  EXPECT_EQ(read("chat", {{"logprobs", true}, {"top_logprobs", 20}}).top_logprobs, 20);
  EXPECT_EQ(refusal("chat", {{"top_logprobs", 2}}).param, "top_logprobs");
  EXPECT_EQ(read("completions", {{"logprobs", 3}}).top_logprobs, 3);
  EXPECT_EQ(read("completions", {{"logprobs", 3}, {"echo", true}}).top_logprobs, 3);
  EXPECT_EQ(read("responses", {{"include", {"message.output_text.logprobs"}}}).top_logprobs, 0);
  EXPECT_EQ(read("responses", {{"top_logprobs", 4}}).top_logprobs, 4);
}

// ---- conversations ----

TEST(Schema, ReadsChatMessages) {
  std::vector<std::string> remarks;
  const Json messages = {
      {{"role", "developer"}, {"content", "be brief"}},
      {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}}}}},
      {{"role", "assistant"},
       {"content", nullptr},
       {"reasoning_content", "hm"},
       {"tool_calls",
        {{{"id", "c1"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{\"x\": [1]}"}}}},
         {{"id", "c2"}, {"type", "function"}, {"function", {{"name", "g"}, {"arguments", ""}}}},
         {{"id", "c3"}, {"type", "function"}, {"function", {{"name", "h"}, {"arguments", "{\"cut"}}}}}}},
      {{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "done"}},
      {{"role", "assistant"}, {"content", "ok"}, {"mood", "good"}}};
  const GenerationJob job = read("chat", {{"messages", messages}}, &remarks);
  const std::vector<ChatMessage>& read = job.chat().messages;
  ASSERT_EQ(read.size(), 5u);
  EXPECT_EQ(read[0].role, ChatMessage::Role::kSystem);
  EXPECT_EQ(read[1].content, "ab");
  EXPECT_EQ(read[2].reasoning, "hm");
  EXPECT_EQ(read[2].content, "");
  ASSERT_EQ(read[2].tool_calls.size(), 3u);
  EXPECT_EQ(read[2].tool_calls[0].arguments, Json({{"x", {1}}}));
  EXPECT_EQ(read[2].tool_calls[1].arguments, Json::object());
  EXPECT_EQ(read[2].tool_calls[2].arguments, Json({{"arguments", "{\"cut"}}));
  EXPECT_EQ(read[3].role, ChatMessage::Role::kTool);
  EXPECT_EQ(read[3].tool_call_id, "c1");
  EXPECT_THAT(remarks, ElementsAre(HasSubstr("messages[2].tool_calls[2].function.arguments"), "messages[4].\"mood\""));
}

TEST(Schema, NamesWhatIsWrongInChatMessages) {
  const auto param = [](const Json& message) { return refusal("chat", {{"messages", Json::array({message})}}).param; };
  EXPECT_EQ(refusal("chat", {{"messages", Json::array()}}).param, "messages");
  EXPECT_EQ(param(3), "messages[0]");
  EXPECT_EQ(param({{"content", "x"}}), "messages[0].role");
  EXPECT_EQ(param({{"role", "king"}, {"content", "x"}}), "messages[0].role");
  EXPECT_EQ(param({{"role", "user"}, {"content", 5}}), "messages[0].content");
  EXPECT_EQ(param({{"role", "user"}, {"content", {{{"type", "smell"}}}}}), "messages[0].content[0]");
  EXPECT_EQ(param({{"role", "user"}, {"content", {{{"type", "text"}}}}}), "messages[0].content[0].text");
  EXPECT_EQ(param({{"role", "user"}, {"content", {{{"text", "a"}}}}}), "messages[0].content[0].type");
  EXPECT_EQ(param({{"role", "assistant"}, {"tool_calls", {{{"id", "a"}}}}}), "messages[0].tool_calls[0].function");
  EXPECT_EQ(param({{"role", "assistant"}, {"tool_calls", {{{"function", {{"arguments", "{}"}}}}}}}),
            "messages[0].tool_calls[0].function.name");
  EXPECT_EQ(param({{"role", "assistant"}, {"tool_calls", {{{"type", "custom"}}}}}), "messages[0].tool_calls[0].custom");
  EXPECT_EQ(param({{"role", "assistant"}, {"tool_calls", {{{"type", "wish"}}}}}), "messages[0].tool_calls[0].type");
}

Json function_tool(const std::string& name) {
  return {{"type", "function"},
          {"function", {{"name", name}, {"description", "d"}, {"parameters", {{"type", "object"}}}, {"strict", true}}}};
}

TEST(Schema, ReadsTools) {
  std::vector<std::string> remarks;
  const Json tools = {function_tool("get_weather"), function_tool("mcp__x.y:z")};
  const GenerationJob job = read("chat", {{"tools", tools}, {"parallel_tool_calls", false}}, &remarks);
  ASSERT_EQ(job.chat().tools.size(), 2u);
  // Without what is no part of a declaration, so that the prompt is the one that models were trained on.
  EXPECT_EQ(
      dump_json(job.chat().tools[0]),
      R"({"type":"function","function":{"name":"get_weather","description":"d","parameters":{"type":"object"}}})");
  EXPECT_FALSE(job.parallel_tool_calls);
  EXPECT_THAT(remarks, Contains("tools[0].function.strict: not enforced"));

  const auto param = [](const Json& tool) { return refusal("chat", {{"tools", Json::array({tool})}}).param; };
  EXPECT_EQ(param(function_tool("")), "tools[0].function");
  EXPECT_EQ(param(function_tool("a b")), "tools[0].function");
  EXPECT_EQ(param(function_tool("<|user|>")), "tools[0].function");
  EXPECT_EQ(param(function_tool(std::string(129, 'x'))), "tools[0].function");
  EXPECT_EQ(param({{"type", "function"}}), "tools[0].function");
  EXPECT_EQ(refusal("chat", {{"tools", {function_tool("a"), function_tool("a")}}}).param, "tools[1].function");
  EXPECT_EQ(refusal("chat", {{"tools", Json(std::vector<Json>(513, function_tool("a")))}}).param, "tools");
  Json large = function_tool("a");
  large["function"]["parameters"]["description"] = std::string(300'000, 'x');
  EXPECT_EQ(param(large), "tools[0].function");
}

TEST(Schema, HonoursToolChoiceAsFarAsItCan) {
  const Json tools = {function_tool("a"), function_tool("b")};
  const auto names = [&](const Json& choice) {
    std::vector<std::string> out;
    const GenerationJob job = read("chat", {{"tools", tools}, {"tool_choice", choice}});
    for (const Json& tool : job.chat().tools) out.push_back(tool["function"]["name"]);
    return out;
  };
  EXPECT_THAT(names("auto"), ElementsAre("a", "b"));
  EXPECT_THAT(names("none"), IsEmpty());
  EXPECT_THAT(names({{"type", "allowed_tools"},
                     {"allowed_tools", {{"mode", "auto"}, {"tools", Json::array({function_tool("b")})}}}}),
              ElementsAre("b"));
  const auto why = [&](const Json& choice) {
    return refusal("chat", {{"tools", tools}, {"tool_choice", choice}}).message;
  };
  EXPECT_THAT(why("required"), HasSubstr("structured output"));
  EXPECT_THAT(why({{"type", "function"}, {"function", {{"name", "a"}}}}), HasSubstr("structured output"));
  EXPECT_THAT(refusal("chat", {{"response_format", {{"type", "json_object"}}}}).message,
              HasSubstr("structured output"));
  EXPECT_THAT(refusal("chat", {{"response_format", {{"type", "json_schema"}}}}).message,
              HasSubstr("structured output"));
  EXPECT_NO_THROW(read("chat", {{"response_format", {{"type", "text"}}}}));
  EXPECT_THAT(refusal("responses", {{"text", {{"format", {{"type", "json_schema"}}}}}}).message,
              HasSubstr("structured output"));
  EXPECT_THAT(refusal("responses", {{"tool_choice", "required"}}).message, HasSubstr("structured output"));
  EXPECT_THAT(refusal("messages", {{"tool_choice", {{"type", "any"}}}}).message, HasSubstr("structured output"));
  EXPECT_THAT(refusal("messages", {{"tool_choice", {{"type", "tool"}, {"name", "a"}}}}).message,
              HasSubstr("structured output"));
  EXPECT_THAT(refusal("messages", {{"output_config", {{"format", Json::object()}}}}).message,
              HasSubstr("structured output"));
}

TEST(Schema, SwitchesThinking) {
  const auto thinking = [](std::string_view name, const Json& fields) { return read(name, fields).chat().thinking; };
  EXPECT_EQ(thinking("chat", Json::object()), std::nullopt);
  EXPECT_EQ(thinking("chat", {{"reasoning_effort", "none"}}), false);
  EXPECT_EQ(thinking("chat", {{"reasoning_effort", "high"}}), true);
  EXPECT_EQ(thinking("chat", {{"thinking", {{"type", "disabled"}}}}), false);
  EXPECT_EQ(thinking("responses", {{"reasoning", {{"effort", "minimal"}}}}), false);
  EXPECT_EQ(thinking("messages", Json::object()), false);
  EXPECT_EQ(thinking("messages", {{"thinking", {{"type", "enabled"}, {"budget_tokens", 1024}}}}), true);
  EXPECT_EQ(thinking("messages", {{"thinking", {{"type", "adaptive"}}}}), true);
  // Claude Code asks for a display that Anthropic's SDK does not know.
  EXPECT_EQ(thinking("messages", {{"thinking", {{"type", "adaptive"}, {"display", "updates"}}}}), true);
  EXPECT_EQ(thinking("messages", {{"thinking", {{"type", "disabled"}}}}), false);
  EXPECT_EQ(refusal("messages", {{"thinking", {{"type", "enabled"}}}}).param, "thinking.budget_tokens");
  EXPECT_EQ(refusal("messages", {{"thinking", {{"type", "enabled"}, {"budget_tokens", 10}}}}).param,
            "thinking.budget_tokens");
  const Chat chat = read("chat", {{"reasoning_effort", "low"},
                                  {"thinking", {{"type", "enabled"}, {"clear_thinking", false}}},
                                  {"chat_template_kwargs", {{"enable_thinking", false}}}})
                        .chat();
  EXPECT_EQ(chat.template_args,
            Json({{"reasoning_effort", "low"}, {"clear_thinking", false}, {"enable_thinking", false}}));
  EXPECT_EQ(refusal("chat", {{"chat_template_kwargs", {{"messages", 1}}}}).param, "chat_template_kwargs");
  Json many = Json::object();
  for (int i = 0; i < 65; ++i) many["x" + std::to_string(i)] = i;
  EXPECT_EQ(refusal("chat", {{"chat_template_kwargs", many}}).param, "chat_template_kwargs");
}

TEST(Schema, ContinuesTheLastMessageWhenAsked) {
  const Json messages = {{{"role", "user"}, {"content", "hi"}}, {{"role", "assistant"}, {"content", "I am"}}};
  EXPECT_FALSE(read("chat", {{"messages", messages}}).chat().continues_last);
  EXPECT_TRUE(read("chat", {{"messages", messages}, {"continue_final_message", true}}).chat().continues_last);
  EXPECT_TRUE(read("messages", {{"messages", messages}}).chat().continues_last);
  EXPECT_EQ(refusal("chat", {{"continue_final_message", true}}).param, "continue_final_message");
  for (const char* field : {"prefix", "partial"}) {
    Json begun = messages;
    begun[1][field] = true;
    EXPECT_TRUE(read("chat", {{"messages", begun}}).chat().continues_last);
    begun.push_back({{"role", "user"}, {"content", "go on"}});
    EXPECT_FALSE(read("chat", {{"messages", begun}}).chat().continues_last);
  }
  Json item = {{"role", "assistant"}, {"content", "I am"}};
  EXPECT_FALSE(read("responses", {{"input", Json::array({item})}}).chat().continues_last);
  EXPECT_TRUE(
      read("responses", {{"input", Json::array({item})}, {"continue_final_message", true}}).chat().continues_last);
  item["status"] = "incomplete";
  EXPECT_TRUE(read("responses", {{"input", Json::array({item})}}).chat().continues_last);
  EXPECT_EQ(refusal("responses", {{"continue_final_message", true}}).param, "continue_final_message");
}

TEST(Schema, ReadsWhetherAnAnswerIsBegun) {
  EXPECT_TRUE(read("chat", Json::object()).chat().add_generation_prompt);
  EXPECT_FALSE(read("chat", {{"add_generation_prompt", false}}).chat().add_generation_prompt);
}

// ---- completions ----

TEST(Schema, ReadsPrompts) {
  const auto prompts = [](const Json& prompt) {
    return std::get<std::vector<RawPrompt>>(read("completions", {{"prompt", prompt}}).input);
  };
  EXPECT_THAT(prompts("a"), ElementsAre(RawPrompt("a")));
  EXPECT_THAT(prompts({"a", "b"}), ElementsAre(RawPrompt("a"), RawPrompt("b")));
  EXPECT_THAT(prompts({1, 2}), ElementsAre(RawPrompt(std::vector<int32_t>{1, 2})));
  EXPECT_THAT(prompts(Json::array({Json::array({1}), Json::array({2, 3})})),
              ElementsAre(RawPrompt(std::vector<int32_t>{1}), RawPrompt(std::vector<int32_t>{2, 3})));
  const auto param = [](const Json& prompt) { return refusal("completions", {{"prompt", prompt}}).param; };
  EXPECT_EQ(param(Json::array()), "prompt");
  EXPECT_EQ(param({1, "a"}), "prompt[1]");
  EXPECT_EQ(param({1, 4096}), "prompt[1]");
  EXPECT_EQ(param({1, -1}), "prompt[1]");
  EXPECT_EQ(param({1, 1.5}), "prompt[1]");
  EXPECT_EQ(param({"a", true}), "prompt[1]");
  EXPECT_EQ(param(Json(std::vector<std::string>(257, "a"))), "prompt");
  EXPECT_EQ(refusal("completions", {{"prompt", Json(std::vector<std::string>(200, "a"))}, {"n", 2}}).param, "n");
  EXPECT_EQ(read("completions", {{"suffix", "x"}}).suffix, "x");
  EXPECT_EQ(refusal("completions", {{"suffix", "x"}, {"echo", true}, {"logprobs", 0}}).param, "suffix");
  EXPECT_EQ(refusal("completions", {{"best_of", 2}}).param, "best_of");
  EXPECT_NO_THROW(read("completions", {{"best_of", 2}, {"n", 2}}));
}

// ---- responses ----

TEST(Schema, ReadsResponseItems) {
  const Json input = {
      {{"role", "user"}, {"content", {{{"type", "input_text"}, {"text", "weather?"}}}}},
      {{"type", "reasoning"},
       {"id", "rs_1"},
       {"summary", Json::array()},
       {"content", {{{"type", "reasoning_text"}, {"text", "hm"}}}}},
      {{"type", "message"}, {"role", "assistant"}, {"content", {{{"type", "output_text"}, {"text", "let me see"}}}}},
      {{"type", "function_call"}, {"call_id", "c1"}, {"name", "f"}, {"arguments", "{\"a\":1}"}},
      {{"type", "function_call"}, {"call_id", "c2"}, {"name", "g"}, {"arguments", "{}"}},
      {{"type", "function_call_output"}, {"call_id", "c1"}, {"output", "sun"}},
      {{"type", "function_call_output"}, {"call_id", "c2"}, {"output", {{{"type", "input_text"}, {"text", "rain"}}}}},
      {{"type", "reasoning"}, {"summary", {{{"type", "summary_text"}, {"text", "so"}}}}},
      {{"role", "assistant"}, {"content", "sunny"}}};
  const Chat chat = read("responses", {{"instructions", "sys"}, {"input", input}}).chat();
  ASSERT_EQ(chat.messages.size(), 6u);
  EXPECT_EQ(chat.messages[0].role, ChatMessage::Role::kSystem);
  EXPECT_EQ(chat.messages[0].content, "sys");
  EXPECT_EQ(chat.messages[1].content, "weather?");
  EXPECT_EQ(chat.messages[2].reasoning, "hm");
  EXPECT_EQ(chat.messages[2].content, "let me see");
  ASSERT_EQ(chat.messages[2].tool_calls.size(), 2u);
  EXPECT_EQ(chat.messages[2].tool_calls[0].arguments, Json({{"a", 1}}));
  EXPECT_EQ(chat.messages[3].role, ChatMessage::Role::kTool);
  EXPECT_EQ(chat.messages[4].content, "rain");
  EXPECT_EQ(chat.messages[5].reasoning, "so");
  EXPECT_EQ(chat.messages[5].content, "sunny");

  const auto param = [](const Json& item) { return refusal("responses", {{"input", Json::array({item})}}).param; };
  EXPECT_EQ(param({{"type", "item_reference"}, {"id", "x"}}), "input");  // nothing is left
  EXPECT_EQ(param({{"type", "mesage"}, {"role", "user"}, {"content", "hi"}}), "input[0].type");
  EXPECT_EQ(param({{"role", "user"}, {"content", {{{"type", "smell"}}}}}), "input[0].content[0]");
  EXPECT_EQ(param({{"type", "function_call"}}), "input[0].name");
  EXPECT_EQ(param({{"type", "function_call_output"}, {"output", 5}}), "input[0].output");
  EXPECT_EQ(param(Json::object()), "input[0].type");
  EXPECT_EQ(refusal("responses", {{"input", Json::array()}}).param, "input");
  for (const char* name : {"previous_response_id"}) {
    EXPECT_THAT(refusal("responses", {{name, "x"}}).message, HasSubstr("stores nothing"));
  }
  EXPECT_THAT(refusal("responses", {{"background", true}}).message, HasSubstr("stores nothing"));
}

// ---- messages ----

TEST(Schema, ReadsAnthropicBlocks) {
  const Json messages = {
      {{"role", "user"},
       {"content",
        {{{"type", "text"}, {"text", "a"}, {"cache_control", {{"type", "ephemeral"}}}},
         {{"type", "text"}, {"text", "b"}}}}},
      {{"role", "assistant"},
       {"content",
        {{{"type", "thinking"}, {"thinking", "hm"}, {"signature", "s"}},
         {{"type", "redacted_thinking"}, {"data", "x"}},
         {{"type", "text"}, {"text", "looking"}},
         {{"type", "tool_use"}, {"id", "t1"}, {"name", "f"}, {"input", {{"x", 1}}}}}}},
      {{"role", "user"},
       {"content",
        {{{"type", "tool_result"}, {"tool_use_id", "t1"}, {"content", {{{"type", "text"}, {"text", "42"}}}}},
         {{"type", "tool_result"}, {"tool_use_id", "t2"}, {"is_error", true}},
         {{"type", "text"}, {"text", "go on"}}}}},
      {{"role", "user"}, {"content", "please"}}};
  std::vector<std::string> remarks;
  const Json system = {{{"type", "text"}, {"text", "x-anthropic-billing-header: cc_version=2; cch=74943;"}},
                       {{"type", "text"}, {"text", "You are it."}}};
  const Chat chat = read("messages", {{"system", system}, {"messages", messages}}, &remarks).chat();
  ASSERT_EQ(chat.messages.size(), 6u);
  EXPECT_EQ(chat.messages[0].content, "You are it.");
  EXPECT_EQ(chat.messages[1].content, "a\nb");
  EXPECT_EQ(chat.messages[2].reasoning, "hm");
  EXPECT_EQ(chat.messages[2].content, "looking");
  ASSERT_EQ(chat.messages[2].tool_calls.size(), 1u);
  EXPECT_EQ(chat.messages[2].tool_calls[0].arguments, Json({{"x", 1}}));
  EXPECT_EQ(chat.messages[3].role, ChatMessage::Role::kTool);
  EXPECT_EQ(chat.messages[3].content, "42");
  EXPECT_EQ(chat.messages[4].content, "error");
  EXPECT_EQ(chat.messages[5].content, "go on\nplease");
  EXPECT_THAT(remarks, ElementsAre(HasSubstr("redacted")));

  EXPECT_EQ(read("messages", {{"system", "x-anthropic-billing-header: cch=1;\nreal"}}).chat().messages[0].content,
            "real");
  const auto param = [](const Json& message) {
    return refusal("messages", {{"messages", Json::array({message})}}).param;
  };
  EXPECT_EQ(param({{"role", "tool"}, {"content", "x"}}), "messages[0].role");
  EXPECT_EQ(param({{"role", "user"}, {"content", {{{"type", "smell"}}}}}), "messages[0].content[0]");
  EXPECT_EQ(param({{"role", "user"}, {"content", {{{"type", "tool_use"}, {"id", "a"}, {"name", "f"}}}}}),
            "messages[0].content[0]");
  EXPECT_EQ(param({{"role", "assistant"}, {"content", {{{"type", "tool_result"}, {"tool_use_id", "a"}}}}}),
            "messages[0].content[0]");
  EXPECT_EQ(param({{"role", "assistant"}, {"content", {{{"type", "redacted_thinking"}, {"data", "x"}}}}}), "messages");
  EXPECT_EQ(param({{"role", "user"}, {"content", {{{"type", "tool_result"}}}}}), "messages[0].content[0].tool_use_id");
  EXPECT_EQ(
      param({{"role", "assistant"}, {"content", {{{"type", "tool_use"}, {"id", "a"}, {"name", "f"}, {"input", 5}}}}}),
      "messages[0].content[0].input");
  EXPECT_EQ(refusal("messages", {{"tools", {{{"name", "f"}}}}}).param, "tools[0].input_schema");
  EXPECT_EQ(refusal("messages", {{"tools", {{{"input_schema", Json::object()}}}}}).param, "tools[0].name");
}

TEST(Schema, ReadsAnthropicTools) {
  const Json tools = {{{"name", "f"}, {"description", "d"}, {"input_schema", {{"type", "object"}}}}};
  const GenerationJob job = read("messages", {{"tools", tools},
                                              {"tool_choice", {{"type", "auto"}, {"disable_parallel_tool_use", true}}},
                                              {"stop_sequences", {"X"}}});
  EXPECT_EQ(dump_json(job.chat().tools.at(0)),
            R"({"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}})");
  EXPECT_FALSE(job.parallel_tool_calls);
  EXPECT_THAT(job.stop, ElementsAre("X"));
  EXPECT_THAT(read("messages", {{"tools", tools}, {"tool_choice", {{"type", "none"}}}}).chat().tools, IsEmpty());
}

TEST(Schema, RefusesBodiesThatAreNoObject) {
  const ApiLimits limits;
  SchemaContext context{limits, kVocab};
  for (const char* body : {"", "[]", "3", "\"x\"", "{", "{\"a\":1,\"a\":2}", "{\"a\":\"\xFF\"}", "nul"}) {
    EXPECT_THROW(parse_body(body, context), ApiError) << body;
  }
  EXPECT_THROW(parse_body(std::string(100, '[') + std::string(100, ']'), context), ApiError);
}

TEST(Schema, CountsValues) {
  const ApiLimits limits;
  const auto values = [&](const std::string& body) {
    SchemaContext context{limits, kVocab};
    parse_body(body, context);
    return context.values;
  };
  EXPECT_EQ(values("{}"), 1);
  EXPECT_EQ(values(R"({"a": [ ], "b": {} , "c,[{": "\",[\\"})"), 4);
  EXPECT_EQ(values(R"({"a": [[], [[]], [1, 2]]})"), 8);
}

TEST(Schema, RefusesMoreValuesThanAllowed) {
  ApiLimits limits;
  limits.max_values = 10;
  SchemaContext context{limits, kVocab};
  parse_body(R"({"a": [1,2,3,4]})", context);  // 6 of them
  const Json arguments = R"({"a": [1, 2]})";   // 4 in a text
  EXPECT_EQ(tool_arguments("arguments", &arguments, context).size(), 1u);
  const Json one_more = "{}";
  try {
    tool_arguments("messages[1].arguments", &one_more, context);
    FAIL() << "one more value passed";
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status, 413);
    EXPECT_STREQ(error.what(), "messages[1].arguments: the request has more than 10 values of JSON");
  }
}

}  // namespace
}  // namespace glimmer::serve
