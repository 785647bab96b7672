// Groups of ranks as threads: what they exchange, and that no one waits for ever for a rank that failed.
#include "comm/group.h"

#include <gmock/gmock.h>

#include <atomic>
#include <numeric>
#include <random>
#include <thread>

#include "base/error.h"
#include "comm/threads.h"

namespace glimmer::comm {
namespace {

using ::testing::HasSubstr;

std::string peer_error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kPeer) << error.what();
    return error.what();
  }
  return "no error";
}

// Contiguous shares of [0, total) of random sizes, some of them empty.
std::vector<Range> random_shares(int ranks, int64_t total, std::mt19937& random) {
  std::vector<int64_t> cuts = {0, total};
  for (int i = 1; i < ranks; ++i) cuts.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(total + 1)));
  std::sort(cuts.begin(), cuts.end());
  std::vector<Range> shares;
  for (int i = 0; i < ranks; ++i) shares.push_back({cuts[static_cast<size_t>(i)], cuts[static_cast<size_t>(i) + 1]});
  std::shuffle(shares.begin(), shares.end(), random);  // any rank may have any of them
  return shares;
}

class Ranks : public ::testing::TestWithParam<int> {};

TEST_P(Ranks, GatherMakesRowsWholeOnAll) {
  run_ranks(GetParam(), [](Group& group) {
    std::mt19937 random(7);  // alike on all ranks
    for (int round = 0; round < 200; ++round) {
      const int64_t rows = static_cast<int64_t>(random() % 4);
      const int64_t columns = 1 + static_cast<int64_t>(random() % 40);
      const int64_t stride = columns + static_cast<int64_t>(random() % 3);
      const std::vector<Range> shares = random_shares(group.size(), columns, random);
      const std::vector<Range> others = random_shares(group.size(), columns, random);
      const auto expected = [&](int64_t row, int64_t column) {
        return static_cast<int32_t>(round * 1000 + row * 50 + column);
      };
      std::vector<int32_t> first(static_cast<size_t>(rows * stride), -1);
      std::vector<int32_t> second(first);
      const auto fill = [&](std::vector<int32_t>& values, const std::vector<Range>& of_rank) {
        const Range own = of_rank[static_cast<size_t>(group.rank())];
        for (int64_t row = 0; row < rows; ++row) {
          for (int64_t c = own.begin; c < own.end; ++c)
            values[static_cast<size_t>(row * stride + c)] = expected(row, c);
        }
      };
      fill(first, shares);
      fill(second, others);
      const auto call = [&](std::vector<int32_t>& values, const std::vector<Range>& of_rank) {
        return GatherCall{.data = reinterpret_cast<std::byte*>(values.data()),
                          .rows = rows,
                          .row_bytes = stride * 4,
                          .of_rank = of_rank,
                          .bytes_per_unit = 4};
      };
      const GatherCall calls[] = {call(first, shares), call(second, others)};
      group.gather({"rows", round}, calls);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t c = 0; c < stride; ++c) {
          const int32_t value = c < columns ? expected(row, c) : -1;
          ASSERT_EQ(first[static_cast<size_t>(row * stride + c)], value) << "rank " << group.rank();
          ASSERT_EQ(second[static_cast<size_t>(row * stride + c)], value) << "rank " << group.rank();
        }
      }
    }
  });
}

// A rank with several ranges of a row has a table for each.
TEST_P(Ranks, GatherTakesSeveralRangesOfARank) {
  run_ranks(GetParam(), [](Group& group) {
    const int64_t ranks = group.size();
    std::vector<std::vector<Range>> tables(2);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      tables[0].push_back({2 * rank, 2 * rank + 2});
      tables[1].push_back({3 * ranks - rank - 1, 3 * ranks - rank});  // in the opposite order
    }
    std::vector<std::byte> row(static_cast<size_t>(3 * ranks), std::byte{255});
    std::vector<GatherCall> calls;
    for (const std::vector<Range>& table : tables) {
      const Range own = table[static_cast<size_t>(group.rank())];
      for (int64_t i = own.begin; i < own.end; ++i) row[static_cast<size_t>(i)] = std::byte(i);
      calls.push_back({.data = row.data(), .rows = 1, .row_bytes = 3 * ranks, .of_rank = table});
    }
    group.gather({"rows"}, calls);
    for (size_t i = 0; i < row.size(); ++i) ASSERT_EQ(row[i], std::byte(i)) << "rank " << group.rank();
  });
}

TEST_P(Ranks, BroadcastSpreadsTheRootsBytes) {
  run_ranks(GetParam(), [](Group& group) {
    for (int round = 0; round < 50; ++round) {
      const int root = round % group.size();
      std::vector<std::byte> bytes(group.rank() == root ? static_cast<size_t>(round) : 3, std::byte(round));
      group.broadcast({"step"}, root, bytes);
      ASSERT_EQ(bytes, std::vector<std::byte>(static_cast<size_t>(round), std::byte(round)));
    }
  });
}

