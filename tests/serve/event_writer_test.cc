// What goes out for an answer, event by event, and that the deltas put together are the object.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "serve/anthropic_messages.h"
#include "serve/openai_chat.h"
#include "serve/openai_completions.h"
#include "serve/openai_responses.h"

namespace glimmer::serve {
namespace {

using ::testing::ElementsAre;

const AnswerIdentity kIdentity{"id-1", "demo", 1700000000};
const AnswerUsage kUsage{.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 7, .reasoning_tokens = 3};

struct Event {
  std::string name;  // empty: none
  Json data;         // a string for what is no JSON
};

std::vector<Event> events_of(const std::string& text) {
  std::vector<Event> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find("\n\n", begin);
    EXPECT_NE(end, std::string::npos) << "no whole event: " << text.substr(begin);
    std::string event = text.substr(begin, end - begin);
    begin = end + 2;
    Event parsed;
    if (event.starts_with("event: ")) {
      parsed.name = event.substr(7, event.find('\n') - 7);
      event.erase(0, event.find('\n') + 1);
    }
    EXPECT_TRUE(event.starts_with("data: ") && event.find('\n') == std::string::npos) << event;
    event.erase(0, 6);
    parsed.data = event.starts_with('{') ? parse_json(event, "event") : Json(event);
    out.push_back(std::move(parsed));
  }
  return out;
}

AnswerDelta text_delta(DeltaKind kind, const std::string& text) { return {kind, text, -1, {}, {}}; }

std::vector<AnswerDelta> call_deltas(int call, const std::string& id, const std::vector<std::string>& arguments,
                                     const std::string& missing = "") {
  std::vector<AnswerDelta> out = {{DeltaKind::kToolCallBegin, "get_weather", call, id, {}}};
  for (const std::string& text : arguments) out.push_back({DeltaKind::kToolCallArguments, text, call, {}, {}});
  out.push_back({DeltaKind::kToolCallEnd, missing, call, {}, {}});
  return out;
}

// Reasoning, content and a call.
std::vector<AnswerDelta> full_answer() {
  std::vector<AnswerDelta> out = {text_delta(DeltaKind::kReasoning, "h"), text_delta(DeltaKind::kReasoning, "m"),
                                  text_delta(DeltaKind::kContent, "Let"), text_delta(DeltaKind::kContent, " me")};
  for (AnswerDelta& delta : call_deltas(0, "c0", {"{\"city\":", "\"Paris\"}"})) out.push_back(std::move(delta));
  return out;
}

std::string stream_text(EventWriter& stream, const std::vector<AnswerDelta>& deltas, const AnswerFinish& finish) {
  std::string out;
  stream.begin({.prompt_tokens = 10}, out);
  for (const AnswerDelta& delta : deltas) stream.delta(0, delta, out);
  stream.finish(0, finish, out);
  stream.end(kUsage, out);
  return out;
}

Answer answer_of(const std::vector<AnswerDelta>& deltas, const AnswerFinish& finish) {
  Answer answer;
  for (const AnswerDelta& delta : deltas) answer.add(delta);
  answer.finish = finish;
  return answer;
}

std::function<std::string(std::string_view)> counting_ids() {
  return [n = 0](std::string_view prefix) mutable { return std::string(prefix) + std::to_string(n++); };
}

// ---- chat completions ----

TEST(ChatStream, SendsChunksInOrder) {
  const auto stream = chat_stream(kIdentity, {.include_usage = true});
  std::vector<std::string> lines;
  for (const Event& event : events_of(stream_text(*stream, full_answer(), {AnswerEnd::kToolCalls, {}}))) {
    if (event.data.is_string()) {
      lines.push_back(event.data);
      continue;
    }
    EXPECT_EQ(event.data["id"], "id-1");
    EXPECT_EQ(event.data["object"], "chat.completion.chunk");
    EXPECT_EQ(event.data["model"], "demo");
    EXPECT_EQ(event.data["created"], 1700000000);
    EXPECT_TRUE(event.data.contains("usage"));
    const Json& choices = event.data["choices"];
    lines.push_back(choices.empty() ? dump_json(event.data["usage"])
                                    : dump_json(choices[0]["delta"]) + dump_json(choices[0]["finish_reason"]));
  }
  EXPECT_THAT(
      lines,
      ElementsAre(
          R"({"role":"assistant","content":""}null)", R"({"reasoning_content":"h"}null)",
          R"({"reasoning_content":"m"}null)", R"({"content":"Let"}null)", R"({"content":" me"}null)",
          R"({"tool_calls":[{"index":0,"id":"c0","type":"function","function":{"name":"get_weather","arguments":""}}]}null)",
          R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}null)",
          R"({"tool_calls":[{"index":0,"function":{"arguments":"\"Paris\"}"}}]}null)", R"({}"tool_calls")",
          R"({"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,"prompt_tokens_details":)"
          R"({"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}})",
          "[DONE]"));
}

