// What agents and the clients of other servers send: fields of theirs, contents in every form, tools that are no
// functions.
#include <gmock/gmock.h>

#include <cmath>

#include "serve/schema_apis.h"

namespace glimmer::serve {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kGenerating[] = {"chat", "completions", "responses", "messages"};

// ---- fields ----

TEST(Fields, HaveOneRowEach) {
  for (const Api& each : apis()) {
    std::set<std::string_view> names;
    for (const FieldSpec& spec : each.table) EXPECT_TRUE(names.insert(spec.name).second) << each.name << spec.name;
  }
}

// What is refused is refused in each form that asks for something, and taken in those that ask for nothing.
TEST(Fields, AreRefusedUnlessTheyAskForNothing) {
  const Json asking[] = {"x", 3, 0.3, true, Json::array({"x"}), {{"type", "object"}}, {{"type", "json_schema"}}, -7};
  int tried = 0;
  for (const Api& each : apis()) {
    for (const FieldSpec& spec : each.table) {
      if (spec.use != FieldUse::kRefused) continue;
      const std::string name(spec.name);
      for (const Json& value : asking) {
        if (std::find(spec.neutral.begin(), spec.neutral.end(), value) != spec.neutral.end()) continue;
        const Refusal found = refusal(each.name, {{name, value}});
        EXPECT_EQ(found.param, name);
        EXPECT_THAT(found.message, HasSubstr("is not supported"));
        ++tried;
      }
      for (const Json& value : spec.neutral) {
        EXPECT_NO_THROW(read(each.name, {{name, value}})) << each.name << " " << name << " " << dump_json(value);
      }
      EXPECT_NO_THROW(read(each.name, {{name, nullptr}})) << name;
    }
  }
  EXPECT_GT(tried, 1000);
}

TEST(Fields, AreIgnoredWhateverTheySay) {
  for (const Api& each : apis()) {
    for (const FieldSpec& spec : each.table) {
      if (spec.use != FieldUse::kIgnored) continue;
      const Json values[] = {"x", 3, 0.3, true, Json::array({"x"}), {{"a", 1}}};
      for (const Json& value : values) {
        EXPECT_NO_THROW(read(each.name, {{std::string(spec.name), value}})) << each.name << " " << spec.name;
      }
    }
  }
}

TEST(Fields, ThatBindTheAnswerAreRefusedInEveryApi) {
  const std::pair<const char*, Json> binding[] = {
      {"guided_json", {{"type", "object"}}},
      {"guided_json", Json::object()},  // any JSON is not any text
      {"guided_json", "{}"},
      {"guided_regex", "[0-9]+"},
      {"guided_choice", {"a", "b"}},
      {"guided_grammar", "root ::= \"a\""},
      {"structured_outputs", {{"choice", {"a"}}, {"json", nullptr}}},
      {"grammar", "root ::= \"a\""},
      {"json_schema", Json::object()},
      {"regex", "a*"},
      {"ebnf", "root ::= \"a\""},
      {"format", "json"},
      {"format", {{"type", "object"}}},
      {"output_format", {{"type", "json_schema"}, {"schema", Json::object()}}},
      {"response_format", {{"type", "json_object"}}},
      {"response_format", {{"type", "grammar"}, {"grammar", "x"}}},
      {"min_tokens", 1},
      {"bad_words", {"x"}},
      {"allowed_token_ids", {1}},
      {"stop_regex", "a+"},
      {"logits_processors", {"x"}}};
  for (const char* name : kGenerating) {
    for (const auto& [field, value] : binding) EXPECT_EQ(refusal(name, {{field, value}}).param, field) << name;
    EXPECT_THAT(refusal(name, {{"text", {{"format", {{"type", "json_schema"}}}}}}).message,
                HasSubstr("structured output"));
    EXPECT_THAT(refusal(name, {{"output_config", {{"format", {{"type", "json_schema"}}}}}}).message,
                HasSubstr("structured output"));
    EXPECT_NO_THROW(read(name, {{"structured_outputs", {{"json", nullptr}, {"regex", nullptr}}}}));
    EXPECT_NO_THROW(
        read(name, {{"response_format", {{"type", "text"}}}, {"min_tokens", 0}, {"bad_words", Json::array()}}));
  }
}

TEST(Fields, OfOtherServersSamplingAreRefusedUnlessTheyAreOff) {
  const std::pair<const char*, Json> changing[] = {
      {"typical_p", 0.5},   {"mirostat", 2},  {"dry_multiplier", 0.8}, {"xtc_probability", 0.5},
      {"top_a", 0.2},       {"tfs_z", 0.9},   {"dynatemp_range", 0.5}, {"no_repeat_ngram_size", 3},
      {"top_n_sigma", 1},   {"num_beams", 4}, {"best_of", 3},          {"use_beam_search", true},
      {"guidance_scale", 2}};
  for (const char* name : kGenerating) {
    for (const auto& [field, value] : changing) EXPECT_EQ(refusal(name, {{field, value}}).param, field) << name;
    // What llama-server's own page sends with each request.
    EXPECT_NO_THROW(read(name, {{"typical_p", 1},
                                {"mirostat", 0},
                                {"mirostat_tau", 5},
                                {"dry_multiplier", 0},
                                {"dry_base", 1.75},
                                {"dry_allowed_length", 2},
                                {"xtc_probability", 0},
                                {"xtc_threshold", 0.1},
                                {"dynatemp_range", 0},
                                {"repeat_last_n", 64},
                                {"repeat_penalty", 1.0},
                                {"top_n_sigma", -1.0},
                                {"cache_prompt", true},
                                {"samplers", {"top_k"}},
                                {"timings_per_token", true}}));
  }
}

TEST(Fields, HaveOtherServersNames) {
  for (const char* name : kGenerating) {
    EXPECT_EQ(read(name, {{"repeat_penalty", 1.3}}).sampling.repetition_penalty, 1.3);
    EXPECT_EQ(read(name, {{"repeat_penalty", 1.5}, {"repetition_penalty", 1.5}}).sampling.repetition_penalty, 1.5);
    EXPECT_EQ(refusal(name, {{"repeat_penalty", 1.3}, {"repetition_penalty", 1.2}}).param, "repeat_penalty");
    EXPECT_EQ(read(name, {{"presence_penalty", 1.5}}).sampling.presence_penalty, 1.5);
    EXPECT_EQ(read(name, {{"repeat_last_n", -1}, {"repeat_penalty", 1.3}}).sampling.repetition_penalty, 1.3);
    EXPECT_EQ(read(name, {{"repeat_last_n", 0}, {"repeat_penalty", 1.3}}).sampling.repetition_penalty, 1);
    EXPECT_EQ(refusal(name, {{"repeat_last_n", 64}, {"repeat_penalty", 1.3}}).param, "repeat_last_n");
    EXPECT_EQ(read(name, {{"random_seed", 5}}).sampling.seed, 5u);
    EXPECT_EQ(read(name, {{"seed", -1}}).sampling.seed, std::nullopt);
    EXPECT_THAT(read(name, {{"stop", "x"}}).stop, ElementsAre("x"));
    EXPECT_THAT(read(name, {{"stop_sequences", {"x", "y"}}}).stop, ElementsAre("x", "y"));
    EXPECT_EQ(refusal(name, {{"stop", {"x"}}, {"stop_sequences", {"y"}}}).param, "stop_sequences");
  }
}

TEST(Fields, OfLengthTakeNoLimit) {
  for (const char* field : {"max_tokens", "max_completion_tokens", "max_new_tokens", "n_predict", "num_predict"}) {
    for (const char* name : {"chat", "completions", "responses"}) {
      EXPECT_EQ(read(name, {{field, -1}}).max_new_tokens, std::nullopt) << name << field;
      EXPECT_EQ(read(name, {{field, 5}}).max_new_tokens, 5) << name << field;
      EXPECT_EQ(refusal(name, {{field, -3}}).param, field);
    }
    EXPECT_EQ(refusal("chat", {{field, 0}}).param, field);
  }
  EXPECT_EQ(read("responses", {{"max_output_tokens", -1}}).max_new_tokens, std::nullopt);
  EXPECT_EQ(read("messages", {{"max_tokens", -1}}).max_new_tokens, std::nullopt);
  EXPECT_EQ(read("chat", {{"n_predict", -2}}).max_new_tokens, std::nullopt);
  EXPECT_EQ(read("completions", {{"n_predict", 0}}).max_new_tokens, 0);
}

TEST(Fields, SwitchThinkingInEveryWord) {
  EXPECT_EQ(read("chat", {{"enable_thinking", false}}).chat().thinking, false);
  EXPECT_EQ(read("chat", {{"reasoning", {{"enabled", false}}}}).chat().thinking, false);
  EXPECT_EQ(read("chat", {{"reasoning", {{"effort", "high"}}}}).chat().thinking, true);
  for (const char* word : {"none", "auto", "concise", "detailed"}) {
    EXPECT_NO_THROW(read("responses", {{"reasoning", {{"summary", word}}}})) << word;
  }
}

// ---- tool_choice ----

Json declared(const char* name, const std::string& tool) {
  const Json schema = {{"type", "object"}};
  if (name == std::string("messages")) return {{"name", tool}, {"input_schema", schema}};
  if (name == std::string("responses")) return {{"type", "function"}, {"name", tool}, {"parameters", schema}};
  return {{"type", "function"}, {"function", {{"name", tool}, {"parameters", schema}}}};
}

TEST(ToolChoice, HasOneMeaningInEverySpelling) {
  for (const char* name : {"chat", "responses", "messages"}) {
    const Json tools = {declared(name, "a"), declared(name, "b")};
    const auto count = [&](const Json& choice) {
      return read(name, {{"tools", tools}, {"tool_choice", choice}}).chat().tools.size();
    };
    EXPECT_EQ(count("auto"), 2u);
    EXPECT_EQ(count({{"type", "auto"}}), 2u);
    EXPECT_EQ(count("none"), 0u);
    EXPECT_EQ(count({{"type", "none"}}), 0u);
    EXPECT_FALSE(
        read(name, {{"tool_choice", {{"type", "auto"}, {"disable_parallel_tool_use", true}}}}).parallel_tool_calls);
    for (const Json& choice : {Json("required"), Json("any"), Json{{"type", "any"}}, Json{{"type", "required"}},
                               Json{{"type", "tool"}, {"name", "a"}}, Json{{"type", "function"}, {"name", "a"}},
                               Json{{"type", "function"}, {"function", {{"name", "a"}}}},
                               Json{{"function", {{"name", "a"}}}}, Json{{"type", "custom"}, {"name", "a"}}}) {
      const Refusal found = refusal(name, {{"tools", tools}, {"tool_choice", choice}});
      EXPECT_EQ(found.param, "tool_choice") << dump_json(choice);
      EXPECT_THAT(found.message, HasSubstr("structured output")) << dump_json(choice);
    }
    EXPECT_EQ(refusal(name, {{"tool_choice", "perhaps"}}).param, "tool_choice");
    EXPECT_EQ(refusal(name, {{"tool_choice", {{"type", "web_search"}}}}).param, "tool_choice.type");
  }
}

// ---- content ----

// The one message of a conversation with this content.
ChatMessage message_of(const char* name, const char* role, const Json& content) {
  // Braces around one part are no list of it.
  const Json message = {{"role", role}, {"content", content.is_object() ? Json::array({content}) : content}};
  const Json list = Json::array({{{"role", "user"}, {"content", "hi"}}, message});
  return read(name, {{name == std::string("responses") ? "input" : "messages", list}}).chat().messages.back();
}

TEST(Content, MayBeNullOrAbsent) {
  for (const char* name : {"chat", "responses", "messages"}) {
    const char* field = name == std::string("responses") ? "input" : "messages";
    for (const char* role : {"user", "assistant", "system"}) {
      const Json absent = {{{"role", role}}, {{"role", "user"}, {"content", "hi"}}};
      EXPECT_NO_THROW(read(name, {{field, absent}})) << name << role;
      const Json null = {{{"role", role}, {"content", nullptr}}, {{"role", "user"}, {"content", "hi"}}};
      EXPECT_NO_THROW(read(name, {{field, null}})) << name << role;
      const Json null_part = {{{"role", role}, {"content", {{{"type", "text"}, {"text", nullptr}}}}},
                              {{"role", "user"}, {"content", "hi"}}};
      EXPECT_NO_THROW(read(name, {{field, null_part}})) << name << role;
    }
  }
  for (const char* role : {"tool", "function", "developer"}) {
    EXPECT_EQ(message_of("chat", role, nullptr).content, "");
  }
  const Json output = {{{"role", "user"}, {"content", "hi"}}, {{"type", "function_call_output"}, {"call_id", "c"}}};
  EXPECT_EQ(read("responses", {{"input", output}}).chat().messages.back().content, "");
}

TEST(Content, IsTextInPartsOfEveryApi) {
  for (const char* name : {"chat", "responses", "messages"}) {
    for (const char* role : {"user", "assistant", "system"}) {
      for (const char* type : {"text", "input_text", "output_text"}) {
        EXPECT_THAT(message_of(name, role, {{{"type", type}, {"text", "yes"}}}).content, HasSubstr("yes"))
            << name << role << type;
      }
    }
    EXPECT_THAT(message_of(name, "user", {{{"type", "refusal"}, {"refusal", "no"}}}).content, HasSubstr("no"));
  }
}

TEST(Content, HasReasoningInParts) {
  const Json text = {{"type", "text"}, {"text", "Hello"}};
  const Json thoughts[] = {{{"type", "thinking"}, {"thinking", "hm"}},
                           {{"type", "thinking"}, {"thinking", {{{"type", "text"}, {"text", "hm"}}}}},
                           {{"type", "reasoning"}, {"reasoning", "hm"}},
                           {{"type", "reasoning"}, {"text", "hm"}},
                           {{"type", "reasoning"}, {"summary", {{{"type", "summary_text"}, {"text", "hm"}}}}},
                           {{"type", "reasoning_text"}, {"text", "hm"}}};
  for (const char* name : {"chat", "responses", "messages"}) {
    for (const Json& thought : thoughts) {
      const ChatMessage message = message_of(name, "assistant", {thought, text});
      EXPECT_EQ(message.reasoning, "hm") << dump_json(thought);
      EXPECT_EQ(message.content, "Hello");
      EXPECT_THAT(message_of(name, "user", {thought, text}).content, HasSubstr("Hello"));
    }
  }
  const auto reasoning = [](const Json& fields) {
    Json message = {{"role", "assistant"}, {"content", "Hello"}};
    message.update(fields);
    return read("chat", {{"messages", {message, user_message()[0]}}}).chat().messages.front().reasoning;
  };
  EXPECT_EQ(reasoning({{"thinking", "hm"}}), "hm");
  EXPECT_EQ(reasoning({{"reasoning", "hm"}}), "hm");
  EXPECT_EQ(reasoning({{"thinking_blocks", {{{"type", "thinking"}, {"thinking", "hm"}, {"signature", "s"}}}}}), "hm");
  EXPECT_EQ(reasoning({{"reasoning_details", {{{"type", "reasoning.text"}, {"text", "hm"}}}}}), "hm");
}

TEST(Content, SaysWhereMediaWereOrRefusesThem) {
  const Json media[] = {{{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,AAAA"}}}},
                        {{"type", "input_image"}, {"image_url", "data:image/png;base64,AAAA"}},
                        {{"type", "image"}, {"source", {{"type", "base64"}, {"data", "AAAA"}}}},
                        {{"type", "document"}, {"source", {{"type", "base64"}, {"data", "AAAA"}}}, {"title", "a.pdf"}},
                        {{"type", "document"}, {"source", {{"type", "url"}, {"url", "https://x"}}}},
                        {{"type", "input_file"}, {"file_data", "AAAA"}, {"filename", "a.pdf"}},
                        {{"type", "file"}, {"file", {{"file_data", "AAAA"}, {"filename", "a.pdf"}}}},
                        {{"type", "input_audio"}, {"input_audio", {{"data", "AAAA"}, {"format", "wav"}}}},
                        {{"type", "video_url"}, {"video_url", {{"url", "https://x"}}}}};
  const ApiLimits strict{.media = MediaPolicy::kRefuse};
  for (const char* name : {"chat", "responses", "messages"}) {
    const char* field = name == std::string("responses") ? "input" : "messages";
    for (const Json& part : media) {
      const Json list = Json::array({{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "Look:"}}, part}}}});
      std::vector<std::string> remarks;
      const std::string text = read(name, {{field, list}}, &remarks).chat().messages.back().content;
      EXPECT_THAT(text, HasSubstr("Look:\n[")) << name;
      EXPECT_THAT(text, HasSubstr("left out")) << name;
      EXPECT_THAT(text, ::testing::Not(HasSubstr("AAAA")));
      EXPECT_THAT(remarks, Contains(HasSubstr("content[1]: left out")));
      EXPECT_EQ(refusal(name, {{field, list}}, strict).param, std::string(field) + "[0].content[1]");
    }
  }
  EXPECT_THAT(message_of("chat", "user", {media[6]}).content, HasSubstr("a.pdf"));
  EXPECT_THAT(message_of("chat", "tool", {media[0]}).content, HasSubstr("image left out"));
  EXPECT_THAT(message_of("chat", "tool", {{{"type", "smell"}}}).content, HasSubstr("smell"));
}

