#include "engine/sampler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/token_filter.h"
#include "engine/random.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Logits whose softmax at temperature 1 is `probabilities`.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

// How often each id comes in `draws` tokens drawn from the same logits.
std::vector<int> histogram(const SamplingParams& params, const std::vector<float>& logits, int draws) {
  Sampler sampler(params, static_cast<int64_t>(logits.size()));
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) ++counts[static_cast<size_t>(sampler.sample(logits))];
  return counts;
}

std::set<int> drawn_ids(const SamplingParams& params, const std::vector<float>& logits) {
  const std::vector<int> counts = histogram(params, logits, 2000);
  std::set<int> ids;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) ids.insert(static_cast<int>(i));
  }
  return ids;
}

double chi_square(const std::vector<int>& counts, const std::vector<double>& probabilities, int draws) {
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = probabilities[i] * draws;
    sum += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  return sum;
}

int32_t greedy(SamplingParams params, const std::vector<float>& logits, const std::vector<int32_t>& prompt = {}) {
  Sampler sampler(params, static_cast<int64_t>(logits.size()));
  sampler.observe_prompt(prompt);
  return sampler.sample(logits);
}

std::string validation_error(const SamplingParams& params) {
  try {
    validate(params, 10);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    return error.what();
  }
  return "";
}

TEST(Random, IsSplitMix64) {
  // The first outputs of the published generator with seed 0.
  EXPECT_EQ(mix_bits(0x9E3779B97F4A7C15), 0xE220A8397B1DCDAFU);
  EXPECT_EQ(mix_bits(2 * 0x9E3779B97F4A7C15), 0x6E789E6AA1B965F4U);
}

TEST(Random, UnitIsInRangeAndEven) {
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = random_unit(7, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
}

TEST(Random, NeighbouringSeedsDiffer) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    for (uint64_t i = 0; i < 50; ++i) seen.insert(random_bits(seed, i));
  }
  EXPECT_EQ(seen.size(), 2500U);
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdAmongEquals) {
  EXPECT_EQ(greedy({}, {1, 3, 2, 3}), 1);
  EXPECT_EQ(greedy({}, {-5, -5, -5}), 0);
}

TEST(Sampler, SameSeedSameTokens) {
  const std::vector<float> logits = logits_of({0.1, 0.2, 0.3, 0.4});
  const SamplingParams params{.temperature = 1, .seed = 42};
  Sampler a(params, 4);
  Sampler b(params, 4);
  std::vector<int32_t> first;
  for (int i = 0; i < 100; ++i) {
    first.push_back(a.sample(logits));
    ASSERT_EQ(first.back(), b.sample(logits));
  }
  Sampler other({.temperature = 1, .seed = 43}, 4);
  std::vector<int32_t> second;
  for (int i = 0; i < 100; ++i) second.push_back(other.sample(logits));
  EXPECT_NE(first, second);
}

// Pins the mapping from seed to tokens: a change of it breaks users' reproducible runs and must be told.
TEST(Sampler, TokensOfASeedStayTheSame) {
  const std::vector<float> logits(1000, 0.0F);
  Sampler sampler({.temperature = 1, .seed = 1}, 1000);
  std::vector<int32_t> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(sampler.sample(logits));
  EXPECT_THAT(ids, ElementsAre(368, 943, 45, 777, 219));
}

TEST(Sampler, DistributionAtTemperatureOne) {
  const std::vector<double> p = {0.05, 0.4, 0.15, 0.3, 0.1};
  const std::vector<int> counts = histogram({.temperature = 1, .seed = 3}, logits_of(p), 20000);
  EXPECT_LT(chi_square(counts, p, 20000), 18.47);  // 4 degrees of freedom, p = 0.001
}

TEST(Sampler, TemperatureSharpens) {
  // p^(1/T), normalised: at T = 0.5 the squares.
  const std::vector<double> squares = {0.0025 / 0.275, 0.16 / 0.275, 0.0225 / 0.275, 0.09 / 0.275};
  const std::vector<int> counts = histogram({.temperature = 0.5, .seed = 4}, logits_of({0.05, 0.4, 0.15, 0.3}), 20000);
  EXPECT_LT(chi_square(counts, squares, 20000), 16.27);  // 3 degrees of freedom, p = 0.001
}

TEST(Sampler, CutsKeepTheDistributionOfWhatIsLeft) {
  const std::vector<int> counts =
      histogram({.temperature = 1, .top_k = 2, .seed = 5}, logits_of({0.1, 0.4, 0.2, 0.3}), 20000);
  EXPECT_EQ(counts[0] + counts[2], 0);
  EXPECT_LT(chi_square({counts[1], counts[3]}, {4.0 / 7, 3.0 / 7}, 20000), 10.83);  // 1 degree of freedom
}

