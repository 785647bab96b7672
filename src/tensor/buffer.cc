#include "tensor/buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/error.h"

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

}  // namespace

Buffer::Buffer(size_t size_bytes) : size_(size_bytes) {
  if (size_bytes == 0) return;
  if (size_bytes >= kMappedBufferBytes) {
    data_ = map_aligned(size_bytes);
  } else {
    data_ = static_cast<std::byte*>(std::aligned_alloc(kBufferAlignment, round_up(size_bytes, kBufferAlignment)));
    if (data_ == nullptr) fail_memory(size_bytes);
  }
#ifndef NDEBUG
  std::memset(data_, 0xFF, size_bytes);  // NaN in every float type
#endif
}

Buffer::~Buffer() {
  if (size_ >= kMappedBufferBytes) {
    munmap(data_, round_up(size_, kHugePageBytes));
  } else {
    std::free(data_);
  }
}

}  // namespace glimmer
