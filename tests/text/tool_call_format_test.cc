// Templates render an assistant's turn, and the parser reads back what a model that writes so would have generated.
#include "text/tool_call_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "text/chat_template.h"
#include "text/output_parser.h"
#include "text/output_parser_fixture.h"
#include "text/stream_decoder.h"
#include "text/tool_turns.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

// INTELLECT-3's way of writing: Qwen3-Coder's calls, with thinking; what is neither a string nor a container is written
// as Python prints it.
constexpr std::string_view kQwen3CoderStyle = R"(
{%- for message in messages -%}
{{- '<|im_start|>' + message.role -}}
{%- if message.role == 'assistant' -%}
{{- '\n<think>' + (message.reasoning_content or '') + '</think>' -}}
{%- endif -%}
{{- ('\n' + message.content if message.content else '') -}}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function -%}
{{- '\n<tool_call>\n<function=' + call.name + '>\n' -}}
{%- for key, value in call.arguments.items() -%}
{{- '<parameter=' + key + '>\n' -}}
{{- value | tojson(ensure_ascii=False) if value is mapping or (value is iterable and value is not string) else value | string -}}
{{- '\n</parameter>\n' -}}
{%- endfor -%}
{{- '</function>\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\n<think>' -}}
{%- endif -%}
)";

// The published templates are not part of the repository.
fs::path shared_templates() {
  const char* named = std::getenv("GLIMMER_SHARED_DATA");
  return (named != nullptr ? fs::path(named) : fs::path(GLIMMER_SOURCE_DIR) / ".." / "shared" / "data") / "templates";
}

const std::vector<Json>& turns() {
  static const std::vector<Json> turns = [] {
    std::vector<Json> out;
    const Json parsed = Json::parse(R"json([
      {"content": "Hello there.", "tool_calls": []},
      {"content": "", "tool_calls": [{"name": "now", "arguments": {}}]},
      {"content": "", "tool_calls": [{"name": "get_weather", "arguments": {"city": "北京 \"é\" 🙂", "days": 3}},
                                     {"name": "now", "arguments": {}},
                                     {"name": "get_weather", "arguments": {"city": "007"}}]},
      {"content": "Let me look:\n- first", "tool_calls": [{"name": "get_weather", "arguments": {
         "city": "true", "temp": -0.25, "metric": false, "nothing": null, "note": null, "tags": ["a", "b\n", "</x>"],
         "opts": {"a": [1, true, null, "é"], "b": {}}, "at": {"x": 5}, "loop": [1], "unit": "celsius", "level": "1",
         "either": true, "maybe": null}}]},
      {"content": "", "tool_calls": [{"name": "write_file", "arguments": {
         "path": "a/b.json", "content": "  {\"x\": 1}\n\n\tif (a < b) c</d>\\n\r\n<arg_key>k</arg_key> </parameter> end  "}}]},
      {"content": "", "tool_calls": [{"name": "write_file", "arguments": {"path": "", "content": "null"}}]}
    ])json");
    for (const Json& turn : parsed) {
      for (const char* reasoning : {"", "Think:\n 1 < 2, \"so\" 你好."}) {
        Json message = {{"role", "assistant"}, {"content", turn["content"]}, {"reasoning_content", reasoning}};
        for (const Json& call : turn["tool_calls"]) {
          message["tool_calls"].push_back({{"id", "c"}, {"type", "function"}, {"function", call}});
        }
        out.push_back(std::move(message));
      }
    }
    return out;
  }();
  return turns;
}

// What the template writes behind the generation prompt for this turn, and whether that opens reasoning.
struct Generated {
  std::string text;
  bool in_reasoning = false;
};

Generated generated_by(const ChatTemplate& chat_template, const Json& turn, const Json& arguments) {
  Json inputs = arguments;
  inputs["tools"] = weather_tools();
  inputs["messages"] = {{{"role", "user"}, {"content", "Hi"}}};
  inputs["add_generation_prompt"] = true;
  std::string prompt = chat_template.render(inputs);
  inputs["messages"].push_back(turn);
  inputs["add_generation_prompt"] = false;
  const std::string whole = chat_template.render(inputs);
  const bool in_reasoning = prompt_opens_reasoning(prompt);
  // A turn without reasoning is </think> alone in the history of GLM-4.7, where the prompt has <think>.
  if (in_reasoning && !whole.starts_with(prompt)) prompt.resize(prompt.rfind("<think>"));
  EXPECT_TRUE(whole.starts_with(prompt)) << prompt << "\n----\n" << whole;
  std::string text = whole.substr(std::min(prompt.size(), whole.size()));
  if (const size_t end = text.find("<|im_end|>"); end != std::string::npos) text.resize(end);
  return {text, in_reasoning};
}