TEST_P(Ranks, MessagesGoRoundInOrder) {
  run_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    const int next = (group.rank() + 1) % group.size();
    const int before = (group.rank() + group.size() - 1) % group.size();
    for (int round = 0; round < 50; ++round) {
      std::array<std::byte, 2> out{std::byte(round), std::byte(group.rank())};
      std::array<std::byte, 2> in{};
      // A ring of blocking sends needs one rank that receives first.
      if (group.rank() == 0) group.receive({"hidden", round}, in, before);
      group.send({"hidden", round}, out, next);
      if (group.rank() != 0) group.receive({"hidden", round}, in, before);
      ASSERT_EQ(in, (std::array{std::byte(round), std::byte(before)}));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, Ranks, ::testing::Values(1, 2, 3, 5));

TEST(RanksFail, MessagesBlockUntilTheyAreTaken) {
  // Rank 0 sends to itself through rank 1 only after rank 1 has received: a ring where all send first would stand still
  // for ever, which `patience` turns into an error.
  auto groups = make_thread_groups(2, std::chrono::milliseconds(50));
  std::array<std::byte, 1> byte{};
  EXPECT_THAT(peer_error_of([&] { groups[0]->send({"hidden"}, byte, 1); }),
              HasSubstr("rank 1 did not come within 50 ms"));
}

TEST(Ranks, SplitGroupsWorkApart) {
  run_ranks(6, [](Group& world) {
    const int color = world.rank() % 2;
    const std::unique_ptr<Group> part = world.split(color);
    ASSERT_EQ(part->size(), 3);
    ASSERT_EQ(part->rank(), world.rank() / 2);
    const std::unique_ptr<Group> again = part->split(part->rank() == 0 ? 0 : 1);
    ASSERT_EQ(again->size(), part->rank() == 0 ? 1 : 2);
    for (int round = 0; round < 20; ++round) {
      std::vector<std::byte> bytes(1, std::byte(color));
      part->broadcast({"step"}, 0, bytes);
      ASSERT_EQ(bytes.front(), std::byte(color));
    }
  });
}

TEST(RanksFail, OneRanksErrorEndsAllAndIsTheOneTold) {
  std::atomic<int> ended = 0;
  try {
    run_ranks(4, [&](Group& group) {
      try {
        if (group.rank() == 2) fail(ErrorCode::kMemory, "out of memory in layer 7");
        std::vector<std::byte> bytes;
        if (group.rank() == 3) {
          group.receive({"hidden"}, bytes, 2);
        } else {
          group.broadcast({"step"}, 0, bytes);
        }
        ADD_FAILURE() << "rank " << group.rank() << " went on";
      } catch (const Error& error) {
        if (group.rank() != 2) {
          EXPECT_THAT(error.what(), HasSubstr("rank 2 failed: out of memory in layer 7"));
          EXPECT_EQ(error.code(), ErrorCode::kPeer);
        }
        ++ended;
        throw;
      }
    });
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kMemory);
  }
  EXPECT_EQ(ended, 4);
}

TEST(RanksFail, AFailureReachesGroupsThatWereSplitOff) {
  std::atomic<int> ended = 0;
  EXPECT_THROW(run_ranks(4,
                         [&](Group& world) {
                           const std::unique_ptr<Group> pair = world.split(world.rank() / 2);
                           if (world.rank() == 3) fail(ErrorCode::kIo, "gone");
                           std::vector<std::byte> bytes;
                           try {
                             for (;;) pair->broadcast({"step"}, 0, bytes);
                           } catch (const Error& error) {
                             EXPECT_THAT(error.what(), HasSubstr("rank 3 failed: gone"));
                             ++ended;
                             throw;
                           }
                         }),
               Error);
  EXPECT_EQ(ended, 3);
}

TEST(RanksFail, SizesOfAMessageMustAgree) {
  const std::string error = peer_error_of([] {
    run_ranks(2, [](Group& group) {
      std::array<std::byte, 3> bytes{};
      if (group.rank() == 0) group.send({"hidden"}, bytes, 1);
      if (group.rank() == 1) group.receive({"hidden"}, std::span(bytes).first(2), 0);
    });
  });
  EXPECT_THAT(error, HasSubstr("rank 1 expects 2 bytes, rank 0 sends 3"));
}

TEST(Solo, IsAGroupOfOne) {
  EXPECT_EQ(solo().size(), 1);
  std::vector<std::byte> bytes(2, std::byte{1});
  solo().broadcast({"step"}, 0, bytes);
  EXPECT_EQ(bytes.size(), 2U);
  EXPECT_EQ(solo().split(4)->size(), 1);
}

}  // namespace
}  // namespace glimmer::comm