TEST(Content, ReadsDocumentsThatAreText) {
  const Json document = {{"type", "document"},
                         {"title", "Notes"},
                         {"source", {{"type", "text"}, {"media_type", "text/plain"}, {"data", "The sky is blue."}}}};
  EXPECT_EQ(message_of("messages", "user", {document}).content, "hi\nNotes\nThe sky is blue.");
  const Json blocks = {{"type", "document"},
                       {"source", {{"type", "content"}, {"content", {{{"type", "text"}, {"text", "Rain."}}}}}}};
  EXPECT_THAT(message_of("messages", "user", {blocks}).content, HasSubstr("Rain."));
  const Json found = {{"type", "search_result"},
                      {"source", "https://example.com"},
                      {"title", "Weather"},
                      {"content", {{{"type", "text"}, {"text", "Snow."}}}}};
  EXPECT_THAT(message_of("messages", "user", {found}).content, HasSubstr("Weather\nhttps://example.com\nSnow."));
  const ApiLimits strict{.media = MediaPolicy::kRefuse};
  const Json messages = Json::array({{{"role", "user"}, {"content", Json::array({document, found})}}});
  EXPECT_NO_THROW(read("messages", {{"messages", messages}}, nullptr, strict));
}

// ---- calls in the history ----

TEST(Calls, WithoutArgumentsAreCallsWithNone) {
  const auto arguments = [](const Json& fields) {
    Json function = {{"name", "f"}};
    function.update(fields);
    const Json message = {{"role", "assistant"}, {"tool_calls", {{{"id", "c"}, {"function", function}}}}};
    return read("chat", {{"messages", {message, user_message()[0]}}}).chat().messages[0].tool_calls.at(0).arguments;
  };
  for (const Json& none : {Json("null"), Json(""), Json(" \n"), Json("{}"), Json("[]"), Json(" null "), Json(nullptr),
                           Json::object(), Json(Json::array())}) {
    EXPECT_EQ(arguments({{"arguments", none}}), Json::object()) << dump_json(none);
  }
  EXPECT_EQ(arguments(Json::object()), Json::object());
  EXPECT_EQ(arguments({{"arguments", "[1]"}}), Json({{"arguments", "[1]"}}));
  EXPECT_EQ(arguments({{"arguments", {{"a", 1}}}}), Json({{"a", 1}}));
  for (const Json& none : {Json(nullptr), Json(""), Json("null"), Json(Json::array())}) {
    const Json use = {{"type", "tool_use"}, {"id", "t"}, {"name", "f"}, {"input", none}};
    const Json messages = {{{"role", "assistant"}, {"content", {use}}},
                           {{"role", "user"}, {"content", {{{"type", "tool_result"}, {"tool_use_id", "t"}}}}}};
    EXPECT_EQ(read("messages", {{"messages", messages}}).chat().messages[0].tool_calls.at(0).arguments, Json::object());
  }
}

