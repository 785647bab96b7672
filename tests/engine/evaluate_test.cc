#include "engine/evaluate.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "engine/local_runner.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Engine {
  explicit Engine(const std::string& name, int threads = 1, int64_t chunk_tokens = 512)
      : context({.backend = "", .threads = threads, .precision = Precision::kExact}),
        model(Model::load(testing::source_dir() / "tests/fixtures" / name)),
        runner(model, context, chunk_tokens) {}

  Context context;
  Model model;
  LocalRunner runner;
};

const Json& golden() {
  static const Json json = [] {
    const auto path = testing::source_dir() / "tests/engine/evaluate_golden.json";
    return parse_json(read_file(path), path.string());
  }();
  return json;
}

std::vector<int32_t> golden_text() { return golden()["text"].get<std::vector<int32_t>>(); }

WindowOptions options_of(const Json& test) {
  WindowOptions options{.context = test["context"], .head = test["head"].get<std::vector<int32_t>>()};
  options.scored = test["scored"] == "all" ? ScoredTokens::kAll : ScoredTokens::kSecondHalf;
  if (!test["max_windows"].is_null()) options.max_windows = test["max_windows"].get<int64_t>();
  return options;
}

// Float32 logits of two implementations differ by about 1e-6 of the largest.
constexpr double kTolerance = 2e-5;

void expect_close(double found, const Json& expected, const std::string& what) {
  const double value = expected.get<double>();
  EXPECT_THAT(found, DoubleNear(value, kTolerance * std::max(1.0, std::abs(value)))) << what;
}

void expect_close(const Estimate& found, const Json& expected, const std::string& what) {
  expect_close(found.value, expected[0], what);
  expect_close(found.error, expected[1], what + ", standard error");
}

void expect_close(const PerplexityResult& found, const Json& expected, const std::string& what) {
  EXPECT_EQ(found.tokens, expected["tokens"]) << what;
  expect_close(found.nll, expected["nll"], what + " nll");
  expect_close(found.perplexity, expected["perplexity"], what + " perplexity");
}