TEST(Sampler, TopKKeepsTheKLargestAndTheLowestIdsAmongEquals) {
  const std::vector<float> logits = logits_of({0.1, 0.2, 0.4, 0.2, 0.1});
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_k = 1}, logits), ElementsAre(2));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_k = 2}, logits), ElementsAre(1, 2));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_k = 3}, logits), ElementsAre(1, 2, 3));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_k = 100}, logits), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_k = -1}, logits), ElementsAre(0, 1, 2, 3, 4));
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  const std::vector<float> logits = logits_of({0.1, 0.5, 0.25, 0.15});
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_p = 0.01}, logits), ElementsAre(1));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_p = 0.49}, logits), ElementsAre(1));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_p = 0.74}, logits), ElementsAre(1, 2));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_p = 0.8}, logits), ElementsAre(1, 2, 3));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_p = 0.95}, logits), ElementsAre(0, 1, 2, 3));
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  // Of 0.5 and 0.25 the first has two thirds.
  const std::vector<float> logits = logits_of({0.1, 0.5, 0.25, 0.15});
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_k = 2, .top_p = 0.6}, logits), ElementsAre(1));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_k = 2, .top_p = 0.7}, logits), ElementsAre(1, 2));
}

TEST(Sampler, TopPOfAWideVocabulary) {
  // 5,000 equal tokens: the lowest ids are kept, more of them than are ordered at once.
  const std::vector<float> logits(5000, 1.0F);
  const std::set<int> ids = drawn_ids({.temperature = 1, .top_p = 0.5}, logits);
  EXPECT_LT(*ids.rbegin(), 2500);
  EXPECT_GT(*ids.rbegin(), 2300);
}

TEST(Sampler, MinPKeepsAFractionOfTheLargest) {
  const std::vector<float> logits = logits_of({0.09, 0.5, 0.26, 0.15});
  EXPECT_THAT(drawn_ids({.temperature = 1, .min_p = 1}, logits), ElementsAre(1));
  EXPECT_THAT(drawn_ids({.temperature = 1, .min_p = 0.5}, logits), ElementsAre(1, 2));
  EXPECT_THAT(drawn_ids({.temperature = 1, .min_p = 0.25}, logits), ElementsAre(1, 2, 3));
  EXPECT_THAT(drawn_ids({.temperature = 1, .top_p = 0.9, .min_p = 0.5}, logits), ElementsAre(1, 2));
}

// What the definition says, by a full sort in double.
std::set<int> kept_by_definition(const SamplingParams& params, const std::vector<float>& logits) {
  std::vector<int> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
  if (params.top_k > 0 && params.top_k < static_cast<int64_t>(order.size())) order.resize(params.top_k);
  const auto weight = [&](int id) { return std::exp((logits[id] - logits[order[0]]) / params.temperature); };
  double total = 0;
  for (const int id : order) total += weight(id);
  double sum = 0;
  std::set<int> kept;
  for (const int id : order) {
    if (sum < params.top_p * total && weight(id) >= params.min_p) kept.insert(id);
    sum += weight(id);
  }
  return kept;
}

TEST(Sampler, CutsAgreeWithTheDefinition) {
  for (uint64_t trial = 0; trial < 200; ++trial) {
    const auto random = [&](uint64_t i) { return random_unit(1000 + trial, i); };
    std::vector<float> logits;
    for (uint64_t i = 0; i < 40; ++i) {
      const auto logit = static_cast<float>(random(i) * 3);
      logits.push_back(trial % 2 == 0 ? std::round(logit) : logit);  // with many equal ones, or none
    }
    SamplingParams params{.temperature = 0.2 + random(50) * 2, .seed = trial};
    if (random(51) < 0.5) params.top_k = 1 + static_cast<int64_t>(random(52) * 40);
    if (random(53) < 0.5) params.top_p = 0.01 + random(54) * 0.98;
    if (random(55) < 0.5) params.min_p = random(56) * 0.3;
    const std::set<int> kept = kept_by_definition(params, logits);
    const std::set<int> drawn = drawn_ids(params, logits);
    EXPECT_TRUE(std::includes(kept.begin(), kept.end(), drawn.begin(), drawn.end())) << "trial " << trial;
    if (params.temperature > 1) {
      EXPECT_GE(drawn.size() + 2, kept.size()) << "trial " << trial;
    }
  }
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  // 4 / 2 = 2 < 3: the prompt's token loses.
  EXPECT_EQ(greedy({.repetition_penalty = 2}, {4, 3, 0}, {0}), 1);
  // -1 * 2 = -2 < -1.5
  EXPECT_EQ(greedy({.repetition_penalty = 2}, {-1, -1.5F, -9}, {0}), 1);
  EXPECT_EQ(greedy({.repetition_penalty = 1.1}, {4, 3, 0}, {0}), 0);
}