TEST(Calls, OfOldAndCustomFormsAreCalls) {
  const Json messages = {
      {{"role", "assistant"}, {"function_call", {{"name", "f"}, {"arguments", "{\"a\":1}"}}}},
      {{"role", "function"}, {"name", "f"}, {"content", "done"}},
      {{"role", "assistant"},
       {"tool_calls", {{{"id", "c"}, {"type", "custom"}, {"custom", {{"name", "g"}, {"input", "x y"}}}}}}},
      {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "ok"}}};
  const Chat chat = read("chat", {{"messages", messages}}).chat();
  EXPECT_EQ(chat.messages[0].tool_calls.at(0).arguments, Json({{"a", 1}}));
  EXPECT_EQ(chat.messages[1].role, ChatMessage::Role::kTool);
  EXPECT_EQ(chat.messages[2].tool_calls.at(0).arguments, Json({{"input", "x y"}}));
}

// ---- tools that are no functions ----

std::vector<std::string> tool_names(const Chat& chat) {
  std::vector<std::string> names;
  for (const Json& tool : chat.tools) names.push_back(tool["function"]["name"]);
  return names;
}

TEST(Tools, ThatAreNoFunctionsAreLeftOut) {
  for (const char* type : {"custom", "web_search", "web_search_preview_2025_03_11", "local_shell", "shell",
                           "apply_patch", "mcp", "file_search", "code_interpreter", "image_generation",
                           "computer_use_preview", "tool_search", "retrieval", "something_new"}) {
    for (const char* name : {"chat", "responses"}) {
      std::vector<std::string> remarks;
      const Json tools = {{{"type", type}, {"name", "x"}, {"format", {{"type", "grammar"}}}}, declared(name, "f")};
      EXPECT_THAT(tool_names(read(name, {{"tools", tools}}, &remarks).chat()), ElementsAre("f")) << type;
      EXPECT_THAT(remarks, ElementsAre(HasSubstr("tools[0]: left out"))) << type;
    }
  }
  for (const char* type : {"web_search_20250305", "bash_20250124", "text_editor_20250728", "computer_20250124",
                           "code_execution_20250825", "memory_20250818", "web_fetch_20250910", "mcp_toolset"}) {
    std::vector<std::string> remarks;
    const Json tools = {declared("messages", "f"), {{"type", type}, {"name", "x"}, {"max_uses", 8}}, {{"type", type}}};
    const Json fields = {{"tools", tools}, {"mcp_servers", {{{"url", "https://x"}}}}, {"container", "c"}};
    EXPECT_THAT(tool_names(read("messages", fields, &remarks).chat()), ElementsAre("f")) << type;
    EXPECT_THAT(remarks, Contains(HasSubstr("tools[1]: left out")));
    EXPECT_THAT(remarks, Contains(HasSubstr("mcp_servers: left out")));
    EXPECT_THAT(tool_names(read("count_tokens", {{"tools", tools}}).chat()), ElementsAre("f")) << type;
  }
}

