// Owned, aligned memory. Debug builds fill fresh memory with NaN, so that reads before writes show.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace glimmer {

inline constexpr size_t kBufferAlignment = 64;  // a cache line and an AVX-512 vector
// Buffers of this size and more are mapped individually: they use huge pages where available, take no memory where they
// were never written, and return all of it when freed. Two huge pages: a smaller mapping may hold none that is aligned.
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