TEST(Sampler, PresenceAndFrequencyPenaltiesCountTheOutputOnly) {
  const std::vector<float> logits = {2, 1, 0};
  EXPECT_EQ(greedy({.presence_penalty = 2}, logits, {0}), 0);
  Sampler presence({.presence_penalty = 1.5}, 3);
  EXPECT_EQ(presence.sample(logits), 0);  // 2 1 0
  EXPECT_EQ(presence.sample(logits), 1);  // 0.5 1 0
  EXPECT_EQ(presence.sample(logits), 0);  // 0.5 -0.5 0
  EXPECT_EQ(presence.sample(logits), 0);  // the same: presence does not add up
  Sampler frequency({.frequency_penalty = 0.75}, 3);
  EXPECT_EQ(frequency.sample(logits), 0);  // 2 1 0
  EXPECT_EQ(frequency.sample(logits), 0);  // 1.25 1 0
  EXPECT_EQ(frequency.sample(logits), 1);  // 0.5 1 0
  EXPECT_EQ(frequency.sample(logits), 0);  // 0.5 0.25 0
}

TEST(Sampler, LogitBiasComesLast) {
  EXPECT_EQ(greedy({.logit_bias = {{2, 5}}}, {2, 1, 0}), 2);
  EXPECT_EQ(greedy({.logit_bias = {{0, -100}}}, {2, 1, 0}), 1);
  EXPECT_EQ(greedy({.repetition_penalty = 100, .logit_bias = {{0, 2}}}, {2, 1.5F, 0}, {0}), 0);
}

TEST(Sampler, ExtremeTemperaturesStayFinite) {
  EXPECT_THAT(drawn_ids({.temperature = 1e-4}, {1e30F, 0, -1e30F}), ElementsAre(0));
  EXPECT_THAT(drawn_ids({.temperature = 100}, {1, 0, -1}), ElementsAre(0, 1, 2));
}

TEST(Sampler, LogitsThatAreNotFiniteAreAnError) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const double temperature : {0.0, 1.0}) {
      Sampler sampler({.temperature = temperature}, 3);
      try {
        sampler.sample(std::vector<float>{1, bad, 2});
        FAIL() << bad;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalid);
        EXPECT_THAT(error.what(), HasSubstr("token 1"));
      }
    }
  }
}

TEST(Sampler, ParametersOutOfRangeAreUsageErrors) {
  EXPECT_EQ(validation_error({}), "");
  EXPECT_THAT(validation_error({.temperature = -0.1}), HasSubstr("temperature"));
  EXPECT_THAT(validation_error({.temperature = std::nan("")}), HasSubstr("temperature"));
  EXPECT_THAT(validation_error({.top_k = -2}), HasSubstr("top_k"));
  EXPECT_THAT(validation_error({.top_p = 0}), HasSubstr("top_p"));
  EXPECT_THAT(validation_error({.top_p = 1.01}), HasSubstr("top_p"));
  EXPECT_THAT(validation_error({.min_p = -1}), HasSubstr("min_p"));
  EXPECT_THAT(validation_error({.repetition_penalty = 0}), HasSubstr("repetition_penalty"));
  EXPECT_THAT(validation_error({.presence_penalty = 3}), HasSubstr("presence_penalty"));
  EXPECT_THAT(validation_error({.frequency_penalty = -3}), HasSubstr("frequency_penalty"));
  EXPECT_THAT(validation_error({.logit_bias = {{10, 1}}}), HasSubstr("token 10"));
  EXPECT_THAT(validation_error({.logit_bias = {{1, 101}}}), HasSubstr("logit_bias"));
}

std::vector<uint64_t> bits_of(const std::vector<int32_t>& ids, int64_t vocab_size) {
  std::vector<uint64_t> bits(static_cast<size_t>(token_words(vocab_size)));
  for (const int32_t id : ids) set_token(bits, id, true);
  return bits;
}

TEST(Sampler, ChoosesAmongTheAllowedOnly) {
  const std::vector<float> logits = {5, 4, 3, 2, 1};
  Sampler greedy({}, 5);
  EXPECT_EQ(greedy.choose(logits, 0), 0);
  EXPECT_EQ(greedy.choose(logits, 0, bits_of({1, 3}, 5)), 1);
  EXPECT_EQ(greedy.choose(logits, 0, bits_of({4}, 5)), 4);
  EXPECT_EQ(greedy.choose({std::vector<float>{1, 2, 2, 2, 1}}, 0, bits_of({2, 3, 4}, 5)), 2) << "ties to the lowest id";
}

