// The C functions, through their C++ face, with the demo model. In this program the library is linked statically, so
// that sanitizers see all of it.
#include <gmock/gmock.h>
#include <glimmer/glimmer.hpp>

#include <array>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <thread>

#include "base/json.h"
#include "base/mapped_file.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kQuestion =
    R"({"messages": [{"role": "user", "content": "What is 17 + 25?"}], "template_args": {"enable_thinking": false}})";

std::string demo() { return (testing::source_dir() / "models/demo").string(); }

ModelOptions small() {
  ModelOptions options;
  options.threads = 2;
  options.kv_bytes = int64_t{1} << 26;
  return options;
}

LoadedModel& model() {
  static LoadedModel loaded(demo(), small());
  return loaded;
}

GenerateOptions greedy(std::optional<int64_t> max_tokens = std::nullopt) {
  GenerateOptions options;
  options.temperature = 0;
  options.max_tokens = max_tokens;
  return options;
}

// Goes on until the context is full.
Generation endless() {
  GenerateOptions options = greedy();
  options.ignore_eos = true;
  return model().complete("[gMASK]<sop>", options);
}

std::string read(Generation generation) {
  std::string text;
  while (const std::optional<Event> event = generation.next()) {
    if (event->kind == GLIMMER_CONTENT) text += event->text;
  }
  return text;
}

template <typename Call>
void expect_failure(const Call& call, glimmer_status status, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "expected: " << part;
  } catch (const ApiException& error) {
    EXPECT_EQ(error.status(), status) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(Library, AnswersAndSaysWhyItEnded) {
  Generation generation = model().chat(kQuestion, greedy());
  std::string text;
  while (const std::optional<Event> event = generation.next()) text += event->text;
  EXPECT_THAT(text, HasSubstr("42"));
  EXPECT_EQ(generation.finish_reason(), "stop");
  EXPECT_FALSE(generation.next().has_value());
  EXPECT_GT(generation.usage().generated_tokens, 0);
}

TEST(Library, ThreadsShareAModel) {
  const std::string expected = read(model().chat(kQuestion, greedy()));
  const std::vector<int32_t> ids = model().tokenize("one two three");
  const std::vector<float> logits = model().logits(ids, 1);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] { wrong += read(model().chat(kQuestion, greedy())) != expected; });
    threads.emplace_back([&] { wrong += model().logits(ids, 1) != logits; });
    threads.emplace_back([&] { wrong += model().tokenize("one two three") != ids; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Library, AnotherThreadCancels) {
  Generation generation = endless();
  generation.next();
  std::thread canceller([&] { generation.cancel(); });
  const auto read_on = [&] {
    while (generation.next()) continue;
  };
  expect_failure(read_on, GLIMMER_CANCELLED, "cancelled");
  canceller.join();
  expect_failure([&] { generation.next(); }, GLIMMER_CANCELLED, "cancelled");  // instead of waiting for ever
}

TEST(Library, ErrorsAreOfTheThread) {
  expect_failure([] { LoadedModel("/nowhere"); }, GLIMMER_NOT_FOUND, "/nowhere");
  std::thread([] { EXPECT_STREQ(glimmer_last_error(), ""); }).join();
  EXPECT_THAT(glimmer_last_error(), HasSubstr("/nowhere"));
}

TEST(Library, RefusesModelOptionsThatMakeNoSense) {
  const auto refused = [](const std::string& part, const auto& change) {
    ModelOptions options = small();
    change(options);
    expect_failure([&] { LoadedModel(demo(), options); }, GLIMMER_USAGE, part);
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  refused("unknown backend 'x'", [](ModelOptions& o) { o.backend = "x"; });
  refused("no precision 'x'", [](ModelOptions& o) { o.precision = "x"; });
  refused("no type 'x'", [](ModelOptions& o) { o.kv_type = "x"; });
  refused("threads is -1", [](ModelOptions& o) { o.threads = -1; });
  refused("threads is 1025", [](ModelOptions& o) { o.threads = 1025; });
  refused("kv_bytes is -1", [](ModelOptions& o) { o.kv_bytes = -1; });
  refused("max_sequences is 0", [](ModelOptions& o) { o.max_sequences = 0; });
  refused("max_sequences is 9223372036854775807", [](ModelOptions& o) { o.max_sequences = kMost; });
  refused("struct_size is 100000", [](ModelOptions& o) { o.struct_size = 100000; });
}

TEST(Library, RefusesGenerateOptionsThatMakeNoSense) {
  const auto refused = [](const std::string& part, const auto& change) {
    GenerateOptions options = greedy(2);
    change(options);
    expect_failure([&] { model().chat(kQuestion, options); }, GLIMMER_USAGE, part);
  };
  refused("temperature is inf", [](GenerateOptions& o) { o.temperature = std::numeric_limits<double>::infinity(); });
  refused("presence_penalty is nan", [](GenerateOptions& o) { o.presence_penalty = std::nan(""); });
  refused("top_p is 0", [](GenerateOptions& o) { o.top_p = 0; });
  refused("top_k is -2", [](GenerateOptions& o) { o.top_k = -2; });
  refused("max_tokens is -2", [](GenerateOptions& o) { o.max_tokens = -2; });
  refused("seed is -2", [](GenerateOptions& o) { o.seed = -2; });
  refused("stop: text 0 is empty", [](GenerateOptions& o) { o.stop = {""}; });
}

TEST(Library, RefusesPromptsThatMakeNoSense) {
  const auto vocab = static_cast<int32_t>(model().vocab_size());
  const std::vector<int32_t> too_long(static_cast<size_t>(model().context_tokens()) + 1, 5);
  for (const int32_t id : {-1, vocab, std::numeric_limits<int32_t>::max()}) {
    expect_failure([&] { model().complete({5, id}); }, GLIMMER_INVALID, "is " + std::to_string(id));
    expect_failure([&] { model().logits({5, id}, 1); }, GLIMMER_INVALID, "id " + std::to_string(id));
    expect_failure([&] { model().detokenize({5, id}); }, GLIMMER_USAGE, "id " + std::to_string(id));
  }
  expect_failure([&] { model().complete(""); }, GLIMMER_USAGE, "prompt is empty");
  expect_failure([&] { model().complete(too_long); }, GLIMMER_LIMIT, "the context holds");
  expect_failure([&] { model().logits(too_long, 1); }, GLIMMER_LIMIT, "but the context holds");
  expect_failure([&] { model().logits({5}, 2); }, GLIMMER_USAGE, "2 rows of 1 ids");
}

TEST(Library, RefusesMalformedConversations) {
  struct Case {
    std::string json, part;
  };
  const std::string deep(100, '[');
  for (const Case& each : std::initializer_list<Case>{
           {"", "the text is empty"},
           {"[]", "expected an object, found array"},
           {"{}", "there are no messages"},
           {"{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}", "malformed JSON"},
           {R"({"messages": [{"role": "user", "content": "\ud800"}]})", "malformed JSON"},
           {R"({"messages": [{"role": "wizard", "content": "x"}]})", "'wizard' is not one of"},
           {R"({"messages": [{"role": "user", "content": 5}]})", "messages[0].content: expected a string"},
           {R"({"messages": [{"role": "user", "content": "x"}], "tempo": 1})", "unknown member 'tempo'"},
           {R"({"messages": [{"role": "user", "content": "x"}], "continue": true})", "must be the assistant's"},
           {R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]})",
            "messages[0].tool_calls[0].function.arguments: malformed JSON"}}) {
    expect_failure([&] { model().chat(each.json); }, GLIMMER_INVALID, each.part);
  }
  expect_failure([&] { model().render("{\"messages\": " + deep); }, GLIMMER_LIMIT, "nested deeper");
}

