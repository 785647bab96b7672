// Routing by hand, and the experts' block against a plain loop.
#include "ops/moe.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

struct Routed {
  std::vector<float> weights;
  std::vector<int32_t> experts;
};

// No bias: an empty view.
Routed route(const RouterRule& rule, std::vector<float> logits, std::vector<float> bias) {
  Context ctx({.backend = "ref", .threads = 1});
  const int64_t tokens = static_cast<int64_t>(logits.size()) / rule.n_routed_experts;
  Routed out{std::vector<float>(tokens * rule.num_experts_per_tok),
             std::vector<int32_t>(tokens * rule.num_experts_per_tok)};
  const Shape chosen{tokens, rule.num_experts_per_tok};
  moe_route(ctx, rule, {logits.data(), DType::kF32, {tokens, rule.n_routed_experts}},
            bias.empty() ? ConstTensorView{} : ConstTensorView{bias.data(), DType::kF32, {rule.n_routed_experts}},
            {out.weights.data(), DType::kF32, chosen}, {out.experts.data(), DType::kI32, chosen});
  return out;
}

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

TEST(MoeRoute, TheBiasChoosesButDoesNotWeigh) {
  const Routed out = route({.n_routed_experts = 4, .num_experts_per_tok = 2, .routed_scaling_factor = 2.0F},
                           {0, 1, 2, 3}, {10, 0, 0, 0});
  EXPECT_THAT(out.experts, ElementsAre(0, 3));
  const float sum = sigmoid(0) + sigmoid(3);
  EXPECT_THAT(out.weights, ElementsAre(FloatNear(2 * sigmoid(0) / sum, 1e-6F), FloatNear(2 * sigmoid(3) / sum, 1e-6F)));
}

TEST(MoeRoute, WithoutNormTheScoresAreOnlyScaled) {
  const Routed out =
      route({.n_routed_experts = 3, .num_experts_per_tok = 1, .norm_topk_prob = false, .routed_scaling_factor = 3.0F},
            {-1, 0.5F, 0}, {0, 0, 0});
  EXPECT_THAT(out.experts, ElementsAre(1));
  EXPECT_THAT(out.weights, ElementsAre(FloatNear(3 * sigmoid(0.5F), 1e-6F)));
}

// e^logit over the sum of all, in double.
std::vector<float> softmax(const std::vector<float>& logits) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<float> scores;
  for (const float logit : logits) scores.push_back(static_cast<float>(std::exp(static_cast<double>(logit)) / sum));
  return scores;
}

TEST(MoeRoute, SoftmaxScoresCountAllExpertsNotTheChosenAlone) {
  const std::vector<float> logits = {-1, 2, 0.5F, 1.5F, -3};
  const std::vector<float> scores = softmax(logits);
  RouterRule rule{
      .n_routed_experts = 5, .num_experts_per_tok = 3, .scoring = RouterScoring::kSoftmax, .norm_topk_prob = false};
  Routed out = route(rule, logits, {});
  EXPECT_THAT(out.experts, ElementsAre(1, 3, 2));
  EXPECT_THAT(out.weights,
              ElementsAre(FloatNear(scores[1], 1e-6F), FloatNear(scores[3], 1e-6F), FloatNear(scores[2], 1e-6F)));

  rule.norm_topk_prob = true;
  out = route(rule, logits, {});
  const float sum = scores[1] + scores[3] + scores[2];
  EXPECT_THAT(out.experts, ElementsAre(1, 3, 2));
  EXPECT_THAT(out.weights, ElementsAre(FloatNear(scores[1] / sum, 1e-6F), FloatNear(scores[3] / sum, 1e-6F),
                                       FloatNear(scores[2] / sum, 1e-6F)));
}

TEST(MoeRoute, SoftmaxOfLargeLogitsDoesNotOverflowAndTiesGoToTheLowerIndex) {
  const RouterRule rule{.n_routed_experts = 4, .num_experts_per_tok = 2, .scoring = RouterScoring::kSoftmax};
  const Routed out = route(rule, {300, 400, 300, 400, -400, -300, -300, -400}, {});
  EXPECT_THAT(out.experts, ElementsAre(1, 3, 1, 2));
  EXPECT_THAT(out.weights, ElementsAre(0.5F, 0.5F, 0.5F, 0.5F));
}

TEST(MoeRoute, TiesGoToTheLowerIndex) {
  EXPECT_THAT(route({.n_routed_experts = 4, .num_experts_per_tok = 3}, {1, 1, 1, 1}, {0, 0, 0, 0}).experts,
              ElementsAre(0, 1, 2));
}

