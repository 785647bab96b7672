#include "base/memory_info.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <memory>

namespace glimmer {
namespace {

constexpr size_t kBytes = size_t{64} << 20;

void touch_memory() {
  const std::unique_ptr<char[]> memory(new char[kBytes]);
  std::memset(memory.get(), 1, kBytes);
  asm volatile("" : : "r"(memory.get()) : "memory");
}

TEST(MemoryInfo, SaysHowMuchThereIs) {
  const MemoryInfo info = memory_info();
  EXPECT_GT(info.total_bytes, int64_t{1} << 28);
  EXPECT_GT(info.available_bytes, 0);
  EXPECT_LE(info.available_bytes, info.total_bytes);
  EXPECT_GT(resident_bytes(), 1 << 20);
}

class PeakOfMemory : public ::testing::Test {
 protected:
  void SetUp() override { std::ofstream("/proc/self/clear_refs") << 5; }  // forgets the peak of the tests before
};

TEST_F(PeakOfMemory, CountsWhatIsGoneAgainButNotWhatIsLeftOut) {
  PeakMemory peak;
  const int64_t before = peak.bytes();
  peak.pause();
  touch_memory();
  peak.resume();
  EXPECT_LT(peak.bytes(), before + static_cast<int64_t>(kBytes / 2));
  const std::unique_ptr<char[]> memory(new char[kBytes]);
  std::memset(memory.get(), 1, kBytes);
  EXPECT_GT(peak.bytes(), before + static_cast<int64_t>(kBytes / 2));
}

TEST_F(PeakOfMemory, LeavesOutWhatStays) {
  PeakMemory peak;
  const int64_t before = peak.bytes();
  peak.pause();
  std::unique_ptr<char[]> kept(new char[kBytes]);
  std::memset(kept.get(), 1, kBytes);
  peak.resume(kBytes);
  EXPECT_LT(peak.bytes(), before + static_cast<int64_t>(kBytes / 2));
  const std::unique_ptr<char[]> memory(new char[kBytes]);
  std::memset(memory.get(), 1, kBytes);
  EXPECT_GT(peak.bytes(), before + static_cast<int64_t>(kBytes / 2));
}

}  // namespace
}  // namespace glimmer