void expect_round_trip(const ChatTemplate& chat_template, const Json& turn, const Json& arguments) {
  SCOPED_TRACE(chat_template.source() + ' ' + dump_json(arguments) + ' ' + dump_json(turn));
  const Generated generated = generated_by(chat_template, turn, arguments);
  OutputParserOptions options = with_tools(detect_tool_call_format(chat_template));
  options.starts_in_reasoning = generated.in_reasoning;
  const ParsedOutput parsed = parse_output(generated.text, options);
  EXPECT_EQ(parsed.reasoning, turn["reasoning_content"].get<std::string>());
  EXPECT_EQ(parsed.content, turn["content"].get<std::string>());
  EXPECT_THAT(parsed.diagnostics, ::testing::IsEmpty());
  const Json calls = turn.value("tool_calls", Json::array());
  ASSERT_EQ(parsed.calls.size(), calls.size()) << generated.text;
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(parsed.calls[i].name, calls[i]["function"]["name"].get<std::string>());
    EXPECT_EQ(parse_json(parsed.calls[i].arguments, "arguments"), calls[i]["function"]["arguments"]);
  }
  expect_same_for_every_cut(generated.text, options, OutputEnd::kStop);
}

void expect_round_trips(const ChatTemplate& chat_template) {
  for (const Json& turn : turns()) {
    expect_round_trip(chat_template, turn, Json::object());
    if (turn["reasoning_content"] == "") expect_round_trip(chat_template, turn, {{"enable_thinking", false}});
    expect_round_trip(chat_template, turn, {{"clear_thinking", false}});
  }
}

// GLM-4-0414's way of writing, with its own members of messages: a call is a turn with "metadata", and its result one
// of "observation".
constexpr std::string_view k0414Style = R"(
{%- if tools %}<|system|>
# tools
{%- for tool in tools %}
{%- set function = tool.function if tool.get("function") else tool %}

## {{ function.name }}
{%- endfor %}{% endif -%}
{%- for message in messages %}
{%- set meta = message.get("metadata", "") %}
{%- if message.role in ['system', 'user', 'observation'] %}<|{{ message.role }}|>
{{ message.content }}
{%- elif message.role == 'assistant' %}<|assistant|>{{ meta }}
{{ message.content }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %})";

// glm-4-9b-chat's: the tools are a member of the first message.
constexpr std::string_view k9bChatStyle =
    "[gMASK]<sop>{% for item in messages %}{% if item['tools'] is defined %}<|system|>\n# tools"
    "{% for tool in item['tools'] %}{% if tool['type'] == 'function' %}\n\n## {{ tool['function']['name'] }}{% endif %}"
    "{% endfor %}{% endif %}{% if item['content'] %}<|{{ item['role'] }}|>{{ item['metadata'] }}\n{{ item['content'] }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

// The history of a turn, cut at its end, is what the model would have written; each call is read back.
void expect_metadata_round_trips(const ChatTemplate& chat_template) {
  const ToolTurns form = detect_tool_turns(chat_template);
  EXPECT_TRUE(form.as_metadata);
  for (const Json& turn : turns()) {
    SCOPED_TRACE(chat_template.source() + ' ' + dump_json(turn));
    const Json user = {{"role", "user"}, {"content", "Hi"}};
    const auto render = [&](const Json& messages) {
      return chat_template.render(
          with_tool_turns(form, {{"messages", messages}, {"tools", Json::array({weather_tools()[0]})}}));
    };
    const std::string prompt = render(Json::array({user})) + "<|assistant|>";
    const std::string whole = render(Json::array({user, turn}));
    ASSERT_TRUE(whole.starts_with(prompt)) << whole;
    const OutputParserOptions options = glm_metadata();
    const ParsedOutput parsed = parse_output(whole.substr(prompt.size()), options);
    EXPECT_EQ(parsed.content, turn["content"].get<std::string>());
    EXPECT_THAT(parsed.diagnostics, ::testing::IsEmpty());
    const Json calls = turn.value("tool_calls", Json::array());
    ASSERT_EQ(parsed.calls.size(), calls.size()) << whole;
    for (size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(parsed.calls[i].name, calls[i]["function"]["name"].get<std::string>());
      EXPECT_EQ(parse_json(parsed.calls[i].arguments, "arguments"), calls[i]["function"]["arguments"]);
    }
    expect_same_for_every_cut(whole.substr(prompt.size()), options, OutputEnd::kStop);
  }
}

ChatTemplate demo_template() { return ChatTemplate::load(fs::path(GLIMMER_SOURCE_DIR "/models/demo")); }

TEST(ToolCallFormat, OfTheDemoModel) {
  EXPECT_EQ(detect_tool_call_format(demo_template()), ToolCallFormat::kGlmXml);
  expect_round_trips(demo_template());
}