// Handles are freed in any state: while tokens come, before the first, behind the end.
TEST(Library, FreesGenerationsInAnyState) {
  LoadedModel own(demo(), small());
  GenerateOptions options = greedy(100);
  options.ignore_eos = true;
  Generation fresh = own.chat(kQuestion, options);
  Generation begun = own.chat(kQuestion, options);
  begun.next();
  Generation cancelled = own.chat(kQuestion, options);
  cancelled.cancel();
  Generation ended = own.chat(kQuestion, greedy(1));
  while (ended.next()) continue;
}

TEST(Library, LoadingStopsWhereItsCallbackSays) {
  ModelOptions options = small();
  std::array<int, 2> calls_and_limit = {0, 2};
  options.progress_user = calls_and_limit.data();
  options.progress = [](int64_t done, int64_t total, void* user) {
    EXPECT_LE(done, total);
    int* calls = static_cast<int*>(user);
    return ++calls[0] >= calls[1] ? 1 : 0;
  };
  expect_failure([&] { LoadedModel(demo(), options); }, GLIMMER_CANCELLED, "stopped by its callback");
  EXPECT_EQ(calls_and_limit[0], 2);
}

TEST(Library, WarningsGoWhereTheyAreSent) {
  const testing::TempDir folder;
  constexpr std::string_view kIndex = "model.safetensors.index.json";
  for (const auto& file : std::filesystem::directory_iterator(demo())) {
    const std::filesystem::path name = file.path().filename();
    if (name != kIndex) std::filesystem::create_symlink(file.path(), folder.path() / name);
  }
  Json index = parse_json(read_file(std::filesystem::path(demo()) / kIndex), "index");
  index["metadata"]["total_size"] = 1;
  folder.write(kIndex, dump_json(index));

  std::vector<std::string> lines;
  glimmer_set_log([](const char* line, void* user) { static_cast<std::vector<std::string>*>(user)->push_back(line); },
                  &lines);
  LoadedModel(folder.path().string(), small());
  glimmer_set_log(nullptr, nullptr);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines.front(), HasSubstr("metadata.total_size is 1 bytes"));
}

}  // namespace
}  // namespace glimmer
