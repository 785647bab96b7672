// glimmer bench, plan and models.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>

#include "base/json.h"
#include "e2e/command.h"
#include "support/paths.h"

namespace glimmer::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string fixture() { return (source_dir() / "tests/fixtures/glm4_moe_lite_base").string(); }

void expect_error(const Result& result, int status, const std::string& part) {
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_THAT(result.err, StartsWith("glimmer: error: "));
  EXPECT_THAT(result.err, HasSubstr(part));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(result.out, "");
}

TEST(Bench, MeasuresAModel) {
  const Result result = glimmer({"bench", "-m", fixture(), "-p", "20", "-n", "4", "-d", "0,30", "-b", "1,3", "-t", "1",
                                 "--repeats", "2", "--json", "-q"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const Json json = parse_json(result.out, "output");
  EXPECT_FALSE(json["machine"]["processor"].get<std::string>().empty());
  EXPECT_GT(json["ceilings"]["read_gb_s"].get<double>(), 0.1);
  EXPECT_GT(json["ceilings"]["bf16_tflop_s"].get<double>(), 0);
  EXPECT_GT(json["ceilings"]["int8_top_s"].get<double>(), 0);
  EXPECT_GT(json["weights_bytes"].get<int64_t>(), 10'000);
  EXPECT_GT(json["peak_rss_bytes"].get<int64_t>(), 1'000'000);
  EXPECT_LT(json["peak_rss_bytes"].get<int64_t>(), 500'000'000);  // the ceilings' gigabyte is not in it
  ASSERT_EQ(json["results"].size(), 5U);
  const Json& last = json["results"][4];
  EXPECT_EQ(last["test"], "tg4");
  EXPECT_EQ(last["depth"], 30);
  EXPECT_EQ(last["batch"], 3);
  EXPECT_EQ(last["threads"], 1);
  for (const char* field : {"gb_s", "tflop_s", "of_read", "of_peak"}) EXPECT_GT(last[field].get<double>(), 0) << field;
  EXPECT_LE(last["tok_s"]["min"].get<double>(), last["tok_s"]["median"].get<double>());
  EXPECT_LE(last["tok_s"]["median"].get<double>(), last["tok_s"]["max"].get<double>());
}

TEST(Bench, MakesAModelOfACard) {
  const Result result = glimmer({"bench", "--card", "GLM-4.7-Flash", "--synthetic", "--type", "q4_0", "--layers", "1",
                                 "-p", "8", "-n", "2", "--repeats", "1"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("GLM-4.7-Flash q4_0, 1 layers"));
  EXPECT_THAT(result.out, HasSubstr("pp8"));
  EXPECT_THAT(result.out, HasSubstr("tg2"));
}

TEST(Bench, SaysWhatIsWrong) {
  expect_error(glimmer({"bench", "--card", "GLM-4.7-Flsh", "--synthetic"}), 2, "GLM-4.7-Flash");
  expect_error(glimmer({"bench", "--card", "flash"}), 2, "--synthetic");
  expect_error(glimmer({"bench", "-m", fixture(), "--card", "flash"}), 2, "exclude");
  expect_error(glimmer({"bench", "-m", fixture(), "--type", "q4_0"}), 2, "--card");
  expect_error(glimmer({"bench", "--card", "flash", "--synthetic", "--type", "q9"}), 2, "q4_k");
  expect_error(glimmer({"bench", "--card", "flash", "--synthetic", "--layers", "48"}), 2, "[1, 47]");
  expect_error(glimmer({"bench", "-m", fixture(), "-p", "many"}), 2, "--prompt");
  expect_error(glimmer({"bench", "-m", fixture(), "-b", "0"}), 2, "--batch");
  expect_error(glimmer({"bench", "-m", fixture(), "-t", "0"}), 2, "--threads");
  expect_error(glimmer({"bench", "-m", fixture(), "--repeats", "0"}), 2, "--repeats");
  expect_error(glimmer({"bench", "-m", fixture(), "-p", "0", "-n", "0"}), 2, "nothing to measure");
  expect_error(glimmer({"bench", "-m", fixture(), "-d", "100000", "-q"}), 2, "max_position_embeddings");
  expect_error(glimmer({"bench", "-m", fixture(), "--backend", "abacus"}), 2, "abacus");
  expect_error(glimmer({"bench", "-m", fixture(), "--precision", "vague"}), 2, "vague");
  expect_error(glimmer({"bench", "-m", "/no/such/model"}), 1, "/no/such/model");
}

TEST(Bench, KnowsBeforehandThatMemoryDoesNotDo) {
  // 355 G weights of 16 bits.
  expect_error(glimmer({"bench", "--card", "GLM-4.5", "--synthetic", "--type", "bf16"}), 1, "available; try");
}

TEST(Bench, EndsCleanlyWhenInterrupted) {
  Command command({"bench", "-m", fixture(), "-p", "200", "-n", "200", "--repeats", "1000"});
  command.wait_for_error("loaded");
  command.signal(SIGINT);
  const Result result = command.wait();
  EXPECT_EQ(result.status, 130);
  EXPECT_THAT(result.err, HasSubstr("interrupted"));
  EXPECT_EQ(result.out, "");
}

TEST(Plan, TellsWhetherAModelFits) {
  const Result result = glimmer({"plan", "--card", "glm-4.5-air", "--type", "q4_k", "--ctx", "4096", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = parse_json(result.out, "output");
  EXPECT_EQ(json["card"], "GLM-4.5-Air");
  EXPECT_EQ(json["context"], 4096);
  const Json& plan = json["plan"];
  EXPECT_EQ(plan["type"], "q4_k");
  EXPECT_NEAR(plan["file_bytes"].get<double>(), 64.4e9, 1e8);  // its down_proj of 1408 columns in q5_0
  EXPECT_GE(plan["weights_bytes"].get<double>(), plan["file_bytes"].get<double>());
  EXPECT_LE(plan["weights_bytes"].get<double>(), plan["file_bytes"].get<double>() * 1.03);
  EXPECT_EQ(plan["kv_bytes"].get<int64_t>(), int64_t{184} * 1024 * 4096);
  EXPECT_EQ(plan["fits"].get<bool>(),
            plan["need_bytes"].get<int64_t>() <= json["machine"]["available_bytes"].get<int64_t>());
  EXPECT_GT(plan["decode_tok_s"].get<double>(), plan["decode_at_context_tok_s"].get<double>() * 0.999);
  EXPECT_GT(plan["prefill_tok_s"].get<double>(), 0);
  // The best type is the finest that fits.
  Json best;
  for (const Json& type : json["types"]) {
    if (best.is_null() && type["fits"].get<bool>()) best = type["type"];
  }
  EXPECT_EQ(json["best_type"], best);
}

TEST(Plan, ReadsWell) {
  const Result result = glimmer({"plan", "--card", "flash", "--layers", "2"});
  ASSERT_EQ(result.status, 0) << result.err;
  for (const char* part :
       {"GLM-4.7-Flash, 2 layers", "ceilings", "expected", "best type bf16", "<- best that fits", "<- asked"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
}

// The weights of rank `rank` in the second table, "12.6 GB".
double weights_gb(const std::string& text, int rank) {
  const size_t table = text.find("KV a token");
  const size_t line = text.find(fmt::format("\n{} ", rank), table);
  return table == std::string::npos || line == std::string::npos ? -1 : std::strtod(text.c_str() + line + 3, nullptr);
}

TEST(Plan, ShowsWhatRanksHold) {
  const Result flash = glimmer({"plan", "--card", "flash", "--parallel", "tp=3", "--split", "3,2,2"});
  ASSERT_EQ(flash.status, 0) << flash.err;
  for (const char* part : {"tp=3", "0-7 ", "8-13 ", "14-19 ", "latent", "54.1 kB"})
    EXPECT_THAT(flash.out, HasSubstr(part));
  // Of 18.3 GB; what each has whole is an embedding of 0.5 GB. Its gate and up lie in one matrix.
  const Result dense = glimmer({"plan", "--card", "GLM-4-32B-0414", "--parallel", "tp=4"});
  ASSERT_EQ(dense.status, 0) << dense.err;
  for (int rank = 0; rank < 4; ++rank) EXPECT_NEAR(weights_gb(dense.out, rank), 5.0, 0.2) << dense.out;
}

TEST(Plan, ShowsWhatRanksOfAFileHold) {
  for (const auto& dir : testing::fixture_dirs()) {
    const Result result = glimmer({"plan", "-m", dir.string(), "--parallel", "tp=2", "--ctx", "1"});
    EXPECT_EQ(result.status, 0) << dir << result.err;
    EXPECT_THAT(result.out, HasSubstr("types of its own")) << dir;
  }
  const std::string dir = testing::fixture_dirs().front().string();
  expect_error(glimmer({"plan", "-m", dir}), 2, "--model goes with --parallel");
  expect_error(glimmer({"plan", "-m", dir, "--parallel", "tp=2", "--card", "flash"}), 2, "exclude each other");
  expect_error(glimmer({"plan", "-m", dir, "--parallel", "tp=2", "--type", "q8_0"}), 2, "types of its own");
  expect_error(glimmer({"plan", "-m", dir, "--parallel", "tp=2", "--layers", "1"}), 2, "--layers goes with --card");
  expect_error(glimmer({"plan", "-m", dir, "--parallel", "tp=2", "--ctx", "999999999"}), 2, "--ctx");
}

TEST(Plan, SaysWhatIsWrongWithRanks) {
  expect_error(glimmer({"plan", "--card", "flash", "--parallel", "dp=2"}), 2, "expected tp=N");
  expect_error(glimmer({"plan", "--card", "flash", "--parallel", "tp=2,"}), 2, "expected tp=N");
  expect_error(glimmer({"plan", "--card", "flash", "--parallel", "pp=48"}), 2, "47 layers only");
  expect_error(glimmer({"plan", "--card", "flash", "--parallel", "tp=2", "--split", "1,2,"}), 2, "'' is no number");
  expect_error(glimmer({"plan", "--card", "flash", "--parallel", "tp=2", "--split", "1,x"}), 2, "'x' is no number");
  expect_error(glimmer({"plan", "--card", "flash", "--parallel", "tp=2", "--split", "1"}), 2, "1 weights for 2 ranks");
  expect_error(glimmer({"plan", "--card", "flash", "--split", "1,2"}), 2, "--split needs --parallel");
  expect_error(glimmer({"plan", "--card", "flash", "--parallel", "tp=2", "--json"}), 2, "--json");
}

TEST(Plan, SaysWhatIsWrong) {
  expect_error(glimmer({"plan"}), 2, "--card");
  expect_error(glimmer({"plan", "--card", "GLM-4.5-Ari"}), 2, "GLM-4.5-Air");
  expect_error(glimmer({"plan", "--card", "flash", "--type", "awq"}), 2, "only read");
  expect_error(glimmer({"plan", "--card", "flash", "--ctx", "0"}), 2, "--ctx");
  expect_error(glimmer({"plan", "--card", "flash", "--ctx", "202753"}), 2, "202752");
  expect_error(glimmer({"plan", "--card", "flash", "-t", "-1"}), 2, "--threads");
}

TEST(Models, ListsTheCards) {
  const Result text = glimmer({"models"});
  ASSERT_EQ(text.status, 0) << text.err;
  const Result result = glimmer({"models", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json list = parse_json(result.out, "output");
  EXPECT_EQ(list.size(), 11U);
  bool seen = false;
  for (const Json& card : list) {
    EXPECT_THAT(text.out, HasSubstr(card["name"].get<std::string>()));
    if (card["name"] != "GLM-4.7-Flash") continue;
    seen = true;
    EXPECT_EQ(card["family"], "glm4_moe_lite");
    EXPECT_EQ(card["layers"], 47);
    EXPECT_NEAR(card["active_parameters"].get<double>(), 3.58e9, 1e7);
    EXPECT_NEAR(card["bytes"]["bf16"].get<double>(), 59.9e9, 1e8);
    EXPECT_EQ(card["sampling"]["temperature"], 1.0);
  }
  EXPECT_TRUE(seen);
}

TEST(Models, HelpIsThere) {
  for (const char* command : {"bench", "plan", "models"}) {
    const Result result = glimmer({command, "--help"});
    EXPECT_EQ(result.status, 0) << command;
    EXPECT_THAT(result.out, HasSubstr("Examples:")) << command;
    expect_error(glimmer({command, "--no-such-flag"}), 2, "--no-such-flag");
  }
}

}  // namespace
}  // namespace glimmer::testing
