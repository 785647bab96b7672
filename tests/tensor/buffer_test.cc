#include "tensor/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "base/error.h"

namespace glimmer {
namespace {

TEST(Buffer, IsAlignedAndOneCanWriteAllOfIt) {
  for (const size_t size : {size_t{1}, size_t{64}, size_t{1000}, kMappedBufferBytes - 1, kMappedBufferBytes,
                            kMappedBufferBytes + 1, 3 * kHugePageBytes + 12345}) {
    Buffer buffer(size);
    EXPECT_EQ(buffer.size_bytes(), size);
    const size_t alignment = size >= kMappedBufferBytes ? kHugePageBytes : kBufferAlignment;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.as<char>()) % alignment, 0U) << size;
    buffer.as<char>()[0] = 1;
    buffer.as<char>()[size - 1] = 2;
  }
  EXPECT_EQ(Buffer(0).as<char>(), nullptr);
}

TEST(Buffer, MovesAndIsFreedOnce) {
  for (const size_t size : {size_t{100}, 2 * kMappedBufferBytes}) {
    Buffer first(size);
    char* data = first.as<char>();
    Buffer second(std::move(first));
    EXPECT_EQ(second.as<char>(), data);
    Buffer third(3 * size);
    third = std::move(second);
    EXPECT_EQ(third.as<char>(), data);
    EXPECT_EQ(third.size_bytes(), size);
  }
}

TEST(Buffer, MoreThanThereIsIsAnError) {
  for (const size_t size : {size_t{1} << 60, std::numeric_limits<size_t>::max() - 5}) {
    try {
      const Buffer buffer(size);
      FAIL() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kMemory);
    }
  }
}

}  // namespace
}  // namespace glimmer
