// Inputs, model folders, and the real templates with their golden renders where those are at hand.
#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/mapped_file.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A model folder that lasts as long as the test.
class ModelDir : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fs::path("glimmer_chat_template_" + std::to_string(::getpid()) + "_" +
                                                ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  fs::path dir_;
};

const Json kHello = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};

std::string render(const std::string& text, const Json& inputs) { return ChatTemplate(text, "t").render(inputs); }

std::string message_of(const std::string& text, const Json& inputs) {
  try {
    return "rendered: " + render(text, inputs);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    return error.what();
  }
}

TEST(ChatTemplate, PassesWhatTransformersPasses) {
  EXPECT_EQ(render("{{ tools }} {{ documents }} {{ add_generation_prompt }} {{ enable_thinking is defined }}", kHello),
            "None None False False");
  Json inputs = kHello;
  inputs["enable_thinking"] = false;
  inputs["add_generation_prompt"] = true;
  inputs["tools"] = Json::array();
  EXPECT_EQ(render("{{ tools }} {{ enable_thinking }} {{ add_generation_prompt }}", inputs), "[] False True");
}

TEST(ChatTemplate, ChecksInputs) {
  EXPECT_THAT(message_of("", Json::array()), HasSubstr("expected an object"));
  EXPECT_THAT(message_of("", Json::object()), HasSubstr("expected \"messages\""));
  EXPECT_THAT(message_of("", {{"messages", "hi"}}), HasSubstr("expected \"messages\""));
  EXPECT_THAT(message_of("", {{"messages", {"hi"}}}), HasSubstr("messages[0]: expected an object"));
  EXPECT_THAT(message_of("", {{"messages", {{{"content", "hi"}}}}}),
              HasSubstr("messages[0]: expected a string \"role\""));
  Json inputs = kHello;
  inputs["tools"] = 5;
  EXPECT_THAT(message_of("", inputs), HasSubstr("array of \"tools\""));
}

Json with_arguments(const Json& arguments) {
  return {{"messages",
           {{{"role", "assistant"},
             {"content", nullptr},
             {"tool_calls",
              {{{"id", "1"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", arguments}}}}}}}}}};
}

TEST(ChatTemplate, ParsesToolArgumentsGivenAsText) {
  const std::string text =
      "{% for k, v in messages[0].tool_calls[0].function.arguments.items() %}{{ k }}={{ v|tojson }};{% endfor %}";
  EXPECT_EQ(render(text, with_arguments(R"({"a": 1.0, "b": ["x", null]})")), R"(a=1.0;b=["x", null];)");
  EXPECT_EQ(render(text, with_arguments(Json{{"a", 1}})), "a=1;");
  EXPECT_EQ(render(text, with_arguments("")), "");
  EXPECT_THAT(message_of(text, with_arguments("{\"a\": ")), HasSubstr("messages[0].tool_calls[0].function.arguments"));
  EXPECT_THAT(message_of(text, with_arguments("[1]")), HasSubstr("expected a JSON object, found array"));
}

TEST(ChatTemplate, ReplacesInvalidUtf8) {
  Json inputs = kHello;
  inputs["messages"][0]["content"] = "a\xFFz\xE4\xBD";
  EXPECT_EQ(render("{{ messages[0].content }}", inputs), "a\uFFFDz\uFFFD");
}

TEST(ChatTemplate, RendersOnManyThreads) {
  const ChatTemplate shared(
      "{% macro m(x) %}<{{ x|upper }}>{% endmacro %}{% for i in range(200) %}{{ m('a' ~ i) }}{% endfor %}", "t");
  const std::string expected = shared.render(kHello);
  std::vector<std::thread> threads;
  std::atomic<int> same = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) same += shared.render(kHello) == expected ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, 200);
}

TEST_F(ModelDir, FindsTheTemplateFileFirst) {
  EXPECT_FALSE(ChatTemplate::exists(dir_));
  try {
    ChatTemplate::load(dir_);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
  write("tokenizer_config.json",
        R"({"chat_template": "config", "bos_token": "<s>", "eos_token": {"content": "</s>", "special": true},
            "add_bos_token": true, "pad_token": null, "additional_special_tokens": ["<a>", {"content": "<b>"}]})");
  EXPECT_EQ(ChatTemplate::load(dir_).text(), "config");
  write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(ChatTemplate::load(dir_).text(), "json");
  write("chat_template.jinja",
        "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ additional_special_tokens }}");
  const ChatTemplate found = ChatTemplate::load(dir_);
  EXPECT_TRUE(ChatTemplate::exists(dir_));
  EXPECT_EQ(found.render(kHello), "<s></s>False['<a>', '<b>']");
  EXPECT_EQ(found.special_tokens()["eos_token"], "</s>");
  Json inputs = kHello;
  inputs["bos_token"] = "<mine>";
  EXPECT_EQ(found.render(inputs), "<mine></s>False['<a>', '<b>']");
}

TEST_F(ModelDir, PicksToolUseWhenThereAreTools) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"},
                              {"name": "rag", "template": "{{ broken"}]})");
  const ChatTemplate found = ChatTemplate::load(dir_);
  EXPECT_EQ(found.render(kHello), "plain");
  Json inputs = kHello;
  inputs["tools"] = Json::array();
  EXPECT_EQ(found.render(inputs), "tools");  // as transformers: given, even if empty
  inputs["tools"] = nullptr;
  EXPECT_EQ(found.render(inputs), "plain");
}

TEST_F(ModelDir, ReadsNamedTemplateFiles) {
  write("chat_template.jinja", "plain");
  write("additional_chat_templates/tool_use.jinja", "{{ tools|length }} tools");
  Json inputs = kHello;
  inputs["tools"] = {{{"type", "function"}}};
  EXPECT_EQ(ChatTemplate::load(dir_).render(inputs), "1 tools");
}

TEST_F(ModelDir, ReportsMalformedFiles) {
  const auto message = [this] {
    try {
      ChatTemplate::load(dir_);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("loaded");
  };
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(message(), HasSubstr("tokenizer_config.json: chat_template is number"));
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_THAT(message(), HasSubstr("none is named \"default\"; found: rag"));
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag"}]})");
  EXPECT_THAT(message(), HasSubstr("no string \"name\" and \"template\""));
  write("chat_template.jinja", "a\n{% if %}");
  EXPECT_THAT(message(), HasSubstr("chat_template.jinja:2: expected an expression"));
}

// The published templates are not part of the repository.
fs::path shared_data() {
  const char* named = std::getenv("GLIMMER_SHARED_DATA");
  return named != nullptr ? fs::path(named) : fs::path(GLIMMER_SOURCE_DIR) / ".." / "shared" / "data";
}

TEST(ChatTemplate, EqualsTransformersOnPublishedTemplates) {
  const fs::path folder = shared_data() / "templates";
  std::ifstream goldens(folder / "golden_renders.jsonl");
  if (!goldens) {
    std::fprintf(stderr, "NOT RUN: no golden renders at %s (set GLIMMER_SHARED_DATA)\n", folder.c_str());
    GTEST_SKIP() << "the published templates are not here: set GLIMMER_SHARED_DATA";
  }
  int cases = 0;
  for (std::string line; std::getline(goldens, line); ++cases) {
    const Json row = Json::parse(line);
    SCOPED_TRACE(row["template"].get<std::string>() + " " + row["case"].get<std::string>());
    const ChatTemplate chat_template = ChatTemplate::from_file(folder / row["template"].get<std::string>());
    EXPECT_EQ(chat_template.render(row["inputs"]), row["rendered"].get<std::string>());
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace glimmer
