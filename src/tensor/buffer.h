// Owned, aligned bytes of a memory.
#pragma once

#include <cstddef>
#include <utility>

#include "tensor/memory.h"

namespace glimmer {

// Buffers in host memory of this size and more are mapped individually: they use huge pages where available, take no
// memory where they were never written, and return all of it when freed. Two huge pages: a smaller mapping may hold
// none that is aligned.
inline constexpr size_t kMappedBufferBytes = size_t{4} << 20;
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size_bytes) : Buffer(host_memory(), size_bytes) {}  // throws kMemory
  // The memory must outlive the buffer.
  Buffer(Memory& memory, size_t size_bytes) : memory_(&memory), data_(memory.allocate(size_bytes)), size_(size_bytes) {}
  Buffer(Buffer&& other) noexcept
      : memory_(other.memory_), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) memory_->release(data_, size_);
  }

  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }
  size_t size_bytes() const { return size_; }

 private:
  Memory* memory_ = nullptr;  // null only where there are no bytes
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace glimmer
