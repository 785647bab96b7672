// Where bytes lie: the host's memory, or a device's, which only the device's operations may dereference.
#pragma once

#include <cstddef>
#include <span>

namespace glimmer {

inline constexpr size_t kBufferAlignment = 64;  // a cache line and an AVX-512 vector

// Any thread may call these at any time; on memory that an operation writes meanwhile the result is undefined.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  virtual ~Memory() = default;

  // Whether host code may use an address of this memory as it is.
  virtual bool is_host() const = 0;

  // Uninitialised bytes, aligned to kBufferAlignment; null for none. Throws kMemory when there is no more. Buffer
  // (tensor/buffer.h) owns what this returns.
  virtual std::byte* allocate(size_t size_bytes) = 0;
  virtual void release(std::byte* data, size_t size_bytes) noexcept = 0;

  // Between this memory and the host's. Both return when the bytes are there.
  virtual void write(std::byte* to, std::span<const std::byte> from) = 0;
  virtual void read(const std::byte* from, std::span<std::byte> to) const = 0;
  // Within this memory; the ranges do not overlap.
  virtual void copy(std::byte* to, const std::byte* from, size_t size_bytes) = 0;
};

// Debug builds fill what it allocates with NaN, so that reads before writes show.
Memory& host_memory();

}  // namespace glimmer
