// Memory that a source allocated itself, for tensors that are in no file.
#pragma once

#include <cstddef>
#include <span>

namespace glimmer {

// Memory that advise(kDontNeed) does not empty, as if it were a mapped file's: ModelSource::release may be told of it.
class SharedBytes {
 public:
  explicit SharedBytes(size_t size_bytes);  // throws kIo
  ~SharedBytes();
  SharedBytes(SharedBytes&& other) noexcept;
  SharedBytes& operator=(SharedBytes&&) = delete;
  SharedBytes(const SharedBytes&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace glimmer
