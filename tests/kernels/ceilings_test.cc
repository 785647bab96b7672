// The loops that measure a machine do what they count.
#include "kernels/ceilings.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tensor/buffer.h"

namespace glimmer::kernels {
namespace {

TEST(Ceilings, ReadingComesByEveryLine) {
  const CeilingLoops loops = ceiling_loops();
  constexpr int64_t kBytes = 64 * 16 * 5;
  Buffer buffer(kBytes + 4096);  // prefetches run ahead
  auto* words = buffer.as<uint64_t>();
  for (int64_t i = 0; i < kBytes / 8; ++i) words[i] = static_cast<uint64_t>(i);
  const auto* data = buffer.as<std::byte>();
  for (const int streams : kReadStreams) {
    const uint64_t before = loops.read(data, kBytes / streams, streams);
    for (int64_t line = 0; line < kBytes / 64; ++line) {
      words[line * 8 + line % 8] += 1000;
      EXPECT_EQ(loops.read(data, kBytes / streams, streams), before + 1000) << streams << " streams, line " << line;
      words[line * 8 + line % 8] -= 1000;
    }
  }
}

TEST(Ceilings, LoopsRunInAnyThreadAndSayWhatTheyDo) {
  const CeilingLoops loops = ceiling_loops();
  for (const MultiplyLoop& loop : {loops.floats, loops.integers}) {
    EXPECT_FALSE(loop.unit.empty());
    EXPECT_GT(loop.operations_a_round, 0);
    std::thread([&] { loop.run(10); }).join();
  }
}

}  // namespace
}  // namespace glimmer::kernels