TEST(Tools, AreReadInTheFormOfTheOtherApi) {
  EXPECT_THAT(tool_names(read("chat", {{"tools", {declared("responses", "f")}}}).chat()), ElementsAre("f"));
  EXPECT_THAT(tool_names(read("responses", {{"tools", {declared("chat", "f")}}}).chat()), ElementsAre("f"));
}

TEST(Tools, OfNamespacesHaveBothNames) {
  const auto group = [](const char* name_space, const std::vector<const char*>& names) {
    Json tools = Json::array({{{"type", "custom"}, {"name", "free"}}});
    for (const char* name : names) tools.push_back(declared("responses", name));
    return Json{{"type", "namespace"}, {"name", name_space}, {"description", "d"}, {"tools", tools}};
  };
  const Json body = {
      {"input", "hi"},
      {"tools", {group("mcp__files__", {"read", "write"}), group("web", {"read"}), declared("responses", "read")}}};
  const ApiLimits limits;
  SchemaContext context{limits, kVocab, {}, {}};
  const ResponseJob job = read_response(body, context);
  EXPECT_THAT(tool_names(job.job.chat()), ElementsAre("mcp__files__read", "mcp__files__write", "web__read", "read"));
  ASSERT_EQ(job.namespaced.size(), 4u);
  EXPECT_EQ(job.namespaced.at("write").name_space, "mcp__files__");  // "read" is another tool's too
  EXPECT_EQ(job.namespaced.at("web__read").name_space, "web");
  EXPECT_EQ(job.namespaced.at("mcp__files__write").name, "write");
  EXPECT_THAT(context.left_out, ElementsAre("tools[0].tools[0]", "tools[1].tools[0]"));

  const auto allowed = [&](const Json& tools) {
    Json fields = body;
    fields["tool_choice"] = {{"type", "allowed_tools"}, {"mode", "auto"}, {"tools", tools}};
    return tool_names(read("responses", fields).chat());
  };
  EXPECT_THAT(allowed({{{"type", "namespace"}, {"name", "mcp__files__"}}}),
              ElementsAre("mcp__files__read", "mcp__files__write"));
  EXPECT_THAT(allowed({{{"type", "function"}, {"name", "read"}, {"namespace", "web"}}, {{"type", "web_search"}}}),
              ElementsAre("web__read"));
  const Json call = {
      {"type", "function_call"}, {"namespace", "web"}, {"name", "read"}, {"arguments", "{}"}, {"call_id", "c"}};
  EXPECT_EQ(read("responses", {{"input", {call, {{"role", "user"}, {"content", "x"}}}}})
                .chat()
                .messages[0]
                .tool_calls[0]
                .name,
            "web__read");
}