TEST(ChatStream, BeginsEachAnswer) {
  const auto stream = chat_stream(kIdentity, {.answers = 3});
  std::string out;
  stream->begin({}, out);
  const std::vector<Event> events = events_of(out);
  ASSERT_EQ(events.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(events[i].data["choices"][0]["index"], i);
  EXPECT_FALSE(events[0].data.contains("usage"));
}

TEST(ChatStream, EndsWithAnError) {
  std::string out;
  chat_stream(kIdentity, {})->error(ApiError(503, "shutting down"), out);
  EXPECT_EQ(events_of(out).at(0).data["error"]["message"], "shutting down");
}

TEST(ChatObject, HasTheMessage) {
  const Answer answer = answer_of(full_answer(), {AnswerEnd::kToolCalls, {}});
  const Json object = chat_object(kIdentity, {}, {answer}, kUsage);
  EXPECT_EQ(dump_json(object["choices"]),
            R"([{"index":0,"message":{"role":"assistant","content":"Let me","reasoning_content":"hm","refusal":null,)"
            R"("tool_calls":[{"id":"c0","type":"function","function":{"name":"get_weather","arguments":)"
            R"("{\"city\":\"Paris\"}"}}]},"logprobs":null,"finish_reason":"tool_calls"}])");
  EXPECT_EQ(object["usage"]["total_tokens"], 17);
  // Content is null beside calls only.
  EXPECT_TRUE(chat_object(kIdentity, {}, {answer_of(call_deltas(0, "c", {"{}"}), {})},
                          kUsage)["choices"][0]["message"]["content"]
                  .is_null());
  EXPECT_EQ(chat_object(kIdentity, {}, {Answer{}}, kUsage)["choices"][0]["message"]["content"], "");
}

TEST(ChatObject, NamesEachFinish) {
  const auto reason = [](AnswerEnd end) { return openai_finish_reason({end, {}}); };
  EXPECT_EQ(reason(AnswerEnd::kStop), "stop");
  EXPECT_EQ(reason(AnswerEnd::kStopString), "stop");
  EXPECT_EQ(reason(AnswerEnd::kLength), "length");
  EXPECT_EQ(reason(AnswerEnd::kContextFull), "length");
  EXPECT_EQ(reason(AnswerEnd::kToolCalls), "tool_calls");
}

TEST(ChatObject, HasLogprobs) {
  AnswerDelta delta = text_delta(DeltaKind::kContent, "\xC3\xA9");
  delta.logprobs = {{{"\xC3", -0.5F}, {{"\xC3", -0.5F}, {"e", -1.F}}}, {{"\xA9", -0.25F}, {}}};
  const Json object = chat_object(kIdentity, {.logprobs = true}, {answer_of({delta}, {})}, kUsage);
  EXPECT_EQ(dump_json(object["choices"][0]["logprobs"]["content"]),
            R"([{"token":")"
            "\xEF\xBF\xBD"
            R"(","logprob":-0.5,"bytes":[195],"top_logprobs":[{"token":")"
            "\xEF\xBF\xBD"
            R"(","logprob":-0.5,"bytes":[195]},{"token":"e","logprob":-1.0,"bytes":[101]}]},)"
            R"({"token":")"
            "\xEF\xBF\xBD"
            R"(","logprob":-0.25,"bytes":[169],"top_logprobs":[]}])");
}