// What the demo model really answered (greedily, as transformers runs it), from its template to the calls, token by
// token.
TEST(ToolCallFormat, OfTheDemoModelsAnswers) {
  const fs::path folder = GLIMMER_SOURCE_DIR "/models/demo";
  const ChatTemplate chat_template = demo_template();
  const ToolCallFormat format = detect_tool_call_format(chat_template);
  const Tokenizer tokenizer = Tokenizer::from_file(folder);
  std::ifstream cases(folder / "eval" / "skills.jsonl");
  int with_calls = 0;
  for (std::string line; std::getline(cases, line);) {
    const Json test = Json::parse(line);
    const Json& inputs = test["inputs"];
    const Json& check = test["check"];
    SCOPED_TRACE(dump_json(inputs));
    const bool in_reasoning = prompt_opens_reasoning(chat_template.render(inputs));
    EXPECT_EQ(in_reasoning, inputs["enable_thinking"].get<bool>());
    OutputParser parser({.format = format,
                         .starts_in_reasoning = in_reasoning,
                         .tools = std::make_shared<const ToolSchemas>(inputs.value("tools", Json::array()))});
    ParsedOutput parsed;
    StreamDecoder decoder(tokenizer, {.skip_special = false});
    std::vector<int32_t> ids = test["reference_ids"];
    ids.pop_back();  // EOS
    for (const int32_t id : ids) parsed.add(parser.feed(decoder.push(id)));
    parsed.add(parser.finish(OutputEnd::kStop));
    EXPECT_THAT(parsed.diagnostics, ::testing::IsEmpty());
    EXPECT_EQ(parsed.reasoning.empty(), !in_reasoning);
    EXPECT_EQ(parsed.content.find("<"), std::string::npos) << parsed.content;
    if (check["kind"] == "equals") {
      EXPECT_EQ(parsed.content, check["value"].get<std::string>());
    }
    if (check["kind"] != "tool_call") {
      EXPECT_TRUE(parsed.calls.empty());
      continue;
    }
    ++with_calls;
    ASSERT_EQ(parsed.calls.size(), check["calls"].size());
    for (size_t i = 0; i < parsed.calls.size(); ++i) {
      EXPECT_EQ(parsed.calls[i].name, check["calls"][i]["name"].get<std::string>());
      EXPECT_EQ(nlohmann::json::parse(parsed.calls[i].arguments), nlohmann::json(check["calls"][i]["arguments"]));
    }
  }
  EXPECT_GE(with_calls, 5);
}

TEST(ToolCallFormat, OfQwen3CodersStyle) {
  const ChatTemplate chat_template(kQwen3CoderStyle, "qwen3_coder_style");
  EXPECT_EQ(detect_tool_call_format(chat_template), ToolCallFormat::kQwen3Coder);
  expect_round_trips(chat_template);
}

TEST(ToolCallFormat, OfPublishedTemplates) {
  const std::vector<std::pair<std::string, ToolCallFormat>> formats = {
      {"glm-4.5.jinja", ToolCallFormat::kGlmXml},
      {"glm-4.7-flash.jinja", ToolCallFormat::kGlmXml},
      {"glm-5.2-unofficial.jinja", ToolCallFormat::kGlmXml},
      {"glm-z1-0414-unofficial.jinja", ToolCallFormat::kGlmMetadata}};
  if (!fs::exists(shared_templates())) {
    std::fprintf(stderr, "NOT RUN: no templates at %s (set GLIMMER_SHARED_DATA)\n", shared_templates().c_str());
    GTEST_SKIP() << "the published templates are not here: set GLIMMER_SHARED_DATA";
  }
  for (const auto& [name, format] : formats) {
    const ChatTemplate chat_template = ChatTemplate::from_file(shared_templates() / name);
    EXPECT_EQ(detect_tool_call_format(chat_template), format) << name;
    if (format == ToolCallFormat::kGlmXml) expect_round_trips(chat_template);
    if (format == ToolCallFormat::kGlmMetadata) expect_metadata_round_trips(chat_template);
  }
}

