// Ranks that do not do the same: each is found and named, and none waits for ever or takes wrong data.
#include <gmock/gmock.h>

#include <array>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "comm/threads.h"

namespace glimmer::comm {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// What run_ranks() throws, after all ranks have ended; each that waited must have had the same error.
std::string peer_error(int size, const std::function<void(Group&)>& rank) {
  try {
    run_ranks(size, rank);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kPeer) << error.what();
    return error.what();
  }
  return "no error";
}

void broadcast_nothing(Group& group, const Exchange& exchange, int root = 0) {
  std::vector<std::byte> bytes;
  group.broadcast(exchange, root, bytes);
}

TEST(OutOfStep, TheOddRankIsNamedFirst) {
  for (const int odd : {0, 1, 2}) {
    const std::string error = peer_error(3, [&](Group& group) {
      const std::vector<Range> none(3);
      const GatherCall call{.of_rank = none};
      group.gather({group.rank() == odd ? "mlp" : "attention", 3}, {&call, 1});
    });
    EXPECT_THAT(error, HasSubstr(fmt::format("rank {} gathers mlp of layer 3, rank {} gathers attention of layer 3",
                                             odd, odd == 0 ? 1 : 0)));
  }
}

TEST(OutOfStep, LayersDiffer) {
  EXPECT_THAT(
      peer_error(2,
                 [](Group& group) {
                   broadcast_nothing(group, {"step", group.rank()});
                 }),
      HasSubstr("rank 1 broadcasts step of layer 1 from rank 0, rank 0 broadcasts step of layer 0 from rank 0"));
}

TEST(OutOfStep, KindsOfCallsDiffer) {
  EXPECT_THAT(peer_error(2,
                         [](Group& group) {
                           const std::vector<Range> none(2);
                           const GatherCall call{.of_rank = none};
                           if (group.rank() == 0) broadcast_nothing(group, {"step"});
                           if (group.rank() == 1) group.gather({"step"}, {&call, 1});
                         }),
              HasSubstr("rank 1 gathers step, rank 0 broadcasts step from rank 0"));
}

TEST(OutOfStep, RootsDiffer) {
  EXPECT_THAT(peer_error(2, [](Group& group) { broadcast_nothing(group, {"step"}, group.rank()); }),
              HasSubstr("rank 1 broadcasts step from rank 1, rank 0 broadcasts step from rank 0"));
}

// What a rank would gather by another table than the others: wrong data, were it not found.
TEST(OutOfStep, SharesDiffer) {
  using Change = std::function<void(std::vector<Range>&, std::vector<GatherCall>&)>;
  const std::vector<Change> changes = {
      [](auto& of_rank, auto&) {
        of_rank = {{0, 1}, {1, 4}};
      },
      [](auto&, auto& calls) { calls.front().rows = 1; },
      [](auto&, auto& calls) { calls.front().bytes_per_unit = 2; },
      [](auto&, auto& calls) { calls.push_back(calls.front()); },
      [](auto&, auto& calls) { calls.clear(); },
  };
  for (const Change& change : changes) {
    EXPECT_THAT(peer_error(2,
                           [&](Group& group) {
                             std::array<std::byte, 16> data{};
                             std::vector<Range> of_rank = {{0, 2}, {2, 4}};
                             std::vector<GatherCall> calls = {
                                 {.data = data.data(), .rows = 2, .row_bytes = 8, .of_rank = of_rank}};
                             if (group.rank() == 1) change(of_rank, calls);
                             if (!calls.empty()) calls.front().of_rank = of_rank;
                             group.gather({"mlp", 3}, calls);
                           }),
                HasSubstr("rank 1 gathers mlp of layer 3 in other shares than rank 0"));
  }
}

TEST(OutOfStep, AMessageIsNotTheExpectedOne) {
  EXPECT_THAT(peer_error(2,
                         [](Group& group) {
                           std::array<std::byte, 1> byte{};
                           if (group.rank() == 0) group.send({"hidden", 4}, byte, 1);
                           if (group.rank() == 1) group.receive({"hidden", 3}, byte, 0);
                         }),
              HasSubstr("rank 1 receives hidden of layer 3 from rank 0, which sends hidden of layer 4 to rank 1"));
}

TEST(OutOfStep, AMessageThatWaitsForACollectiveCall) {
  EXPECT_THAT(peer_error(3,
                         [](Group& group) {
                           std::array<std::byte, 1> byte{};
                           if (group.rank() == 2) {
                             group.receive({"hidden", 3}, byte, 0);
                           } else {
                             broadcast_nothing(group, {"step"});
                           }
                         }),
              AllOf(HasSubstr("out of step"), HasSubstr("rank 2 receives hidden of layer 3 from rank 0"),
                    HasSubstr("broadcasts step from rank 0")));
}

