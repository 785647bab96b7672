#include "base/mapped_range.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>

namespace glimmer {
namespace {

// What the handler reads: a list that only grows. Ranges that are let go of are used again, unless they are torn.
std::atomic<MappedRange*> first_range{nullptr};
std::atomic<uintptr_t> page_bytes{4096};
struct sigaction earlier_action {};  // NOLINT(cert-err58-cpp): plain data

std::mutex& mutex() {
  static std::mutex instance;
  return instance;
}

bool replace_with_zeros(const std::byte* fault) {
  for (MappedRange* range = first_range.load(); range != nullptr; range = range->next) {
    const std::byte* begin = range->begin.load();
    if (begin == nullptr || fault < begin) continue;
    const auto page = reinterpret_cast<uintptr_t>(fault) / page_bytes.load() * page_bytes.load();
    const uintptr_t end = reinterpret_cast<uintptr_t>(begin) + range->size_bytes.load();
    if (page >= end) continue;
    range->is_torn.store(true);  // before there is anything to read
    void* zeros = ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    return zeros != MAP_FAILED;
  }
  return false;
}

// Async-signal-safe: atomics and system calls alone.
void on_bus_error(int, siginfo_t* info, void*) {
  const int error = errno;
  const bool is_fault = info->si_code > 0;  // else someone has sent it
  if (!is_fault || !replace_with_zeros(static_cast<const std::byte*>(info->si_addr))) {
    ::sigaction(SIGBUS, &earlier_action, nullptr);  // the access is tried again, and ends as it would have
    if (!is_fault) ::raise(SIGBUS);
  }
  errno = error;
}

void install_handler() {
  static const bool installed = [] {
    page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, &action, &earlier_action) == 0;
  }();
  static_cast<void>(installed);
}

}  // namespace

MappedRange& guard_range(const std::byte* begin, size_t size_bytes, const std::filesystem::path& path) {
  const std::lock_guard lock(mutex());
  install_handler();
  MappedRange* range = first_range.load();
  while (range != nullptr && (range->begin.load() != nullptr || range->is_torn.load())) range = range->next;
  if (range == nullptr) {
    range = new MappedRange;
    range->next = first_range.load();
    range->path = path.string();
    first_range.store(range);
  } else {
    range->path = path.string();
  }
  range->size_bytes.store(size_bytes);
  range->begin.store(begin);
  return *range;
}

void unguard_range(MappedRange& range) {
  const std::lock_guard lock(mutex());
  range.begin.store(nullptr);
}

std::optional<std::string> torn_file() {
  const std::lock_guard lock(mutex());
  for (const MappedRange* range = first_range.load(); range != nullptr; range = range->next) {
    if (range->is_torn.load()) return range->path;
  }
  return std::nullopt;
}

}  // namespace glimmer