// ---- items and blocks of such tools ----

TEST(Items, OfOtherToolsAreCallsAndResults) {
  const Json input = {
      {{"role", "user"}, {"content", "go"}},
      {{"type", "custom_tool_call"}, {"call_id", "a"}, {"name", "apply_patch"}, {"input", "*** Begin"}},
      {{"type", "local_shell_call"}, {"call_id", "b"}, {"action", {{"type", "exec"}, {"command", {"ls", "-l"}}}}},
      {{"type", "custom_tool_call_output"}, {"call_id", "a"}, {"output", "done"}},
      {{"type", "local_shell_call_output"}, {"id", "b"}, {"output", "total 0"}},
      {{"type", "shell_call"}, {"call_id", "s"}, {"action", {{"commands", {"pwd"}}}}},
      {{"type", "shell_call_output"},
       {"call_id", "s"},
       {"output", {{{"stdout", "/home"}, {"stderr", ""}, {"outcome", {{"type", "exit"}, {"exit_code", 0}}}}}}},
      {{"type", "mcp_call"},
       {"id", "m"},
       {"name", "ask"},
       {"arguments", "{\"q\":1}"},
       {"output", "42"},
       {"error", nullptr}},
      {{"type", "mcp_call"}, {"id", "n"}, {"name", "ask"}, {"arguments", "{}"}, {"error", {{"message", "lost"}}}},
      {{"type", "code_interpreter_call"},
       {"id", "i"},
       {"code", "print(1)"},
       {"outputs", {{{"type", "logs"}, {"logs", "1"}}, {{"type", "image"}, {"url", "https://x"}}}}},
      {{"type", "file_search_call"},
       {"id", "f"},
       {"queries", {"sky"}},
       {"results", {{{"filename", "sky.txt"}, {"text", "blue"}}}}},
      {{"type", "computer_call_output"},
       {"call_id", "x"},
       {"output", {{"type", "computer_screenshot"}, {"image_url", "data:"}}}},
      {{"role", "user"}, {"content", "on"}}};
  const std::vector<ChatMessage> read_back = read("responses", {{"input", input}}).chat().messages;
  std::vector<std::string> told;
  for (const ChatMessage& message : read_back) {
    for (const ChatToolCall& call : message.tool_calls) told.push_back(call.name + dump_json(call.arguments));
    if (message.role == ChatMessage::Role::kTool) told.push_back(message.tool_call_id + ": " + message.content);
  }
  const std::vector<std::string> expected = {"apply_patch{\"input\":\"*** Begin\"}",
                                             "local_shell{\"command\":[\"ls\",\"-l\"]}",
                                             "a: done",
                                             "b: total 0",
                                             "shell{\"commands\":[\"pwd\"]}",
                                             "s: /home\nexit code 0",
                                             "ask{\"q\":1}",
                                             "m: 42",
                                             "ask{}",
                                             "n: lost",
                                             "code_interpreter{\"code\":\"print(1)\"}",
                                             "i: 1\n[image left out: the model reads text only]",
                                             "file_search{\"queries\":[\"sky\"]}",
                                             "f: sky.txt\nblue",
                                             "x: [image left out: the model reads text only]"};
  EXPECT_EQ(told, expected);
}

