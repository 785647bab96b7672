// glimmer eval: perplexity and divergence, from text to numbers.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <csignal>

#include "e2e/command.h"
#include "e2e/successor_model.h"

namespace glimmer::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string& model() {
  static const SuccessorModel instance;
  static const std::string path = instance.path();
  return path;
}

std::string digits(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += static_cast<char>('0' + i % 10);
  return text;
}

// One line on standard error that says what is wrong, nothing on standard output.
void expect_error(const Result& result, int status, const std::string& part) {
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_THAT(result.err, StartsWith("glimmer: error: "));
  EXPECT_THAT(result.err, HasSubstr(part));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(result.out, "");
}

Json perplexity_json(std::vector<std::string> arguments, const std::string& text) {
  arguments.insert(arguments.begin(), {"eval", "perplexity", "-m", model(), "-q", "--json", "-f", "-"});
  const Result result = glimmer(arguments, text);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return parse_json(result.out, "output");
}

Json kld_json(const std::string& base, const std::string& other, const std::string& text) {
  const Result result = glimmer({"eval", "kld", "-m", base, "-m2", other, "-q", "--json", "-f", "-"}, text);
  EXPECT_EQ(result.status, 0) << result.err;
  return parse_json(result.out, "output");
}

// The successor model with its last weight matrix changed: it says 'k' after everything.
void break_lm_head(const SuccessorModel& broken) {
  const auto path = broken.folder().path() / "model.safetensors";
  const SafetensorsFile file(path);
  std::vector<Tensor> values;
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& tensor : file.tensors()) {
    values.emplace_back(tensor.dtype, tensor.shape);
    std::memcpy(values.back().view().data, tensor.data.data(), tensor.data.size());
    if (tensor.name == "lm_head.weight") std::memset(values.back().view().data, 0, tensor.data.size());
  }
  for (size_t i = 0; i < values.size(); ++i) tensors.push_back({file.tensors()[i].name, values[i].view()});
  write_safetensors(path, tensors);
}

TEST(Eval, Help) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"eval"}, {"eval", "perplexity"}, {"eval", "kld"}}) {
    std::vector<std::string> arguments = command;
    arguments.push_back("--help");
    const Result result = glimmer(arguments);
    EXPECT_EQ(result.status, 0);
    EXPECT_THAT(result.out, HasSubstr("Examples:"));
    EXPECT_EQ(result.err, "");
  }
  EXPECT_THAT(glimmer({"--help"}).out, HasSubstr("eval"));
}

TEST(Eval, WrongFlags) {
  expect_error(glimmer({"eval"}), 2, "expected perplexity or kld");
  expect_error(glimmer({"eval", "beauty"}), 2, "beauty");
  expect_error(glimmer({"eval", "perplexity", "-m", model()}), 2, "no text");
  expect_error(glimmer({"eval", "kld", "-m", model(), "-f", "-"}, "x"), 2, "-m2");
  expect_error(glimmer({"eval", "perplexity", "--no-such-flag"}), 2, "--no-such-flag");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", "-", "--ctx", "1"}, "x"), 2, "--ctx");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", "-", "--ctx", "129"}, "x"), 2,
               "max_position_embeddings");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", "-", "--windows", "0"}, "x"), 2, "--windows");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", "-", "--ctx", "2"}, "abcdef"), 2, "none to score");
}

TEST(Eval, MissingFiles) {
  expect_error(glimmer({"eval", "perplexity", "-m", "/no/such/model", "-f", "-"}, "x"), 1, "/no/such/model");
  expect_error(glimmer({"eval", "kld", "-m", model(), "-m2", "/no/such/model", "-f", "-"}, "x"), 1, "/no/such/model");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", "/no/such/text"}), 1, "/no/such/text");
}

TEST(Eval, EmptyOrTinyText) {
  const TempDir dir;
  const auto empty = dir.write("empty.txt", "");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", empty.string()}), 1, "empty.txt: the text is empty");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", "-"}, ""), 1, "standard input: the text is empty");
  expect_error(glimmer({"eval", "perplexity", "-m", model(), "-f", "-", "--no-prefix"}, "ab"), 1, "2 tokens");
  EXPECT_EQ(perplexity_json({}, "a")["scored_tokens"], 1) << "[gMASK]<sop> before it";
}

TEST(Eval, PerplexityOfATextThatTheModelKnows) {
  const Result result = glimmer({"eval", "perplexity", "-m", model(), "-f", "-"}, digits(300));
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, StartsWith("perplexity  1.0000 ± 0.0000\n"));
  EXPECT_THAT(result.out, HasSubstr("2 windows of 128 tokens, 126 scored; 46 at the end left out\n"));
  EXPECT_THAT(result.err, HasSubstr("glimmer: loaded "));
}

TEST(Eval, JsonHasEveryNumber) {
  const Json found = perplexity_json({"--ctx", "20"}, digits(98));
  EXPECT_EQ(found["text_tokens"], 98);
  EXPECT_EQ(found["context"], 20);
  EXPECT_EQ(found["windows"], 5);
  EXPECT_THAT(found["head"].get<std::vector<int>>(), ElementsAre(257, 258));
  EXPECT_EQ(found["scored"], "second_half");
  EXPECT_EQ(found["scored_tokens"], 5 * 9);
  EXPECT_EQ(found["left_out_tokens"], 0);
  EXPECT_NEAR(found["perplexity"]["value"].get<double>(), 1, 1e-4);
  EXPECT_NEAR(std::exp(found["nll"]["value"].get<double>()), found["perplexity"]["value"].get<double>(), 1e-9);
  EXPECT_TRUE(found["perplexity"]["error"].is_number());
  EXPECT_GT(found["tokens_per_s"].get<double>(), 0);
}

