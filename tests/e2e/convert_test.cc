// glimmer convert as a user meets it.
#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "base/mapped_file.h"
#include "e2e/command.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string demo() { return (source_dir() / "models/demo").string(); }

void expect_error(const Result& result, int status, const std::string& part) {
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_THAT(result.err, HasSubstr("glimmer: error: "));
  EXPECT_THAT(result.err, HasSubstr(part));
  EXPECT_EQ(result.out, "");
}

TEST(ConvertCommand, Help) {
  const Result result = glimmer({"convert", "--help"});
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("Examples:"), HasSubstr("--resume"), HasSubstr("balanced")));
  EXPECT_THAT(glimmer({"--help"}).out, HasSubstr("convert"));
}

TEST(ConvertCommand, ADryRunPrintsThePlanAndWritesNothing) {
  const TempDir dir;
  const std::string to = (dir.path() / "m.gguf").string();
  const Result result = glimmer({"convert", demo(), to, "--type", "q4_k", "--dry-run", "--tensors"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("format            gguf"), HasSubstr("bits a weight"), HasSubstr("q4_k"),
                                HasSubstr("lm_head.weight")));
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(ConvertCommand, WrongUsage) {
  const TempDir dir;
  const std::string to = (dir.path() / "m.gguf").string();
  expect_error(glimmer({"convert"}), 2, "SRC and DST");
  expect_error(glimmer({"convert", demo()}), 2, "SRC and DST");
  expect_error(glimmer({"convert", demo(), to, "--type", "q4_z"}), 2, "\"q4_z\"");
  expect_error(glimmer({"convert", demo(), to, "--recipe", "best"}), 2, "known: balanced, uniform, experts");
  expect_error(glimmer({"convert", demo(), to, "--resume", "--force"}), 2, "nothing to resume");
  expect_error(glimmer({"convert", demo(), (dir.path() / "m").string(), "--format", "gguf"}), 2, "ends in .gguf");
  expect_error(glimmer({"run", "-m", (source_dir() / "README.md").string(), "hi"}), 2, "not a model");
  expect_error(glimmer({"convert", demo(), to, "--resume"}), 2, "nothing to resume");
  expect_error(glimmer({"convert", demo(), to, "--threads", "0.5"}), 2, "--threads");
  expect_error(glimmer({"convert", (dir.path() / "no").string(), to}), 1, "no such model");
  expect_error(glimmer({"convert", demo(), to, "--imatrix", (dir.path() / "no").string()}), 1, "no");
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(ConvertCommand, ATruncatedSourceIsAnErrorAndLeavesNothing) {
  const TempDir dir;
  const fs::path whole = dir.path() / "whole.gguf";
  ASSERT_EQ(glimmer({"convert", demo(), whole.string(), "--type", "q8_0"}).status, 0);
  const std::string bytes = read_file(whole);
  dir.write("cut.gguf", bytes.substr(0, bytes.size() / 2));
  expect_error(glimmer({"convert", (dir.path() / "cut.gguf").string(), (dir.path() / "out").string()}), 1, "cut.gguf");
  expect_error(glimmer({"run", "-m", (dir.path() / "cut.gguf").string(), "hi"}), 1, "cut.gguf");
  EXPECT_FALSE(fs::exists(dir.path() / "out"));
}

TEST(ConvertCommand, CtrlCKeepsWhatIsWrittenAndResumeFinishes) {
  const TempDir dir;
  const std::string to = (dir.path() / "m.gguf").string();
  const std::vector<std::string> arguments = {"convert", demo(), to, "--type", "iq4_nl", "-t", "1", "--verify"};
  Command command(arguments);
  command.wait_for_error("note: ");
  command.signal(SIGINT);
  const Result stopped = command.wait();
  EXPECT_EQ(stopped.status, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("--resume"));
  EXPECT_FALSE(fs::exists(to));
  std::vector<std::string> resume = arguments;
  resume.emplace_back("--resume");
  const Result finished = glimmer(resume);
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.err, HasSubstr("verified"));
  EXPECT_THAT(glimmer({"run", "-m", to, "What is 17 + 25?"}).out, HasSubstr("42"));
}

// A file that is cut off while it is read: an error that names it, where a mapped file would end the process.
TEST(ConvertCommand, ASourceThatShrinksMeanwhileIsAnErrorAndWhatIsDoneIsNotLost) {
  const TempDir dir;
  const fs::path source = dir.path() / "model";
  fs::copy(demo(), source);
  const fs::path shard = source / "model-00002-of-00002.safetensors";
  const std::string whole = read_file(shard);
  const std::string to = (dir.path() / "m.gguf").string();
  Command command({"convert", source.string(), to, "--type", "iq4_nl", "-t", "1"});
  command.wait_for_error("note: ");
  fs::resize_file(shard, 100'000);
  const Result result = command.wait();
  EXPECT_EQ(result.status, 1) << result.err;
  // Which of the two is noticed first is up to how far the conversion has come.
  EXPECT_THAT(result.err, AllOf(HasSubstr("glimmer: error: "), HasSubstr(shard.string()),
                                AnyOf(HasSubstr("changed while"), HasSubstr("became shorter"))));
  EXPECT_FALSE(fs::exists(to));
  std::ofstream(shard, std::ios::binary) << whole;
  const Result resumed = glimmer({"convert", source.string(), to, "--type", "iq4_nl", "--resume", "--verify"});
  EXPECT_EQ(resumed.status, 0) << resumed.err;
}

TEST(ConvertCommand, AWeightOutOfRangeIsAnErrorOrCutOffAsAsked) {
  const TempDir dir;
  const fs::path source = dir.path() / "model";
  fs::copy(demo(), source);
  // The last two bytes of the file: a value of its last tensor, in bf16.
  for (const auto& entry : fs::directory_iterator(source)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::string bytes = read_file(entry.path());
    bytes[bytes.size() - 2] = '\x37';
    bytes[bytes.size() - 1] = '\x4A';  // 3.0e6
    std::ofstream(entry.path(), std::ios::binary) << bytes;
  }
  const auto path = [&](const char* name) { return (dir.path() / name).string(); };
  expect_error(glimmer({"convert", source.string(), path("f16"), "--format", "hf", "--type", "f16"}), 1,
               "beyond the range of f16");
  expect_error(glimmer({"convert", source.string(), path("f16"), "--out-of-range", "wrap"}), 2, "error or saturate");
  fs::remove_all(path("f16.partial"));
  fs::remove(path("f16.partial.journal"));
  const Result cut = glimmer({"convert", source.string(), path("f16"), "--format", "hf", "--type", "f16",
                              "--out-of-range", "saturate", "--verify"});
  EXPECT_EQ(cut.status, 0) << cut.err;
  EXPECT_THAT(cut.err, AllOf(HasSubstr("1 of "), HasSubstr("beyond the range of f16"), HasSubstr("verified")));
  const Result held = glimmer({"convert", source.string(), path("bf16"), "--format", "hf", "--type", "bf16"});
  EXPECT_EQ(held.status, 0) << held.err;
}

TEST(ConvertCommand, EveryFormatAnswersAndOneModelWentThroughAll) {
  const TempDir dir;
  const auto path = [&](const char* name) { return (dir.path() / name).string(); };
  const std::vector<std::pair<std::string, std::vector<std::string>>> chain = {
      {path("a.gguf"), {"--type", "bf16"}},
      {path("mlx"), {"--format", "mlx"}},
      {path("b.m"), {"--type", "f32"}},
      {path("hf"), {"--format", "hf", "--type", "bf16"}}};
  std::string from = demo();
  for (const auto& [to, flags] : chain) {
    std::vector<std::string> arguments = {"convert", from, to, "--verify"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Result result = glimmer(arguments);
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(glimmer({"run", "-m", to, "What is 17 + 25?"}).out, HasSubstr("17 + 25 = 42.")) << to;
    from = to;
  }
  const Result compared =
      glimmer({"eval", "kld", "-m", demo(), "-m2", from, "-f", (source_dir() / "models/demo/eval/text.txt").string(),
               "--ctx", "128", "--windows", "1", "--json"});
  EXPECT_EQ(compared.status, 0) << compared.err;
  EXPECT_EQ(parse_json(compared.out, "json")["kld"]["mean"]["value"], 0.0) << compared.out;
}

}  // namespace
}  // namespace glimmer::testing