TEST(Items, WithoutATextAreLeftOut) {
  for (const Json& item : {Json{{"type", "web_search_call"}, {"id", "w"}, {"action", {{"query", "x"}}}},
                           Json{{"type", "item_reference"}, {"id", "msg_1"}}, Json{{"id", "msg_1"}},
                           Json{{"type", "compaction"}, {"encrypted_content", "x"}},
                           Json{{"type", "image_generation_call"}, {"result", "AAAA"}},
                           Json{{"type", "mcp_list_tools"}, {"tools", Json::array()}},
                           Json{{"type", "mcp_approval_request"}, {"arguments", "{}"}, {"name", "x"}},
                           Json{{"type", "mcp_call"}, {"name", "x"}, {"arguments", "{}"}},
                           Json{{"type", "code_interpreter_call"}, {"code", "x"}, {"outputs", nullptr}},
                           Json{{"type", "ghost_snapshot"}}, Json{{"type", "something_new"}}}) {
    std::vector<std::string> remarks;
    const Json input = {item, {{"role", "user"}, {"content", "hi"}}};
    EXPECT_EQ(read("responses", {{"input", input}}, &remarks).chat().messages.size(), 1u) << dump_json(item);
    EXPECT_THAT(remarks, ElementsAre(HasSubstr("input[0]: left out"))) << dump_json(item);
  }
}

