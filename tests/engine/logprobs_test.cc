#include "engine/logprobs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace glimmer {
namespace {

TEST(Logprobs, AreOfTheSoftmax) {
  const std::vector<float> logits = {1, 3, 2, 3, -50};
  const Logprobs result = logprobs_of(logits, 2, 3);
  const double sum = std::exp(1) + 2 * std::exp(3) + std::exp(2) + std::exp(-50);
  EXPECT_NEAR(result.chosen, 2 - std::log(sum), 1e-6);
  ASSERT_EQ(result.top.size(), 3U);
  EXPECT_EQ(result.top[0].id, 1);  // of equals the lower id
  EXPECT_EQ(result.top[1].id, 3);
  EXPECT_EQ(result.top[2].id, 2);
  EXPECT_NEAR(result.top[0].logprob, 3 - std::log(sum), 1e-6);
  EXPECT_TRUE(logprobs_of(logits, 0, 0).top.empty());
  EXPECT_EQ(logprobs_of(logits, 0, 20).top.size(), 5U);
}

TEST(Logprobs, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits = {3e38F, -3e38F, 3e38F};
  const Logprobs result = logprobs_of(logits, 0, 2);
  EXPECT_NEAR(result.chosen, std::log(0.5), 1e-6);
  EXPECT_EQ(result.top[1].id, 2);
}

}  // namespace
}  // namespace glimmer