// ---- completions ----

TEST(Completions, StreamAndObjectAgree) {
  CompletionFormatOptions options;
  options.logprobs = true;
  options.echoes = {"\xC3\xA9?"};
  std::vector<AnswerDelta> deltas = {text_delta(DeltaKind::kContent, " yes"), text_delta(DeltaKind::kContent, "!")};
  deltas[0].logprobs = {{{" yes", -1}, {{" yes", -1}, {"\xFF", -2}}}};
  deltas[1].logprobs = {{{"!", -2}, {}}};
  const AnswerFinish finish{AnswerEnd::kLength, {}};
  const Json object = completion_object(kIdentity, options, {answer_of(deltas, finish)}, kUsage);
  EXPECT_EQ(dump_json(object["choices"][0]),
            R"({"index":0,"text":"é? yes!","logprobs":{"tokens":[" yes","!"],"token_logprobs":[-1.0,-2.0],)"
            R"("top_logprobs":[{" yes":-1.0,"bytes:\\xff":-2.0},{}],"text_offset":[2,6]},"finish_reason":"length"})");
  std::string text;
  Json offsets = Json::array();
  std::string reason;
  for (const Event& event : events_of(stream_text(*completion_stream(kIdentity, options), deltas, finish))) {
    if (event.data.is_string()) continue;
    const Json& choice = event.data["choices"][0];
    text += choice["text"];
    if (choice["logprobs"].is_object())
      offsets.insert(offsets.end(), choice["logprobs"]["text_offset"].begin(), choice["logprobs"]["text_offset"].end());
    if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
  }
  EXPECT_EQ(text, "é? yes!");
  EXPECT_EQ(offsets, Json({2, 6}));
  EXPECT_EQ(reason, "length");
}

// ---- messages ----

TEST(MessageStream, SendsEventsInOrder) {
  std::vector<std::string> lines;
  for (const Event& event :
       events_of(stream_text(*message_stream(kIdentity, {}), full_answer(), {AnswerEnd::kToolCalls, {}}))) {
    EXPECT_EQ(event.data["type"], event.name);
    Json fields = event.data;
    fields.erase("type");
    lines.push_back(event.name + " " + dump_json(fields));
  }
  EXPECT_THAT(
      lines,
      ElementsAre(
          R"(message_start {"message":{"id":"id-1","type":"message","role":"assistant","model":"demo","content":[],)"
          R"("stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":0,)"
          R"("cache_read_input_tokens":0,"output_tokens":0,"output_tokens_details":{"thinking_tokens":0}}}})",
          "ping {}",
          R"(content_block_start {"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})",
          R"(content_block_delta {"index":0,"delta":{"type":"thinking_delta","thinking":"h"}})",
          R"(content_block_delta {"index":0,"delta":{"type":"thinking_delta","thinking":"m"}})",
          R"(content_block_delta {"index":0,"delta":{"type":"signature_delta","signature":"glimmer"}})",
          R"(content_block_stop {"index":0})",
          R"(content_block_start {"index":1,"content_block":{"type":"text","text":""}})",
          R"(content_block_delta {"index":1,"delta":{"type":"text_delta","text":"Let"}})",
          R"(content_block_delta {"index":1,"delta":{"type":"text_delta","text":" me"}})",
          R"(content_block_stop {"index":1})",
          R"(content_block_start {"index":2,"content_block":{"type":"tool_use","id":"c0","name":"get_weather","input":{}}})",
          R"(content_block_delta {"index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\":"}})",
          R"(content_block_delta {"index":2,"delta":{"type":"input_json_delta","partial_json":"\"Paris\"}"}})",
          R"(content_block_stop {"index":2})",
          R"(message_delta {"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":6,)"
          R"("cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":7,)"
          R"("output_tokens_details":{"thinking_tokens":3}}})",
          "message_stop {}"));
}

