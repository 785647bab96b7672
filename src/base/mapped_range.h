// Guards mapped files against SIGBUS, which touching a page raises when the file has shrunk or cannot be read. In a
// guarded range the process reads zeros from there on, and the range is marked as torn. Readers must check that mark
// before they rely on what they read.
#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace glimmer {

struct MappedRange {
  std::atomic<const std::byte*> begin{nullptr};  // null: not in use
  std::atomic<size_t> size_bytes{0};
  std::atomic<bool> is_torn{false};
  std::string path;
  MappedRange* next = nullptr;
};

// Until unguard_range, which is to come before the memory is unmapped. Lives as long as the process.
MappedRange& guard_range(const std::byte* begin, size_t size_bytes, const std::filesystem::path& path);
void unguard_range(MappedRange& range);

// The file of some range that was torn since the process began; nothing if there is none.
std::optional<std::string> torn_file();

}  // namespace glimmer
