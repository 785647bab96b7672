#include "tensor/buffer.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace glimmer {

Buffer::Buffer(size_t size_bytes) : size_(size_bytes) {
  if (size_bytes == 0) return;
  const size_t rounded = (size_bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  data_ = static_cast<std::byte*>(std::aligned_alloc(kBufferAlignment, rounded));
  if (data_ == nullptr) fail(ErrorCode::kLimit, "cannot allocate {} bytes: out of memory", size_bytes);
#ifndef NDEBUG
  std::memset(data_, 0xFF, rounded);  // NaN in every float type
#endif
}

Buffer::~Buffer() { std::free(data_); }

}  // namespace glimmer
