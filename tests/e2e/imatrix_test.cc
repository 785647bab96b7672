// glimmer imatrix: from text to a file of importance.
#include <gmock/gmock.h>

#include <algorithm>

#include "e2e/command.h"
#include "e2e/successor_model.h"
#include "source/importance.h"
#include "support/paths.h"

namespace glimmer::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

const std::string& model() {
  static const SuccessorModel instance;
  static const std::string path = instance.path();
  return path;
}

std::string demo() { return (source_dir() / "models/demo").string(); }

void expect_error(const Result& result, int status, const std::string& part) {
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_THAT(result.err, StartsWith("glimmer: error: "));
  EXPECT_THAT(result.err, HasSubstr(part));
  EXPECT_EQ(result.out, "");
}

TEST(Imatrix, Help) {
  const Result result = glimmer({"imatrix", "--help"});
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, HasSubstr("Examples:"));
  EXPECT_THAT(glimmer({"--help"}).out, HasSubstr("imatrix"));
}

TEST(Imatrix, WrongFlagsAndFiles) {
  const TempDir dir;
  const std::string out = (dir.path() / "out").string();
  expect_error(glimmer({"imatrix", "-m", model(), "-f", "-"}, "x"), 2, "-o");
  expect_error(glimmer({"imatrix", "-m", model(), "-o", out}), 2, "no text");
  expect_error(glimmer({"imatrix", "-m", model(), "-f", "-", "-o", out, "--min-tokens", "0"}, "x"), 2, "--min-tokens");
  expect_error(glimmer({"imatrix", "-m", model(), "-f", "-", "-o", out}, ""), 1, "the text is empty");
  expect_error(glimmer({"imatrix", "-m", "/no/such/model", "-f", "-", "-o", out}, "x"), 1, "/no/such/model");
  expect_error(glimmer({"imatrix", "-m", model(), "-f", "-", "-o", "/no/such/folder/out"}, "x"), 1, "no folder");
  expect_error(glimmer({"imatrix", "-m", model(), "-f", "-", "-o", dir.path().string()}, "x"), 1, "not a regular file");
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "no half file";
}

TEST(Imatrix, WritesEveryWeightOfADenseModel) {
  const TempDir dir;
  const std::string out = (dir.path() / "out").string();
  const Result result =
      glimmer({"imatrix", "-m", model(), "-f", "-", "-o", out, "-q", "--json"}, std::string(300, '5'));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const Json json = parse_json(result.out, "output");
  EXPECT_EQ(json["weights"], 7);
  EXPECT_EQ(json["windows"], 2);
  EXPECT_EQ(json["tokens"], 256);
  EXPECT_EQ(json["experts"], 0);
  const Importance importance = Importance::load(out);
  EXPECT_EQ(importance.weights(), 7);
  EXPECT_EQ(importance.metadata().at("tokens"), "256");
  for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
    EXPECT_EQ(importance.count(fmt::format("model.layers.0.self_attn.{}.weight", name)), 256) << name;
  }
  EXPECT_THAT(importance.mean_squares("model.layers.0.mlp.gate_up_proj.weight"), SizeIs(272));
  EXPECT_EQ(importance.count("model.layers.0.mlp.gate_up_proj.weight"), 256);
  EXPECT_THAT(importance.mean_squares("model.layers.0.mlp.down_proj.weight"), SizeIs(8));
  EXPECT_EQ(importance.count("lm_head.weight"), 256);
}

TEST(Imatrix, WarnsOfExpertsThatSawLittle) {
  const TempDir dir;
  const std::string out = (dir.path() / "out").string();
  const std::string text = (source_dir() / "models/demo/eval/text.txt").string();
  const std::vector<std::string> arguments = {"imatrix",   "-m", demo(), "-f", text,     "--ctx", "64",
                                              "--windows", "1",  "-o",   out,  "--json", "-q"};
  const Result result = glimmer(arguments);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, StartsWith("glimmer: warning: 56 of 56 experts saw fewer than 100 tokens"));
  EXPECT_THAT(result.err, HasSubstr("fewest: layer "));
  const Json json = parse_json(result.out, "output");
  EXPECT_EQ(json["experts"], 56);
  EXPECT_THAT(json["seldom_routed"], SizeIs(56));
  const Importance importance = Importance::load(out);
  int64_t routed = 0;
  for (const Json& expert : json["seldom_routed"]) {
    const std::string name = fmt::format("model.layers.{}.mlp.experts.{}.up_proj.weight",
                                         expert["layer"].get<int64_t>(), expert["expert"].get<int64_t>());
    EXPECT_EQ(importance.count(name), expert["tokens"]);
    routed += expert["tokens"].get<int64_t>();
  }
  EXPECT_EQ(routed, 7 * 64 * 2) << "seven sparse layers, 64 tokens, 2 experts each";
  EXPECT_TRUE(std::is_sorted(json["seldom_routed"].begin(), json["seldom_routed"].end(),
                             [](const Json& a, const Json& b) { return a["tokens"] < b["tokens"]; }));

  std::vector<std::string> lenient = arguments;
  lenient.insert(lenient.end(), {"--min-tokens", "1"});
  const Json unseen = parse_json(glimmer(lenient).out, "output")["seldom_routed"];
  for (const Json& expert : unseen) EXPECT_EQ(expert["tokens"], 0);
}

TEST(Imatrix, ThreadsDoNotChangeABit) {
  const TempDir dir;
  const auto bytes = [&](const char* threads) {
    const std::string out = (dir.path() / threads).string();
    const Result result =
        glimmer({"imatrix", "-m", model(), "-f", "-", "-o", out, "-t", threads}, "The quick brown fox");
    EXPECT_EQ(result.status, 0) << result.err;
    return read_file(out);
  };
  EXPECT_EQ(bytes("1"), bytes("3"));
}

TEST(Imatrix, InterruptLeavesNoFile) {
  const SuccessorModel endless(kEndlessContext);
  const TempDir dir;
  const auto text = dir.write("text.txt", std::string(4'000'000, '7'));
  Command command({"imatrix", "-m", endless.path(), "-f", text.string(), "-o", (dir.path() / "out").string()});
  command.wait_for_error("glimmer: loaded ");
  command.signal(SIGINT);
  const Result result = command.wait();
  EXPECT_EQ(result.status, 130);
  EXPECT_EQ(result.out, "");
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "out"));
}

}  // namespace
}  // namespace glimmer::testing
