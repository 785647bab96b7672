// Owned, aligned memory. In debug builds fresh memory is poisoned with NaN so that a read before a write shows.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace glimmer {

inline constexpr size_t kBufferAlignment = 64;  // a cache line and an AVX-512 vector
// A buffer of this size and more is mapped by itself: it lies on huge pages where the system has them, takes no memory
// where it was never written, and gives all of it back when it goes.
inline constexpr size_t kMappedBufferBytes = size_t{4} << 20;
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size_bytes);  // throws kMemory when the system has none left
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer();

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
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace glimmer