TEST(MessageObject, HasBlocks) {
  const Json object = message_object(kIdentity, {}, answer_of(full_answer(), {AnswerEnd::kStopString, "END"}), kUsage);
  EXPECT_EQ(dump_json(object["content"]),
            R"([{"type":"thinking","thinking":"hm","signature":"glimmer"},{"type":"text","text":"Let me"},)"
            R"({"type":"tool_use","id":"c0","name":"get_weather","input":{"city":"Paris"}}])");
  EXPECT_EQ(object["stop_reason"], "stop_sequence");
  EXPECT_EQ(object["stop_sequence"], "END");
  EXPECT_EQ(object["usage"]["input_tokens"], 6);
  EXPECT_EQ(object["usage"]["cache_read_input_tokens"], 4);
}

TEST(MessageObject, ClosesACallThatWasCutOff) {
  const Answer answer = answer_of(call_deltas(0, "c", {"{\"city\": \"Par"}, "\"}"), {AnswerEnd::kLength, {}});
  const Json object = message_object(kIdentity, {}, answer, kUsage);
  EXPECT_EQ(object["content"][0]["input"], Json({{"city", "Par"}}));
  EXPECT_EQ(object["stop_reason"], "max_tokens");
}

TEST(MessageStream, OmitsTheTextOfThinking) {
  const std::vector<AnswerDelta> deltas = {text_delta(DeltaKind::kReasoning, "secret")};
  const MessageFormatOptions options{.omit_thinking = true};
  const std::string text = stream_text(*message_stream(kIdentity, options), deltas, {});
  EXPECT_EQ(text.find("secret"), std::string::npos);
  EXPECT_NE(text.find("signature_delta"), std::string::npos);
  EXPECT_EQ(dump_json(message_object(kIdentity, options, answer_of(deltas, {}), kUsage)["content"]),
            R"([{"type":"thinking","thinking":"","signature":"glimmer"}])");
}

// ---- responses ----

TEST(ResponseStream, SendsEventsInOrder) {
  const ResponseFormatOptions options{.echo = {{"temperature", 0.5}}, .new_id = counting_ids()};
  std::vector<std::string> lines;
  int64_t sequence_number = 0;
  Json last;
  for (const Event& event :
       events_of(stream_text(*response_stream(kIdentity, options), full_answer(), {AnswerEnd::kToolCalls, {}}))) {
    EXPECT_EQ(event.data["type"], event.name);
    EXPECT_EQ(event.data["sequence_number"], sequence_number++);
    Json fields = event.data;
    fields.erase("type");
    fields.erase("sequence_number");
    if (fields.contains("response")) {
      last = fields["response"];
      fields = last["status"];
    }
    lines.push_back(event.name.substr(9) + " " + dump_json(fields));
  }
  EXPECT_THAT(
      lines,
      ElementsAre(
          R"(created "in_progress")", R"(in_progress "in_progress")",
          R"(output_item.added {"output_index":0,"item":{"id":"rs_0","type":"reasoning","summary":[],"content":[],"status":"in_progress"}})",
          R"(content_part.added {"item_id":"rs_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""}})",
          R"(reasoning_text.delta {"item_id":"rs_0","output_index":0,"content_index":0,"delta":"h"})",
          R"(reasoning_text.delta {"item_id":"rs_0","output_index":0,"content_index":0,"delta":"m"})",
          R"(reasoning_text.done {"item_id":"rs_0","output_index":0,"content_index":0,"text":"hm"})",
          R"(content_part.done {"item_id":"rs_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"hm"}})",
          R"(output_item.done {"output_index":0,"item":{"id":"rs_0","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"status":"completed"}})",
          R"(output_item.added {"output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","content":[],"status":"in_progress"}})",
          R"(content_part.added {"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}})",
          R"(output_text.delta {"item_id":"msg_1","output_index":1,"content_index":0,"delta":"Let","logprobs":[]})",
          R"(output_text.delta {"item_id":"msg_1","output_index":1,"content_index":0,"delta":" me","logprobs":[]})",
          R"(output_text.done {"item_id":"msg_1","output_index":1,"content_index":0,"text":"Let me","logprobs":[]})",
          R"(content_part.done {"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Let me","annotations":[],"logprobs":[]}})",
          R"(output_item.done {"output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"Let me","annotations":[],"logprobs":[]}],"status":"completed"}})",
          R"(output_item.added {"output_index":2,"item":{"id":"fc_2","type":"function_call","call_id":"c0","name":"get_weather","arguments":"","status":"in_progress"}})",
          R"(function_call_arguments.delta {"item_id":"fc_2","output_index":2,"delta":"{\"city\":"})",
          R"(function_call_arguments.delta {"item_id":"fc_2","output_index":2,"delta":"\"Paris\"}"})",
          R"(function_call_arguments.done {"item_id":"fc_2","output_index":2,"name":"get_weather","arguments":"{\"city\":\"Paris\"}"})",
          R"(output_item.done {"output_index":2,"item":{"id":"fc_2","type":"function_call","call_id":"c0","name":"get_weather","arguments":"{\"city\":\"Paris\"}","status":"completed"}})",
          R"(completed "completed")"));
  EXPECT_EQ(last["temperature"], 0.5);
  EXPECT_EQ(last["usage"]["total_tokens"], 17);
  EXPECT_EQ(last["output"].size(), 3u);
}