// As if the vocabulary had no others: cuts count them alone, and probabilities sum to 1 over them.
TEST(Sampler, DrawsFromTheAllowedAsIfThereWereNoOthers) {
  constexpr int64_t kVocab = 200;
  std::vector<float> logits(kVocab);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(random_unit(3, i)) * 6;
  std::vector<int32_t> ids;
  std::vector<float> few;
  for (int32_t id = 5; id < kVocab; id += 7) {
    ids.push_back(id);
    few.push_back(logits[static_cast<size_t>(id)]);
  }
  const std::vector<SamplingParams> kinds = {{.temperature = 1, .seed = 5},
                                             {.temperature = 0.7, .top_k = 4, .seed = 5},
                                             {.temperature = 1.5, .top_p = 0.6, .seed = 5},
                                             {.temperature = 1, .top_k = 20, .top_p = 0.9, .min_p = 0.1, .seed = 5}};
  for (const SamplingParams& params : kinds) {
    Sampler masked(params, kVocab);
    Sampler small(params, static_cast<int64_t>(few.size()));
    for (int64_t position = 0; position < 300; ++position) {
      const auto expected = static_cast<size_t>(small.choose(few, position));
      ASSERT_EQ(masked.choose(logits, position, bits_of(ids, kVocab)), ids[expected]);
    }
  }
}

TEST(Sampler, AllAllowedIsNoMask) {
  std::vector<float> logits(130);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(random_unit(4, i)) * 8;
  std::vector<int32_t> all(logits.size());
  std::iota(all.begin(), all.end(), 0);
  std::vector<uint64_t> bits = bits_of(all, 130);
  bits.back() = ~uint64_t{0};  // beyond the vocabulary too
  const SamplingParams params{.temperature = 0.9, .top_k = 50, .top_p = 0.8, .presence_penalty = 1, .seed = 9};
  Sampler masked(params, 130);
  Sampler free(params, 130);
  for (int64_t position = 0; position < 100; ++position) {
    const int32_t id = free.choose(logits, position);
    ASSERT_EQ(masked.choose(logits, position, bits), id);
    free.accept(id);
    masked.accept(id);
  }
}

TEST(Sampler, LogitsOfTokensThatAreNotAllowedMayBeAnything) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {inf, 1, std::nanf(""), 2, -inf};
  for (const double temperature : {0.0, 1e-3}) {
    Sampler sampler({.temperature = temperature, .repetition_penalty = 2}, 5);
    sampler.observe_prompt(std::vector<int32_t>{0, 2, 4});
    EXPECT_EQ(sampler.choose(logits, 0, bits_of({1, 3}, 5)), 3);
    try {
      sampler.choose(logits, 0, bits_of({1, 3, 4}, 5));
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      EXPECT_THAT(error.what(), HasSubstr("token 4 is -inf"));
    }
  }
}

TEST(Sampler, NoneAllowedIsAnErrorThatSaysSo) {
  Sampler sampler({.temperature = 1}, 70);
  std::vector<uint64_t> bits(2);
  bits[1] = ~uint64_t{0} << 6;  // of tokens beyond the vocabulary
  try {
    sampler.choose(std::vector<float>(70), 0, bits);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_THAT(error.what(), HasSubstr("no token may come next"));
  }
  EXPECT_LT(sampler.choose(std::vector<float>(70), 0), 70) << "and the next choice has no mask";
}

TEST(Sampler, ChoosingRemembersNothing) {
  const std::vector<float> logits = {1, 0.9F, 0};
  Sampler sampler({.presence_penalty = 0.5}, 3);
  EXPECT_EQ(sampler.choose(logits, 0), 0);
  EXPECT_EQ(sampler.choose(logits, 1), 0) << "the first was not accepted";
  sampler.accept(0);
  EXPECT_EQ(sampler.choose(logits, 1), 1);
  EXPECT_EQ(sampler.choose(logits, 2), 1);
}

TEST(Sampler, DrawsByPosition) {
  const std::vector<float> logits = logits_of({0.3, 0.3, 0.4});
  const SamplingParams params{.temperature = 1, .seed = 8};
  Sampler in_order(params, 3);
  Sampler backwards(params, 3);
  std::vector<int32_t> ids;
  for (int i = 0; i < 50; ++i) ids.push_back(in_order.sample(logits));
  for (int64_t i = 49; i >= 0; --i) EXPECT_EQ(backwards.choose(logits, i), ids[static_cast<size_t>(i)]);
}

}  // namespace
}  // namespace glimmer