TEST(ToolCallFormat, OfGlmMetadataStyles) {
  const ChatTemplate of_0414(k0414Style, "0414_style");
  EXPECT_EQ(detect_tool_call_format(of_0414), ToolCallFormat::kGlmMetadata);
  EXPECT_FALSE(detect_tool_turns(of_0414).tools_in_message);
  expect_metadata_round_trips(of_0414);
  const ChatTemplate of_9b_chat(k9bChatStyle, "9b_chat_style");
  EXPECT_EQ(detect_tool_call_format(of_9b_chat), ToolCallFormat::kGlmMetadata);
  EXPECT_TRUE(detect_tool_turns(of_9b_chat).tools_in_message);
  expect_metadata_round_trips(of_9b_chat);
  // One that writes OpenAI's calls so needs no help with them.
  const ChatTemplate of_calls(
      "{% for m in messages %}<|{{ m.role }}|>{% for c in m.tool_calls or [] %}{{ c.function.name }}\n{{ "
      "c.function.arguments "
      "| tojson }}{% endfor %}{% endfor %}{% for t in tools or [] %}{{ t.function.name }}{% endfor %}",
      "calls");
  EXPECT_EQ(detect_tool_call_format(of_calls), ToolCallFormat::kGlmMetadata);
  EXPECT_FALSE(detect_tool_turns(of_calls).as_metadata);
  EXPECT_FALSE(detect_tool_turns(of_calls).tools_in_message);
}

TEST(ToolTurns, AsTheTemplateTakesThem) {
  const Json inputs = Json::parse(R"json({
    "messages": [
      {"role": "user", "content": "Weather?"},
      {"role": "assistant", "content": "Two places.", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "w", "arguments": {"city": "Röm", "n": [1, 2.5]}}},
        {"id": "b", "type": "function", "function": {"name": "w", "arguments": "{\"city\": \"Pisa\"}"}}]},
      {"role": "tool", "tool_call_id": "a", "content": "12 C"},
      {"role": "tool", "tool_call_id": "b", "content": "14 C"},
      {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "now"}}]},
      {"role": "tool", "content": "noon"}],
    "tools": [{"type": "function", "function": {"name": "w"}}, {"type": "function", "function": {"name": "now"}}],
    "add_generation_prompt": true})json");
  const std::string turns =
      "<|user|>\nWeather?<|assistant|>\nTwo places.<|assistant|>w\n{\"city\": \"Röm\", \"n\": [1, 2.5]}<|assistant|>w\n"
      "{\"city\": \"Pisa\"}<|observation|>\n12 C<|observation|>\n14 "
      "C<|assistant|>now\n{}<|observation|>\nnoon<|assistant|>";
  const ChatTemplate of_0414(k0414Style, "0414_style");
  EXPECT_EQ(of_0414.render(with_tool_turns(detect_tool_turns(of_0414), inputs)),
            "<|system|>\n# tools\n## w\n## now" + turns);
  const ChatTemplate of_9b_chat(k9bChatStyle, "9b_chat_style");
  EXPECT_EQ(of_9b_chat.render(with_tool_turns(detect_tool_turns(of_9b_chat), inputs)),
            "[gMASK]<sop><|system|>\n# tools\n## w\n## now" + turns);
  Json with_system = inputs;
  with_system["messages"].insert(with_system["messages"].begin(), Json{{"role", "system"}, {"content", "Be brief."}});
  EXPECT_EQ(of_9b_chat.render(with_tool_turns(detect_tool_turns(of_9b_chat), with_system)),
            "[gMASK]<sop><|system|>\n# tools\n## w\n## now<|system|>\nBe brief." + turns);
  // Templates that know OpenAI's form get it untouched.
  EXPECT_FALSE(detect_tool_turns(demo_template()).as_metadata);
  EXPECT_FALSE(detect_tool_turns(demo_template()).tools_in_message);
  EXPECT_EQ(with_tool_turns({}, inputs), inputs);
}

TEST(ToolCallFormat, ToldByStructure) {
  const auto format = [](std::string_view text) { return detect_tool_call_format(ChatTemplate(text, "t")); };
  const std::string loop = "{% for m in messages %}{% for c in m.tool_calls or [] %}";
  const std::string end = "{% endfor %}{% endfor %}";
  EXPECT_EQ(format("{% for m in messages %}{{ m.content }}{% endfor %}"), ToolCallFormat::kNone);
  EXPECT_EQ(format(loop + "<tool_call>{{ c.function | tojson }}</tool_call>" + end), ToolCallFormat::kNone);
  EXPECT_EQ(format("{{ raise_exception('no tools') }}"), ToolCallFormat::kNone);
  // A mention in the instructions is no proof.
  EXPECT_EQ(format("<tool_call>{function-name}<arg_key>{k}</arg_key><arg_value>{v}</arg_value></tool_call>"),
            ToolCallFormat::kNone);
  EXPECT_EQ(tool_call_format_name(ToolCallFormat::kNone), "none");
  EXPECT_EQ(tool_call_format_name(ToolCallFormat::kGlmXml), "glm_xml");
  EXPECT_EQ(tool_call_format_name(ToolCallFormat::kQwen3Coder), "qwen3_coder");
  EXPECT_EQ(tool_call_format_name(ToolCallFormat::kGlmMetadata), "glm_metadata");
}

}  // namespace
}  // namespace glimmer
