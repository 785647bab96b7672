#include "source/shared_bytes.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace glimmer {

SharedBytes::SharedBytes(size_t size_bytes) {
  void* at = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) fail(ErrorCode::kIo, "cannot map {} bytes: {}", size_bytes, std::strerror(errno));
  bytes_ = {static_cast<std::byte*>(at), size_bytes};
}
SharedBytes::~SharedBytes() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}
SharedBytes::SharedBytes(SharedBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

}  // namespace glimmer
