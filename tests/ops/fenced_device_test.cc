// The device that the golden and engine tests run on to show that host and device are apart: it must really keep the
// host out.
#include "support/fenced_device.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "ops/elementwise.h"
#include "tensor/tensor.h"

namespace glimmer {
namespace {

using testing::FencedDevice;
using testing::FencedMemory;

TEST(FencedDevice, TheHostCannotReadOrWriteItsMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FencedMemory memory;
  Tensor tensor(memory, DType::kF32, {2, 2});
  volatile float* values = tensor.as<float>();
  EXPECT_DEATH({ [[maybe_unused]] const float value = values[0]; }, "");
  EXPECT_DEATH({ values[0] = 1; }, "");
}

TEST(FencedDevice, WhatIsWrittenIsRead) {
  FencedMemory memory;
  Buffer buffer(memory, 16);
  const std::array<std::byte, 4> four{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  memory.write(buffer.as<std::byte>() + 4, four);
  memory.copy(buffer.as<std::byte>() + 8, buffer.as<std::byte>() + 4, 4);
  std::array<std::byte, 16> all{};
  memory.read(buffer.as<std::byte>(), all);
  const std::byte fresh{0xFF};
  EXPECT_EQ(all, (std::array{fresh, fresh, fresh, fresh, four[0], four[1], four[2], four[3], four[0], four[1], four[2],
                             four[3], fresh, fresh, fresh, fresh}));
}

TEST(FencedDevice, OperationsRunInIt) {
  FencedDevice device({.threads = 2});
  Context context(device, Precision::kExact, KvType::kF32);
  Tensor a(device.memory(), DType::kF32, {1, 3});
  Tensor b(device.memory(), DType::kF32, {1, 3});
  const std::vector<float> values = {1, 2, 3};
  for (Tensor* tensor : {&a, &b}) {
    device.memory().write(reinterpret_cast<std::byte*>(tensor->as<float>()), std::as_bytes(std::span(values)));
  }
  add_residual(context, a.view(), b.view());
  std::vector<float> sum(3);
  device.memory().read(reinterpret_cast<const std::byte*>(b.as<float>()), std::as_writable_bytes(std::span(sum)));
  EXPECT_EQ(sum, (std::vector<float>{2, 4, 6}));
}

TEST(FencedMemory, GivesBackWhatItIsGivenBack) {
  FencedMemory memory;
  std::byte* first = memory.allocate(100);
  std::byte* second = memory.allocate(100);
  std::byte* third = memory.allocate(100);
  memory.release(second, 100);
  memory.release(first, 100);
  EXPECT_EQ(memory.allocate(200), first);  // the two holes are one
  EXPECT_GT(memory.allocate(100), third);
}

}  // namespace
}  // namespace glimmer
