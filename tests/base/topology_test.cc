// Threads and panels on machines that hwloc makes up.
#include "base/topology.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<int> nodes_of(const std::vector<ThreadPlace>& places) {
  std::vector<int> nodes;
  for (const ThreadPlace& place : places) nodes.push_back(place.node);
  return nodes;
}

TEST(Topology, ReadsNodesCoresAndProcessors) {
  const Topology two = synthetic_topology("numa:2 core:4 pu:1");
  EXPECT_EQ(two.nodes(), 2);
  ASSERT_THAT(two.processors, SizeIs(8));
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(two.processors[i].number, i);
    EXPECT_EQ(two.processors[i].core, i);
    EXPECT_EQ(two.processors[i].node, i / 4);
  }
  const Topology threads = synthetic_topology("numa:1 core:3 pu:2");
  EXPECT_EQ(threads.nodes(), 1);
  ASSERT_THAT(threads.processors, SizeIs(6));
  EXPECT_EQ(threads.processors[5].core, 2);
  EXPECT_THROW(synthetic_topology("numa:nonsense"), Error);
}

TEST(Topology, ThreadsThatFillTheMachineGetAProcessorEach) {
  const Topology two = synthetic_topology("numa:2 core:4 pu:1");
  const std::vector<ThreadPlace> places = place_threads(two, 8);
  EXPECT_THAT(nodes_of(places), ElementsAre(0, 0, 0, 0, 1, 1, 1, 1));
  for (int i = 0; i < 8; ++i) EXPECT_THAT(places[i].processors, ElementsAre(i));
}

TEST(Topology, OneThreadACoreKeepsToItsCore) {
  const std::vector<ThreadPlace> places = place_threads(synthetic_topology("numa:2 core:2 pu:2"), 4);
  EXPECT_THAT(nodes_of(places), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(places[1].processors, ElementsAre(2, 3));
  EXPECT_THAT(places[2].processors, ElementsAre(4, 5));
}

TEST(Topology, FewerThreadsKeepToTheirNodeOrAreFree) {
  const std::vector<ThreadPlace> places = place_threads(synthetic_topology("numa:2 core:4 pu:1"), 3);
  EXPECT_THAT(nodes_of(places), ElementsAre(0, 0, 1));
  EXPECT_THAT(places[0].processors, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(places[2].processors, ElementsAre(4, 5, 6, 7));
  for (const ThreadPlace& place : place_threads(synthetic_topology("numa:1 core:4 pu:1"), 3)) {
    EXPECT_THAT(place.processors, IsEmpty());
    EXPECT_EQ(place.node, 0);
  }
}

TEST(Topology, ThreadsOnLentProcessorsAreFreeOnTheirNode) {
  Topology one = synthetic_topology("numa:1 core:4 pu:1");
  EXPECT_THAT(place_threads(one, 4)[1].processors, ElementsAre(1));
  one.is_lent = true;
  for (const ThreadPlace& place : place_threads(one, 4)) EXPECT_THAT(place.processors, IsEmpty());
  Topology two = synthetic_topology("numa:2 core:2 pu:1");
  two.is_lent = true;
  EXPECT_THAT(place_threads(two, 4)[3].processors, ElementsAre(2, 3));
}

TEST(Topology, MoreThreadsThanProcessorsAreFree) {
  const std::vector<ThreadPlace> places = place_threads(synthetic_topology("numa:2 core:1 pu:1"), 4);
  EXPECT_THAT(nodes_of(places), ElementsAre(0, 0, 1, 1));
  for (const ThreadPlace& place : places) EXPECT_THAT(place.processors, IsEmpty());
}

TEST(Topology, PanelsAreSharedInHalvesOfWholeTasks) {
  EXPECT_THAT(share_panels(96, 2), ElementsAre(0, 48, 96));
  EXPECT_THAT(share_panels(88, 2), ElementsAre(0, 32, 88));
  EXPECT_THAT(share_panels(5, 2), ElementsAre(0, 0, 5));
  EXPECT_THAT(share_panels(0, 2), ElementsAre(0, 0, 0));
  EXPECT_THAT(share_panels(100, 1), ElementsAre(0, 100));
  EXPECT_THAT(share_panels(100, 4), ElementsAre(0, 16, 48, 64, 100));
}

TEST(Topology, OfThisMachineHasTheProcessorsThatWeMayUse) {
  const Topology topology = process_topology();
  EXPECT_GE(topology.nodes(), 1);
  EXPECT_GE(static_cast<int>(topology.processors.size()), available_threads());
  for (const Processor& processor : topology.processors) {
    EXPECT_GE(processor.node, 0);
    EXPECT_LT(processor.node, topology.nodes());
  }
}

TEST(Topology, ThreadsBeginWithTheItemsOfTheirNode) {
  ThreadPool pool(4, synthetic_topology("numa:2 core:2 pu:1"));
  EXPECT_EQ(pool.nodes(), 2);
  std::vector<int> worker_of(101, -1);
  const std::vector<int64_t> items = {21, 80};
  // Every thread waits in its first item until all have one.
  std::atomic<int> begun{0};
  std::vector<int64_t> first_of(4, -1);
  pool.parallel_for(items, 3, [&](int64_t begin, int64_t end, int worker) {
    EXPECT_TRUE(end <= 21 || begin >= 21) << begin << " to " << end;
    for (int64_t i = begin; i < end; ++i) EXPECT_EQ(std::exchange(worker_of[static_cast<size_t>(i)], worker), -1);
    if (first_of[static_cast<size_t>(worker)] >= 0) return;
    first_of[static_cast<size_t>(worker)] = begin;
    for (++begun; begun < 4;) std::this_thread::yield();
  });
  EXPECT_EQ(std::count(worker_of.begin(), worker_of.end(), -1), 0);
  EXPECT_THAT(first_of, ElementsAre(0, 9, 21, 60));  // whole threes
}

TEST(Topology, ItemsOfMoreNodesThanThreadsHaveAreAllTaken) {
  for (const char* machine : {"numa:1 core:2 pu:1", "numa:2 core:2 pu:1", "numa:4 core:1 pu:1"}) {
    ThreadPool pool(2, synthetic_topology(machine));
    const std::vector<int64_t> items = {0, 5, 7};
    std::vector<std::atomic<int>> visits(12);
    pool.parallel_for(items, 2, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
    });
    for (const std::atomic<int>& count : visits) EXPECT_EQ(count, 1);
  }
}

}  // namespace
}  // namespace glimmer