TEST(Blocks, OfTheServersToolsAreCallsAndResults) {
  const Json assistant = {
      {{"type", "text"}, {"text", "Searching."}},
      {{"type", "server_tool_use"}, {"id", "w"}, {"name", "web_search"}, {"input", {{"query", "sky"}}}},
      {{"type", "web_search_tool_result"},
       {"tool_use_id", "w"},
       {"content",
        {{{"type", "web_search_result"}, {"title", "Sky"}, {"url", "https://sky"}, {"encrypted_content", "EEEE"}}}}},
      {{"type", "mcp_tool_use"}, {"id", "m"}, {"name", "ask"}, {"server_name", "s"}, {"input", {{"q", 1}}}},
      {{"type", "mcp_tool_result"}, {"tool_use_id", "m"}, {"content", {{{"type", "text"}, {"text", "42"}}}}},
      {{"type", "server_tool_use"}, {"id", "c"}, {"name", "code_execution"}, {"input", {{"code", "1"}}}},
      {{"type", "code_execution_tool_result"},
       {"tool_use_id", "c"},
       {"content", {{"type", "code_execution_result"}, {"stdout", "1"}, {"stderr", ""}, {"return_code", 0}}}},
      {{"type", "server_tool_use"}, {"id", "open"}, {"name", "web_search"}, {"input", Json::object()}},
      {{"type", "something_new"}, {"data", "x"}},
      {{"type", "text"}, {"text", "It is blue."}}};
  std::vector<std::string> remarks;
  const Json messages = {{{"role", "user"}, {"content", "hi"}},
                         {{"role", "assistant"}, {"content", assistant}},
                         {{"role", "user"}, {"content", {{{"type", "container_upload"}, {"file_id", "f"}}}}}};
  const std::vector<ChatMessage> all = read("messages", {{"messages", messages}}, &remarks).chat().messages;
  ASSERT_EQ(all.size(), 9u);
  EXPECT_EQ(all[1].content, "Searching.");
  EXPECT_EQ(all[1].tool_calls.at(0).name, "web_search");
  EXPECT_EQ(all[2].content, "Sky\nhttps://sky");
  EXPECT_EQ(all[3].tool_calls.at(0).arguments, Json({{"q", 1}}));
  EXPECT_EQ(all[4].content, "42");
  EXPECT_EQ(all[6].content, "1\nexit code 0");
  EXPECT_EQ(all[7].content, "It is blue.");
  EXPECT_THAT(all[7].tool_calls, IsEmpty());
  EXPECT_THAT(all[8].content, HasSubstr("file left out"));
  EXPECT_THAT(remarks, Contains(HasSubstr("messages[1].content[7]: left out: a call without its result")));
  EXPECT_THAT(remarks, Contains(HasSubstr("messages[1].content[8]: left out")));
}

}  // namespace
}  // namespace glimmer::serve