std::vector<int32_t> ids_up_to(int32_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

template <typename Function>
void expect_error(ErrorCode code, const std::string& part, const Function& function) {
  try {
    function();
    ADD_FAILURE() << "no error; expected " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(TextWindows, CutsAsLlamaCppDoes) {
  const TextWindows windows(ids_up_to(1100), {.context = 512});
  EXPECT_EQ(windows.count(), 2);
  EXPECT_EQ(windows.window_tokens(), 512);
  EXPECT_EQ(windows.first_scored(), 257);
  EXPECT_EQ(windows.scored_per_window(), 255);
  EXPECT_EQ(windows.scored_tokens(), 510);
  EXPECT_EQ(windows.left_out_tokens(), 76);
  EXPECT_EQ(windows.window(1).front(), 512);
  EXPECT_EQ(windows.window(1).back(), 1023);
}

TEST(TextWindows, TheHeadTakesTheFirstPlacesOfEachWindow) {
  const TextWindows windows(ids_up_to(10), {.context = 4, .head = {70, 71}, .scored = ScoredTokens::kAll});
  EXPECT_EQ(windows.count(), 3);
  EXPECT_THAT(windows.window(0), ElementsAre(70, 71, 0, 1));
  EXPECT_THAT(windows.window(1), ElementsAre(70, 71, 4, 5));
  EXPECT_THAT(windows.window(2), ElementsAre(70, 71, 8, 9));
  EXPECT_EQ(windows.first_scored(), 2) << "the head is not scored";
  EXPECT_EQ(windows.left_out_tokens(), 0);
}

TEST(TextWindows, AShortTextIsOneShortWindow) {
  const TextWindows windows(ids_up_to(7), {.context = 512});
  EXPECT_EQ(windows.count(), 1);
  EXPECT_EQ(windows.window_tokens(), 7);
  EXPECT_EQ(windows.first_scored(), 4);
  EXPECT_EQ(TextWindows(ids_up_to(3), {.context = 512}).scored_tokens(), 1);
  expect_error(ErrorCode::kInvalid, "2 tokens", [] { TextWindows(ids_up_to(2), {.context = 512}); });
  expect_error(ErrorCode::kInvalid, "0 tokens", [] { TextWindows(ids_up_to(0), {.context = 512}); });
  EXPECT_EQ(TextWindows(ids_up_to(2), {.scored = ScoredTokens::kAll}).scored_tokens(), 1);
  expect_error(ErrorCode::kInvalid, "1 tokens", [] { TextWindows(ids_up_to(1), {.scored = ScoredTokens::kAll}); });
}

TEST(TextWindows, Limits) {
  EXPECT_EQ(TextWindows(ids_up_to(100), {.context = 10, .max_windows = 3}).count(), 3);
  EXPECT_EQ(TextWindows(ids_up_to(100), {.context = 10, .max_windows = 3}).left_out_tokens(), 70);
  EXPECT_EQ(TextWindows(ids_up_to(100), {.context = 10, .max_windows = 300}).count(), 10);
  expect_error(ErrorCode::kUsage, "0 windows", [] { TextWindows(ids_up_to(9), {.context = 8, .max_windows = 0}); });
  expect_error(ErrorCode::kUsage, "none to score", [] { TextWindows(ids_up_to(9), {.context = 2}); });
  expect_error(ErrorCode::kUsage, "none to score", [] {
    TextWindows(ids_up_to(9), {.context = 3, .head = {1, 2, 3}});
  });
}

TEST(Evaluate, KnownDistributions) {
  // p = 1/2, 1/4, 1/4 and q = 1/4, 1/2, 1/4, with other constants added to their logarithms.
  const std::vector<float> p = {std::log(2.0F) + 30, 30, 30};
  const std::vector<float> q = {-50, std::log(2.0F) - 50, -50};
  EXPECT_NEAR(negative_log_likelihood(p, 0), std::log(2.0), 1e-6);
  EXPECT_NEAR(negative_log_likelihood(p, 2), std::log(4.0), 1e-6);
  const TokenComparison found = compare_predictions(p, q, 1);
  EXPECT_NEAR(found.base_nll, std::log(4.0), 1e-6);
  EXPECT_NEAR(found.other_nll, std::log(2.0), 1e-6);
  EXPECT_NEAR(found.kld, std::log(2.0) / 4, 1e-6);
  EXPECT_FALSE(found.same_top);
  EXPECT_TRUE(compare_predictions(p, {p}, 1).same_top);
  EXPECT_EQ(compare_predictions(p, {p}, 1).kld, 0);
}

TEST(Evaluate, ProbabilitiesBelowTheSmallestFloatCount) {
  const std::vector<float> p = {0, -200};
  const std::vector<float> q = {-200, 0};
  EXPECT_NEAR(negative_log_likelihood(p, 1), 200, 1e-9);
  EXPECT_NEAR(compare_predictions(p, q, 0).kld, 200, 1e-9);
}

TEST(Evaluate, LogitsThatAreNotFiniteAreAnError) {
  const std::vector<float> fine = {1, 2};
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const std::vector<float> broken = {1, bad};
    expect_error(ErrorCode::kInvalid, "finite", [&] { negative_log_likelihood(broken, 0); });
    expect_error(ErrorCode::kInvalid, "finite", [&] { compare_predictions(fine, broken, 0); });
    expect_error(ErrorCode::kInvalid, "finite", [&] { compare_predictions(broken, fine, 0); });
  }
}

TEST(Evaluate, SummaryOfKnownComparisons) {
  // KLD 0, 1, 2, ..., 100: percentiles are known, and the error is that of a mean.
  std::vector<TokenComparison> all;
  for (int i = 0; i <= 100; ++i) {
    all.push_back({.base_nll = 1, .other_nll = 1.5, .kld = static_cast<double>(100 - i), .same_top = i % 4 != 0});
  }
  const KldResult found = summarize_comparisons(all);
  EXPECT_DOUBLE_EQ(found.kld.value, 50);
  EXPECT_NEAR(found.kld.error, std::sqrt(8585.0 / 10) / std::sqrt(101), 1e-12);  // sum of squares 85850, over 100
  EXPECT_DOUBLE_EQ(found.kld_min, 0);
  EXPECT_DOUBLE_EQ(found.kld_p1, 1);
  EXPECT_DOUBLE_EQ(found.kld_median, 50);
  EXPECT_DOUBLE_EQ(found.kld_p90, 90);
  EXPECT_DOUBLE_EQ(found.kld_p99, 99);
  EXPECT_DOUBLE_EQ(found.kld_max, 100);
  EXPECT_NEAR(found.same_top.value, 75.0 / 101, 1e-12);
  EXPECT_NEAR(found.same_top.error, std::sqrt(75.0 / 101 * 26 / 101 / 100), 1e-12);
  EXPECT_NEAR(found.rms_delta_p.value, std::exp(-1) - std::exp(-1.5), 1e-12);
  EXPECT_NEAR(found.delta_p.value, std::exp(-1.5) - std::exp(-1), 1e-12);
  EXPECT_DOUBLE_EQ(found.log_ratio.value, 0.5);
  EXPECT_NEAR(found.log_ratio.error, 0, 1e-12) << "the same difference at each token";
  EXPECT_DOUBLE_EQ(found.base.perplexity.value, std::exp(1));
  EXPECT_TRUE(std::isnan(summarize_comparisons({all.data(), 1}).kld.error)) << "one token has no spread";
}

TEST(Evaluate, PerplexityEqualsTransformers) {
  for (const Json& test : golden()["cases"]) {
    const TextWindows windows(golden_text(), options_of(test));
    for (const auto& [name, expected] : test["perplexity"].items()) {
      for (const int64_t chunk_tokens : {512, 5}) {
        Engine engine(name, 2, chunk_tokens);
        expect_close(measure_perplexity(engine.runner, windows), expected,
                     fmt::format("{} context {} chunk {}", name, dump_json(test["context"]), chunk_tokens));
      }
    }
  }
}

TEST(Evaluate, DivergenceEqualsTransformers) {
  for (const Json& test : golden()["cases"]) {
    const TextWindows windows(golden_text(), options_of(test));
    for (const auto& [pair, expected] : test["kld"].items()) {
      const std::string base_name = pair.substr(0, pair.find(' '));
      const std::string other_name = pair.substr(pair.find(' ') + 1);
      Engine base(base_name, 2);
      Engine other(other_name, 2, 7);
      const KldResult found = measure_kld(base.runner, other.runner, windows);
      expect_close(found.base, test["perplexity"][base_name], pair);
      expect_close(found.other, test["perplexity"][other_name], pair);
      for (const auto& [key, value] : {std::pair{"log_ratio", found.log_ratio},
                                       {"kld", found.kld},
                                       {"same_top", found.same_top},
                                       {"delta_p", found.delta_p},
                                       {"rms_delta_p", found.rms_delta_p}}) {
        expect_close(value, expected[key], pair + " " + key);
      }
      for (const auto& [key, value] : {std::pair{"kld_min", found.kld_min},
                                       {"kld_p1", found.kld_p1},
                                       {"kld_median", found.kld_median},
                                       {"kld_p90", found.kld_p90},
                                       {"kld_p99", found.kld_p99},
                                       {"kld_max", found.kld_max}}) {
        expect_close(value, expected[key], pair + " " + key);
      }
    }
  }
}

TEST(Evaluate, AModelDivergesFromItselfByExactlyNothing) {
  const TextWindows windows(golden_text(), {.context = 40, .scored = ScoredTokens::kAll});
  for (const char* name : {"glm4_moe_base", "glm4_moe_lite_base"}) {
    Engine base(name, 1);
    Engine other(name, 3);
    const KldResult found = measure_kld(base.runner, other.runner, windows);
    EXPECT_EQ(found.kld.value, 0);
    EXPECT_EQ(found.kld_max, 0);
    EXPECT_EQ(found.same_top.value, 1);
    EXPECT_EQ(found.same_top.error, 0);
    EXPECT_EQ(found.rms_delta_p.value, 0);
    EXPECT_EQ(found.rms_delta_p.error, 0);
    EXPECT_EQ(found.log_ratio.value, 0);
  }
}

TEST(Evaluate, ThreadsDoNotChangeABit) {
  const TextWindows windows(golden_text(), {.context = 32});
  Engine one("glm4_moe_base", 1);
  Engine three("glm4_moe_base", 3);
  Engine one_other("glm4_moe_bias", 1);
  Engine three_other("glm4_moe_bias", 3);
  EXPECT_EQ(measure_perplexity(one.runner, windows).nll.value, measure_perplexity(three.runner, windows).nll.value);
  const KldResult a = measure_kld(one.runner, one_other.runner, windows);
  const KldResult b = measure_kld(three.runner, three_other.runner, windows);
  EXPECT_EQ(a.kld.value, b.kld.value);
  EXPECT_EQ(a.kld.error, b.kld.error);
  EXPECT_EQ(a.rms_delta_p.value, b.rms_delta_p.value);
}

TEST(Evaluate, TellsHowFarItIsAndCanBeStopped) {
  const TextWindows windows(golden_text(), {.context = 32});
  Engine engine("glm4_moe_base");
  EvaluateProgress last;
  const PerplexityResult found = measure_perplexity(engine.runner, windows, [&](const EvaluateProgress& progress) {
    EXPECT_GT(progress.done_tokens, last.done_tokens);
    last = progress;
  });
  EXPECT_EQ(last.done_tokens, last.total_tokens);
  EXPECT_EQ(last.total_tokens, 4 * 31);
  EXPECT_EQ(last.scored_tokens, found.tokens);
  EXPECT_NEAR(last.mean_nll, found.nll.value, 1e-12);
  expect_error(ErrorCode::kCancelled, "enough", [&] {
    measure_perplexity(engine.runner, windows, [](const EvaluateProgress&) { fail(ErrorCode::kCancelled, "enough"); });
  });
}

TEST(Evaluate, IdsOutsideTheVocabularyAreAnError) {
  Engine engine("glm4_moe_base");
  for (const int32_t bad : {-1, 72}) {
    for (const size_t at : {0, 9}) {
      std::vector<int32_t> text = ids_up_to(10);
      text[at] = bad;
      expect_error(ErrorCode::kInvalid, "vocab_size",
                   [&] { measure_perplexity(engine.runner, TextWindows(text, {})); });
      expect_error(ErrorCode::kInvalid, "vocab_size",
                   [&] { measure_kld(engine.runner, engine.runner, TextWindows(text, {})); });
    }
  }
}

}  // namespace
}  // namespace glimmer