TEST(Eval, FlagsChangeWhatIsScored) {
  EXPECT_EQ(perplexity_json({"--ctx", "20", "--all"}, digits(98))["scored_tokens"], 5 * 18);
  EXPECT_EQ(perplexity_json({"--ctx", "20", "--all", "--no-prefix"}, digits(98))["scored_tokens"], 4 * 19);
  EXPECT_EQ(perplexity_json({"--ctx", "20", "--no-prefix"}, digits(98))["head"].size(), 0U);
  EXPECT_EQ(perplexity_json({"--ctx", "20", "--windows", "2"}, digits(98))["windows"], 2);
  EXPECT_GT(perplexity_json({}, "0192837465")["perplexity"]["value"].get<double>(), 1000) << "no successors";
}

TEST(Eval, AShortTextIsOneShortWindow) {
  const Json found = perplexity_json({}, digits(30));
  EXPECT_EQ(found["windows"], 1);
  EXPECT_EQ(found["context"], 32);
  EXPECT_EQ(found["scored_tokens"], 15);
}

TEST(Eval, AModelAgainstItself) {
  const Json found = kld_json(model(), model(), digits(300));
  EXPECT_EQ(found["kld"]["mean"]["value"], 0.0);
  EXPECT_EQ(found["kld"]["max"], 0.0);
  EXPECT_EQ(found["same_top"]["value"], 1.0);
  EXPECT_EQ(found["ln_perplexity_ratio"]["value"], 0.0);
}

TEST(Eval, AModelAgainstOneThatKnowsNothing) {
  const SuccessorModel broken;
  break_lm_head(broken);
  const Json found = kld_json(model(), broken.path(), digits(300));
  const double uniform = std::log(static_cast<double>(kSuccessorVocab));
  EXPECT_NEAR(found["kld"]["mean"]["value"].get<double>(), uniform, 1e-3);
  EXPECT_NEAR(found["kld"]["p99"].get<double>(), uniform, 1e-3);
  EXPECT_NEAR(found["other"]["perplexity"]["value"].get<double>(), 265, 1e-6);
  EXPECT_NEAR(found["ln_perplexity_ratio"]["value"].get<double>(), uniform, 1e-3);
  EXPECT_EQ(found["same_top"]["value"], 0.0);
  EXPECT_NEAR(found["rms_delta_p"]["value"].get<double>(), 1 - 1.0 / 265, 1e-3);
  const Result text = glimmer({"eval", "kld", "-m", model(), "--model2", broken.path(), "-f", "-", "-q"}, digits(300));
  EXPECT_THAT(text.out, HasSubstr("KLD, mean             5.57"));
  EXPECT_THAT(text.out, HasSubstr("same top token        0.000 ± 0.000 %\n"));
}

TEST(Eval, TokenizersThatDiffer) {
  const SuccessorModel fewer;
  const SuccessorModel swapped;
  const SuccessorModel none;
  Json tokenizer = parse_json(read_file(fewer.folder().path() / "tokenizer.json"), "tokenizer.json");
  Json removed = tokenizer;
  removed["added_tokens"].erase(removed["added_tokens"].size() - 1);
  fewer.folder().write("tokenizer.json", dump_json(removed));
  std::swap(tokenizer["model"]["vocab"]["5"], tokenizer["model"]["vocab"]["6"]);
  swapped.folder().write("tokenizer.json", dump_json(tokenizer));
  std::filesystem::remove(none.folder().path() / "tokenizer.json");

  const auto run = [&](const SuccessorModel& other) {
    return glimmer({"eval", "kld", "-m", model(), "-m2", other.path(), "-q", "-f", "-"}, digits(100));
  };
  expect_error(run(fewer), 1, "265 tokens");
  expect_error(run(swapped), 1, "alike up to token 5");
  const Result without = run(none);
  EXPECT_EQ(without.status, 0);
  EXPECT_THAT(without.err, HasSubstr("has no tokenizer"));
  expect_error(glimmer({"eval", "perplexity", "-m", none.path(), "-f", "-"}, "x"), 1, "tokenizer.json");
}

TEST(Eval, ThreadsDoNotChangeABit) {
  const auto value = [](const char* threads) {
    return perplexity_json({"-t", threads}, "The quick brown fox")["nll"]["value"].get<double>();
  };
  EXPECT_EQ(value("1"), value("3"));
}

TEST(Eval, InterruptLeavesNoHalfResult) {
  const SuccessorModel endless(kEndlessContext);
  const TempDir dir;
  const auto text = dir.write("text.txt", digits(4'000'000));
  Command command({"eval", "perplexity", "-m", endless.path(), "-f", text.string(), "--json"});
  command.wait_for_error("glimmer: loaded ");
  command.signal(SIGINT);
  const Result result = command.wait();
  EXPECT_EQ(result.status, 130);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("interrupted"));
}

TEST(Eval, ShowsHowFarItIsOnATerminal) {
  const TempDir dir;
  const auto text = dir.write("text.txt", digits(2000));
  TerminalCommand command({"eval", "perplexity", "-m", model(), "-f", text.string()});
  EXPECT_EQ(command.wait(), 0);
  EXPECT_THAT(command.screen(), HasSubstr("measuring ["));
  EXPECT_THAT(command.screen(), HasSubstr("% perplexity 1.0000"));
}

}  // namespace
}  // namespace glimmer::testing
