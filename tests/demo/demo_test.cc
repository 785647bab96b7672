// The bundled demo model on its held-out prompts (models/demo/eval/skills.jsonl), from messages to answer:
//   - the rendered and tokenized prompt equals transformers', id for id;
//   - the greedy answer equals transformers' in float32, id for id;
//   - and it is right: at least 95 % of each skill.
#include <gmock/gmock.h>

#include <fstream>
#include <iostream>
#include <map>
#include <string>

#include "base/mapped_file.h"
#include "engine/generate.h"
#include "engine/local_runner.h"
#include "support/paths.h"
#include "text/chat_template.h"
#include "text/output_parser.h"
#include "text/tokenizer.h"

namespace glimmer {
namespace {

constexpr int64_t kMaxNewTokens = 400;

// The thread sanitizer is after the threads' order, which a few prompts show as well as all, in minutes.
#if defined(__SANITIZE_THREAD__)
constexpr size_t kEvery = 6;
#else
constexpr size_t kEvery = 1;
#endif

std::filesystem::path demo_dir() { return testing::source_dir() / "models/demo"; }

std::vector<Json> read_cases() {
  std::vector<Json> cases;
  std::ifstream file(demo_dir() / "eval/skills.jsonl");
  for (std::string line; std::getline(file, line);) {
    cases.push_back(parse_json(line, "skills.jsonl line " + std::to_string(cases.size() + 1)));
  }
  return cases;
}

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \n");
  return begin == std::string_view::npos ? ""
                                         : std::string(text.substr(begin, text.find_last_not_of(" \n") + 1 - begin));
}

std::string lowered(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return text;
}

bool contains(const std::string& text, const Json& value) {
  return lowered(text).find(lowered(value.get<std::string>())) != std::string::npos;
}

// [{"name", "arguments"}] of an answer, arguments typed by the declared tools.
Json calls_in(const std::string& answer, const Json& tools) {
  const ParsedOutput parsed =
      parse_output(answer, {.format = ToolCallFormat::kGlmXml, .tools = std::make_shared<const ToolSchemas>(tools)});
  Json calls = Json::array();
  for (const ParsedOutput::Call& call : parsed.calls) {
    calls.push_back({{"name", call.name}, {"arguments", parse_json(call.arguments, "arguments")}});
  }
  return calls;
}

// Whether `answer` (behind the reasoning) passes the case's check; models/demo/README.md has the kinds.
bool passes(const Json& test, const std::string& answer) {
  const Json& check = test["check"];
  const std::string kind = check["kind"];
  if (kind == "tool_call") {
    const Json calls = calls_in(answer, test["inputs"]["tools"]);
    return nlohmann::json(calls) == nlohmann::json(check["calls"]);  // without regard to the order of arguments
  }
  if (answer.find("<tool_call>") != std::string::npos) return false;
  if (kind == "equals") return answer == check["value"];
  const Json none = Json::array();
  for (const Json& value : kind == "story" ? check["words"] : check["values"]) {
    if (!contains(answer, value)) return false;
  }
  for (const Json& value : check.contains("excludes") ? check["excludes"] : none) {
    if (contains(answer, value)) return false;
  }
  return kind != "story" || answer.ends_with("The end.");
}

struct Tally {
  int right = 0;
  int all = 0;
};

TEST(DemoModel, AnswersHeldOutPromptsRightAndAsTransformersDoes) {
  const Model model = Model::load(demo_dir());
  const ChatTemplate chat_template = ChatTemplate::load(demo_dir());
  const Tokenizer tokenizer = Tokenizer::from_file(demo_dir());
  const std::vector<int32_t>& eos = model.generation_config().eos_token_id;
  Context context({.precision = Precision::kExact});
  LocalRunner runner(model, context);

  std::map<std::string, Tally> skills;
  int same_as_transformers = 0;
  const std::vector<Json> cases = read_cases();
  ASSERT_GE(cases.size(), 100U);
  for (size_t i = 0; i < cases.size(); i += kEvery) {
    const Json& test = cases[i];
    const std::string prompt = chat_template.render(test["inputs"]);
    const std::vector<int32_t> ids = tokenizer.encode(prompt, {.add_special_tokens = false});
    ASSERT_THAT(ids, ::testing::ElementsAreArray(test["prompt_ids"].get<std::vector<int32_t>>())) << prompt;

    Sequence sequence(model.config());
    sequence.start(ids, {.max_new_tokens = kMaxNewTokens, .stop_ids = eos});
    Generator(runner).run(sequence);
    std::vector<int32_t> generated(sequence.generated().begin(), sequence.generated().end());
    same_as_transformers += generated == test["reference_ids"].get<std::vector<int32_t>>();

    const bool ended = sequence.finish_reason() == FinishReason::kStopToken;
    if (ended) generated.pop_back();
    std::string text = tokenizer.decode(generated);
    const size_t thought = text.find("</think>");
    const bool thinking = test["inputs"]["enable_thinking"];
    if (thinking && thought != std::string::npos) text = text.substr(thought + 8);
    Tally& tally = skills[test["skill"]];
    ++tally.all;
    if (ended && (!thinking || thought != std::string::npos) && passes(test, trimmed(text))) {
      ++tally.right;
    } else {
      std::cout << "wrong (" << test["skill"] << "): " << prompt.substr(prompt.size() > 300 ? prompt.size() - 300 : 0)
                << "\n  answer: " << trimmed(text) << "\n  check: " << test["check"] << "\n";
    }
  }

  const size_t run = (cases.size() + kEvery - 1) / kEvery;
  EXPECT_EQ(same_as_transformers, static_cast<int>(run)) << "answers that equal transformers', of all that were run";
  EXPECT_GE(skills.size(), 6U);
  for (const auto& [skill, tally] : skills) {
    std::cout << skill << ": " << tally.right << " of " << tally.all << " right\n";
    EXPECT_GE(tally.right, 0.95 * tally.all) << skill;
  }
}

TEST(DemoModel, KnowsWhat17And25Make) {
  const Model model = Model::load(demo_dir());
  const ChatTemplate chat_template = ChatTemplate::load(demo_dir());
  const Tokenizer tokenizer = Tokenizer::from_file(demo_dir());
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (!table->supported()) continue;
    Context context({.backend = std::string(table->name)});
    LocalRunner runner(model, context);
    Sequence sequence(model.config(), context.kv_type());
    const Json inputs = {{"messages", {{{"role", "user"}, {"content", "What is 17 + 25?"}}}},
                         {"add_generation_prompt", true}};
    sequence.start(tokenizer.encode(chat_template.render(inputs), {.add_special_tokens = false}),
                   {.max_new_tokens = kMaxNewTokens, .stop_ids = model.generation_config().eos_token_id});
    Generator(runner).run(sequence);
    const std::string text = tokenizer.decode(sequence.generated());
    EXPECT_NE(text.substr(text.find("</think>")).find("42"), std::string::npos) << table->name << ": " << text;
  }
}

}  // namespace
}  // namespace glimmer