TEST(ResponseStream, SaysWhatIsIncomplete) {
  std::vector<AnswerDelta> deltas = call_deltas(0, "c0", {"{\"a"}, "\":null}");
  const ResponseFormatOptions options{.new_id = counting_ids()};
  const AnswerFinish finish{AnswerEnd::kLength, {}};
  const Json streamed = events_of(stream_text(*response_stream(kIdentity, options), deltas, finish)).back().data;
  EXPECT_EQ(streamed["type"], "response.incomplete");
  EXPECT_EQ(streamed["response"]["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(streamed["response"]["output"][0]["status"], "incomplete");
  EXPECT_EQ(streamed["response"]["output"][0]["arguments"], "{\"a");
}

// ---- all ----

// Random answers of all kinds.
std::vector<AnswerDelta> random_answer(std::mt19937& random) {
  const auto any = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<AnswerDelta> out;
  int calls = 0;
  for (int part = any(5); part >= 0; --part) {
    if (any(3) == 0) {
      const int cuts = any(3);
      std::vector<std::string> arguments = {"{"};
      for (int i = 0; i < cuts; ++i)
        arguments.push_back(std::string(i > 0 ? "," : "") + "\"k" + std::to_string(i) + "\":\"é\\n\"");
      arguments.emplace_back("}");
      for (AnswerDelta& delta : call_deltas(calls, "c" + std::to_string(calls), arguments))
        out.push_back(std::move(delta));
      ++calls;
    } else {
      const DeltaKind kind = any(2) == 0 ? DeltaKind::kReasoning : DeltaKind::kContent;
      for (int i = any(4); i >= 0; --i)
        out.push_back(text_delta(
            kind, std::string(1, static_cast<char>('a' + any(26))) + (any(4) == 0 ? "\r\n\xE2\x82\xAC" : "")));
    }
  }
  return out;
}

Json joined_chat(const std::string& text) {
  Json message = {{"content", nullptr}, {"reasoning_content", nullptr}, {"tool_calls", Json::array()}};
  bool content = false;
  for (const Event& event : events_of(text)) {
    if (event.data.is_string()) continue;
    const Json& delta = event.data["choices"][0]["delta"];
    for (const char* name : {"content", "reasoning_content"}) {
      if (!delta.contains(name)) continue;
      if (message[name].is_null()) message[name] = "";
      message[name] = message[name].get<std::string>() + delta[name].get<std::string>();
    }
    content |= delta.contains("content") && delta["content"] != "";
    if (!delta.contains("tool_calls")) continue;
    const Json& call = delta["tool_calls"][0];
    if (call.contains("id")) {
      message["tool_calls"].push_back({{"id", call["id"]}, {"type", call["type"]}, {"function", call["function"]}});
    } else {
      Json& arguments = message["tool_calls"][call["index"].get<size_t>()]["function"]["arguments"];
      arguments = arguments.get<std::string>() + call["function"]["arguments"].get<std::string>();
    }
  }
  if (!content && !message["tool_calls"].empty()) message["content"] = nullptr;
  return message;
}

Json joined_message(const std::string& text) {
  Json blocks = Json::array();
  std::vector<std::string> inputs;
  for (const Event& event : events_of(text)) {
    const Json& data = event.data;
    if (event.name == "content_block_start") {
      EXPECT_EQ(data["index"], blocks.size());
      blocks.push_back(data["content_block"]);
      inputs.emplace_back();
    } else if (event.name == "content_block_delta") {
      EXPECT_EQ(data["index"], blocks.size() - 1);
      const Json& delta = data["delta"];
      for (const char* name : {"text", "thinking", "signature"}) {
        if (delta.contains(name))
          blocks.back()[name] = blocks.back()[name].get<std::string>() + delta[name].get<std::string>();
      }
      if (delta.contains("partial_json")) inputs.back() += delta["partial_json"];
    } else if (event.name == "content_block_stop" && blocks.back()["type"] == "tool_use") {
      blocks.back()["input"] = parse_json(inputs.back(), "input");
    }
  }
  return blocks;
}

TEST(Responses, TellCallsOfNamespacesByBothNames) {
  const std::vector<AnswerDelta> deltas = full_answer();
  const Answer answer = answer_of(deltas, {AnswerEnd::kToolCalls, {}});
  const NamespacedTools tools = {{answer.parts.back().name, {"mcp__weather__", "get"}}};
  const ResponseFormatOptions options{.namespaced = tools, .new_id = counting_ids()};
  const Json call = response_object(kIdentity, options, answer, kUsage)["output"].back();
  EXPECT_EQ(call["namespace"], "mcp__weather__");
  EXPECT_EQ(call["name"], "get");
  int told = 0;
  for (const Event& event :
       events_of(stream_text(*response_stream(kIdentity, options), deltas, {AnswerEnd::kToolCalls, {}}))) {
    if (event.name == "response.function_call_arguments.done") {
      EXPECT_EQ(event.data["name"], "get");
    }
    if (!event.data.contains("item") || event.data["item"]["type"] != "function_call") continue;
    EXPECT_EQ(event.data["item"]["namespace"], "mcp__weather__");
    EXPECT_EQ(event.data["item"]["name"], "get");
    ++told;
  }
  EXPECT_EQ(told, 2);
}

TEST(EventWriters, PutTogetherAreTheObject) {
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    const std::vector<AnswerDelta> deltas = random_answer(random);
    const AnswerFinish finish{i % 2 == 0 ? AnswerEnd::kStop : AnswerEnd::kLength, {}};
    const Answer answer = answer_of(deltas, finish);

    const Json chat = joined_chat(stream_text(*chat_stream(kIdentity, {}), deltas, finish));
    const Json object = chat_object(kIdentity, {}, {answer}, kUsage)["choices"][0]["message"];
    EXPECT_EQ(chat["content"], object["content"]);
    EXPECT_EQ(chat["reasoning_content"], object.value("reasoning_content", Json()));
    EXPECT_EQ(chat["tool_calls"], object.value("tool_calls", Json::array()));

    EXPECT_EQ(joined_message(stream_text(*message_stream(kIdentity, {}), deltas, finish)),
              message_object(kIdentity, {}, answer, kUsage)["content"]);

    const Json last =
        events_of(stream_text(*response_stream(kIdentity, {.new_id = counting_ids()}), deltas, finish)).back().data;
    EXPECT_EQ(last["response"], response_object(kIdentity, {.new_id = counting_ids()}, answer, kUsage));
  }
}

}  // namespace
}  // namespace glimmer::serve