TEST(MoeRoute, OnlyTheBestGroupsByTheirTwoBestStayIn) {
  // The single best expert, 4, is in a group whose sum of two is lower.
  const RouterRule rule{.n_routed_experts = 6, .num_experts_per_tok = 2, .n_group = 3, .topk_group = 1};
  EXPECT_THAT(route(rule, {2, 2, 0, 0, 3, -9}, {0, 0, 0, 0, 0, 0}).experts, ElementsAre(0, 1));
}

TEST(MoeRoute, NegativeChoicesOfAKeptGroupBeatThoseOfAMaskedOne) {
  const RouterRule rule{.n_routed_experts = 4, .num_experts_per_tok = 2, .n_group = 2, .topk_group = 1};
  EXPECT_THAT(route(rule, {0, 0, 0, 0}, {-5, -6, -4, -9}).experts, ElementsAre(0, 1));
}

TEST(MoeRoute, HostileScoresStayInRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  RouterRule rule{.n_routed_experts = 4, .num_experts_per_tok = 2, .n_group = 2, .topk_group = 1};
  for (const RouterScoring scoring : {RouterScoring::kSigmoid, RouterScoring::kSoftmax}) {
    rule.scoring = scoring;
    for (const float bias : {-infinity, infinity, nan}) {
      for (const float logit : {-infinity, infinity, nan, 0.0F}) {
        for (const int32_t expert : route(rule, std::vector<float>(4, logit), std::vector<float>(4, bias)).experts) {
          EXPECT_GE(expert, 0);
          EXPECT_LT(expert, 4);
        }
      }
    }
  }
}

TEST(MoeExperts, EqualAPlainLoopWithRaggedAndEmptyExperts) {
  constexpr int64_t kHidden = 20, kWidth = 13, kExperts = 5, kTopK = 2;
  std::mt19937 rng(3);
  const auto random = [&](size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(rng() >> 8) / (1 << 23) - 1.0F;
    return values;
  };
  std::vector<std::vector<float>> memory;
  std::vector<MlpWeights> experts;
  const auto matrix = [&](int64_t out, int64_t in) {
    memory.push_back(random(static_cast<size_t>(out * in)));
    return LinearWeight{.weight = float_weight_matrix(WeightCodes::kF32, memory.back().data(), out, in)};
  };
  memory.reserve(3 * kExperts);
  for (int e = 0; e < kExperts; ++e)
    experts.push_back({matrix(kWidth, kHidden), matrix(kWidth, kHidden), matrix(kHidden, kWidth)});

  for (const int64_t tokens : {1, 2, 9}) {
    const std::vector<float> x = random(static_cast<size_t>(tokens * kHidden));
    const std::vector<float> weights = random(static_cast<size_t>(tokens * kTopK));
    std::vector<int32_t> chosen;  // expert 4 never; expert 0 always
    for (int64_t t = 0; t < tokens; ++t) chosen.insert(chosen.end(), {static_cast<int32_t>(1 + t % 3), 0});
    std::vector<float> expected(x.size(), 0.0F);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t k = 0; k < kTopK; ++k) {
        const MlpWeights& w = experts[chosen[t * kTopK + k]];
        const auto dot = [&](const LinearWeight& m, int64_t row, const float* v) {
          double sum = 0;
          for (int64_t i = 0; i < m.in_features(); ++i)
            sum += reinterpret_cast<const float*>(m.weight.code_data)[row * m.in_features() + i] * v[i];
          return static_cast<float>(sum);
        };
        std::vector<float> inner(kWidth);
        for (int64_t i = 0; i < kWidth; ++i) {
          const float gate = dot(w.gate_proj, i, &x[t * kHidden]);
          inner[i] = gate * sigmoid(gate) * dot(w.up_proj, i, &x[t * kHidden]);
        }
        for (int64_t i = 0; i < kHidden; ++i)
          expected[t * kHidden + i] += weights[t * kTopK + k] * dot(w.down_proj, i, inner.data());
      }
    }
    for (const kernels::KernelTable* table : kernels::all_tables()) {
      if (!table->supported()) continue;
      Context ctx({.backend = std::string(table->name), .threads = 2});
      MoeScratch scratch(tokens, kTopK, kHidden, kWidth, kExperts);
      std::vector<float> out(x.size());
      const Shape rows{tokens, kHidden};
      moe_experts(ctx, experts, {x.data(), DType::kF32, rows}, {weights.data(), DType::kF32, {tokens, kTopK}},
                  {chosen.data(), DType::kI32, {tokens, kTopK}}, scratch, {out.data(), DType::kF32, rows});
      for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_NEAR(out[i], expected[i], 2e-5F) << table->name << ", " << tokens << " tokens, value " << i;
      }
    }
  }
}

}  // namespace
}  // namespace glimmer
