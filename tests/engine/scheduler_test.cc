#include "engine/scheduler.h"

#include <gmock/gmock.h>

#include <numeric>

namespace glimmer {
namespace {

using ::testing::ElementsAre;

TEST(ShareChunk, HalfToTheFirstAndHalfToTheShortest) {
  const std::vector<PromptDemand> prompts = {
      {.rank = {0, 1}, .tokens = 10000}, {.rank = {0, 2}, .tokens = 500}, {.rank = {0, 3}, .tokens = 20}};
  EXPECT_THAT(share_chunk(prompts, 100), ElementsAre(50, 30, 20));
  EXPECT_THAT(share_chunk(prompts, 1), ElementsAre(1, 0, 0));
  EXPECT_THAT(share_chunk(prompts, 0), ElementsAre(0, 0, 0));
  EXPECT_THAT(share_chunk(prompts, 20000), ElementsAre(10000, 500, 20));
}

TEST(ShareChunk, PriorityGoesFirst) {
  const std::vector<PromptDemand> prompts = {{.rank = {0, 1}, .tokens = 5}, {.rank = {3, 2}, .tokens = 1000}};
  EXPECT_THAT(share_chunk(prompts, 100), ElementsAre(0, 100));
}

// Nothing is lost and nothing given twice, whatever the demands.
TEST(ShareChunk, GivesAllOfTheBudgetThatIsWanted) {
  uint64_t random = 1;
  for (int round = 0; round < 1000; ++round) {
    std::vector<PromptDemand> prompts;
    int64_t wanted = 0;
    const auto next = [&](uint64_t below) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      return static_cast<int64_t>((random >> 33) % below);
    };
    for (int64_t i = next(6); i >= 0; --i) {
      prompts.push_back({.rank = {static_cast<int>(next(2)), next(100)}, .tokens = 1 + next(300)});
      wanted += prompts.back().tokens;
    }
    const int64_t budget = next(600);
    const std::vector<int64_t> shares = share_chunk(prompts, budget);
    EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), int64_t{0}), std::min(budget, wanted));
    for (size_t i = 0; i < shares.size(); ++i) {
      EXPECT_GE(shares[i], 0);
      EXPECT_LE(shares[i], prompts[i].tokens);
    }
  }
}

TEST(NextToAdmit, PriorityThenTenantThenArrival) {
  TenantLedger ledger;
  ledger.started("busy");
  ledger.served("busy", 1000);
  const auto next = [&](const std::vector<WaitingRequest>& waiting) { return next_to_admit(waiting, ledger); };
  EXPECT_EQ(next({{{0, 5}, "a"}, {{0, 4}, "b"}}), 1U);
  EXPECT_EQ(next({{{0, 5}, "a"}, {{0, 4}, "busy"}}), 0U);
  EXPECT_EQ(next({{{0, 5}, "a"}, {{1, 9}, "busy"}}), 1U);
  ledger.started("a");
  EXPECT_EQ(next({{{0, 4}, "busy"}, {{0, 5}, "a"}}), 0U);  // as many run, and "a" began where "busy" was
  ledger.served("busy", 1);
  EXPECT_EQ(next({{{0, 4}, "busy"}, {{0, 5}, "a"}}), 1U);
  ledger.ended("a");
  ledger.ended("busy");
  EXPECT_EQ(next({{{0, 4}, "busy"}, {{0, 5}, "a"}}), 0U);
}

TEST(NextToDisplace, TheNewestOfWhoHasMost) {
  const std::vector<WaitingRequest> waiting = {
      {{0, 1}, "a"}, {{0, 4}, "a"}, {{0, 2}, "b"}, {{0, 3}, "c"}, {{0, 5}, "b"}};
  const auto next = [&](const TenantCounts& counts, const WaitingRequest& newcomer) {
    return next_to_displace(waiting, counts, newcomer);
  };
  EXPECT_EQ(next({{"a", 5}, {"b", 3}, {"c", 1}}, {{0, 9}, "new"}), 1U);
  EXPECT_EQ(next({{"a", 3}, {"b", 5}, {"c", 1}}, {{0, 9}, "new"}), 4U);
  EXPECT_EQ(next({{"a", 3}, {"b", 3}, {"c", 1}}, {{0, 9}, "new"}), 4U);  // of equals the newest
  EXPECT_EQ(next({{"a", 3}, {"b", 2}, {"c", 1}}, {{0, 9}, "c"}), 1U);
  // No one gives way to who has as many, or would have more then.
  EXPECT_EQ(next({{"a", 3}, {"b", 2}, {"c", 2}}, {{0, 9}, "c"}), std::nullopt);
  EXPECT_EQ(next({{"a", 9}}, {{0, 9}, "a"}), std::nullopt);
  EXPECT_EQ(next({{"a", 1}, {"b", 1}, {"c", 1}}, {{0, 9}, "new"}), std::nullopt);
  EXPECT_EQ(next_to_displace({}, {{"a", 9}}, {{0, 9}, "new"}), std::nullopt);  // all of them run
}

TEST(NextToDisplace, NeverALargerPriority) {
  const std::vector<WaitingRequest> waiting = {{{1, 1}, "a"}, {{0, 2}, "a"}, {{2, 3}, "a"}};
  const TenantCounts counts = {{"a", 9}};
  EXPECT_EQ(next_to_displace(waiting, counts, {{0, 9}, "new"}), 1U);
  EXPECT_EQ(next_to_displace(waiting, counts, {{1, 9}, "new"}), 1U);
  EXPECT_EQ(next_to_displace(waiting, counts, {{-1, 9}, "new"}), std::nullopt);
}

}  // namespace
}  // namespace glimmer
