#include "serve/memory/failing_allocator.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GLIMMER_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GLIMMER_SANITIZED 1
#endif

namespace glimmer::testing {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

constinit std::atomic<bool> is_counting{false};
constinit std::atomic<int64_t> counted{0};
constinit std::atomic<int64_t> first_failing{kNever};
constinit std::atomic<int64_t> last_failing{kNever};
thread_local constinit bool is_exempt = false;

bool fails() {
  if (!is_counting.load(std::memory_order_relaxed) || is_exempt) return false;
  const int64_t index = counted.fetch_add(1, std::memory_order_relaxed);
  return index >= first_failing.load(std::memory_order_relaxed) && index < last_failing.load(std::memory_order_relaxed);
}

}  // namespace

void fail_allocations(int64_t first, int64_t count) {
  first_failing = first;
  last_failing = count > kNever - first ? kNever : first + count;
  counted = 0;
  is_counting = true;
}

int64_t counted_allocations() {
  is_counting = false;
  return counted;
}

void exempt_this_thread() { is_exempt = true; }

}  // namespace glimmer::testing

using glimmer::testing::fails;

#ifdef GLIMMER_SANITIZED

namespace {

void* allocate(size_t size, size_t alignment) {
  void* memory = nullptr;
  if (!fails() && posix_memalign(&memory, alignment, size == 0 ? 1 : size) == 0) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(size_t size, std::align_val_t alignment) { return allocate(size, static_cast<size_t>(alignment)); }
void* operator new[](size_t size, std::align_val_t alignment) { return allocate(size, static_cast<size_t>(alignment)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

#else

// The C library's own, below the names that a program may take the place of.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  if (!fails()) return __libc_malloc(size);
  errno = ENOMEM;
  return nullptr;
}

void* calloc(size_t count, size_t size) {
  if (!fails()) return __libc_calloc(count, size);
  errno = ENOMEM;
  return nullptr;
}

void* realloc(void* memory, size_t size) {
  if (!fails()) return __libc_realloc(memory, size);
  errno = ENOMEM;
  return nullptr;
}

void* aligned_alloc(size_t alignment, size_t size) {
  if (!fails()) return __libc_memalign(alignment, size);
  errno = ENOMEM;
  return nullptr;
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  void* found = fails() ? nullptr : __libc_memalign(alignment, size);
  if (found == nullptr) return ENOMEM;
  *memory = found;
  return 0;
}
}

#endif