TEST(OutOfStep, ARingInWhichAllSendFirst) {
  for (const int size : {2, 3, 5}) {
    EXPECT_THAT(peer_error(size,
                           [](Group& group) {
                             std::array<std::byte, 1> byte{};
                             group.send({"hidden"}, byte, (group.rank() + 1) % group.size());
                           }),
                HasSubstr("out of step"));
  }
}

TEST(OutOfStep, ARankThatHasLeftIsNotWaitedFor) {
  for (int round = 0; round < 50; ++round) {  // it leaves before the others wait, or while they do
    EXPECT_THAT(peer_error(3,
                           [](Group& group) {
                             broadcast_nothing(group, {"step"});
                             if (group.rank() != 1) broadcast_nothing(group, {"step"});
                           }),
                HasSubstr("rank 1 has left"));
    EXPECT_THAT(peer_error(2,
                           [](Group& group) {
                             std::array<std::byte, 1> byte{};
                             if (group.rank() == 0) group.receive({"hidden"}, byte, 1);
                           }),
                HasSubstr("rank 1 has left, rank 0 receives hidden from rank 1"));
  }
}

TEST(OutOfStep, LeavingAfterTheLastCallHarmsNoOne) {
  for (int round = 0; round < 200; ++round) {
    run_ranks(3, [](Group& group) {
      const std::unique_ptr<Group> part = group.split(group.rank() == 0 ? 0 : 1);
      std::array<std::byte, 1> byte{};
      if (group.rank() == 0) group.send({"hidden"}, byte, 1);
      if (group.rank() == 1) group.receive({"hidden"}, byte, 0);
      broadcast_nothing(*part, {"step"});
    });
  }
}

// Without run_ranks(): a thread's group ends with its error.
TEST(RanksFail, AGroupThatAnErrorDestroysEndsTheOthers) {
  auto groups = make_thread_groups(2);
  std::thread failing([group = std::move(groups[1])]() mutable {
    try {
      const std::unique_ptr<Group> own = std::move(group);
      fail(ErrorCode::kIo, "gone");
    } catch (const Error&) {  // as a caller far above would
    }
  });
  std::string message = "no error";
  try {
    broadcast_nothing(*groups[0], {"step"});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kPeer);
    message = error.what();
  }
  failing.join();
  EXPECT_THAT(message, HasSubstr("rank 1 failed: ended by an error"));
}

// A sender that gives up takes its memory with it, however late the receiver wakes.
TEST(RanksFail, AFailureWhileAMessageIsOnItsWay) {
  for (int round = 0; round < 500; ++round) {
    try {
      run_ranks(3, [](Group& group) {
        std::array<std::byte, 1> byte{};
        if (group.rank() == 0) group.send({"hidden"}, byte, 1);
        if (group.rank() == 1) group.receive({"hidden"}, byte, 0);
        if (group.rank() == 2) fail(ErrorCode::kIo, "gone");
      });
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "gone");
    }
  }
}

TEST(RanksFail, TheCauseIsToldEvenIfItIsThrownLast) {
  try {
    run_ranks(3, [](Group& group) {
      if (group.rank() == 1) {
        group.fail("disk is full");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the others throw meanwhile
        fail(ErrorCode::kIo, "disk is full");
      }
      broadcast_nothing(group, {"step"});
    });
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo) << error.what();
  }
}

TEST(RanksFail, WhateverIsThrownEndsAll) {
  EXPECT_THROW(run_ranks(3,
                         [](Group& group) {
                           if (group.rank() == 1) throw 7;
                           broadcast_nothing(group, {"step"});
                         }),
               int);
}

TEST(RanksFail, AllWhoAreMissingAreNamed) {
  const auto groups = make_thread_groups(4, std::chrono::milliseconds(50));
  std::thread other([&] { EXPECT_THROW(broadcast_nothing(*groups[2], {"step"}), Error); });
  std::string message = "no error";
  try {
    broadcast_nothing(*groups[0], {"step"});
  } catch (const Error& error) {
    message = error.what();
  }
  other.join();
  EXPECT_THAT(message, AnyOf(HasSubstr("step: ranks 1, 3 did not come within 50 ms"),
                             HasSubstr("step: ranks 1, 2, 3 did not come within 50 ms"),  // whose thread came late
                             HasSubstr("step: ranks 0, 1, 3 did not come within 50 ms")));
}

}  // namespace
}  // namespace glimmer::comm
