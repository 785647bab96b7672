#include "tensor/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "tensor/buffer.h"

namespace glimmer {
namespace {

size_t round_up(size_t size_bytes, size_t multiple) { return (size_bytes + multiple - 1) / multiple * multiple; }

[[noreturn]] void fail_memory(size_t size_bytes) {
  fail(ErrorCode::kMemory, "cannot allocate {} bytes: out of memory", size_bytes);
}

// Whole huge pages: mapped with room to spare, of which the ends are given back.
std::byte* map_aligned(size_t size_bytes) {
  if (size_bytes > std::numeric_limits<size_t>::max() / 2) fail_memory(size_bytes);
  const size_t rounded = round_up(size_bytes, kHugePageBytes);
  void* mapped = mmap(nullptr, rounded + kHugePageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) fail_memory(size_bytes);
  auto* begin = static_cast<std::byte*>(mapped);
  const size_t before =
      round_up(reinterpret_cast<uintptr_t>(begin), kHugePageBytes) - reinterpret_cast<uintptr_t>(begin);
  if (before > 0) munmap(begin, before);
  std::byte* data = begin + before;
  munmap(data + rounded, kHugePageBytes - before);
  madvise(data, rounded, MADV_HUGEPAGE);  // a system without them has small pages
  return data;
}

std::byte* allocate_host(size_t size_bytes) {
  if (size_bytes >= kMappedBufferBytes) return map_aligned(size_bytes);
  auto* data = static_cast<std::byte*>(std::aligned_alloc(kBufferAlignment, round_up(size_bytes, kBufferAlignment)));
  if (data == nullptr) fail_memory(size_bytes);
  return data;
}

class HostMemory final : public Memory {
 public:
  bool is_host() const override { return true; }

  std::byte* allocate(size_t size_bytes) override {
    if (size_bytes == 0) return nullptr;
    std::byte* data = allocate_host(size_bytes);
#ifndef NDEBUG
    std::memset(data, 0xFF, size_bytes);  // NaN in every float type
#endif
    return data;
  }

  void release(std::byte* data, size_t size_bytes) noexcept override {
    if (size_bytes >= kMappedBufferBytes) {
      munmap(data, round_up(size_bytes, kHugePageBytes));
    } else {
      std::free(data);
    }
  }

  void write(std::byte* to, std::span<const std::byte> from) override { copy(to, from.data(), from.size()); }
  void read(const std::byte* from, std::span<std::byte> to) const override {
    if (!to.empty()) std::memcpy(to.data(), from, to.size());
  }
  void copy(std::byte* to, const std::byte* from, size_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(to, from, size_bytes);
  }
};

}  // namespace

// Never destroyed: buffers of static objects may outlive it.
Memory& host_memory() {
  static auto& memory = *new HostMemory;
  return memory;
}

}  // namespace glimmer
