// Memory that files are mapped to, guarded against files that shrink or cannot be read: touching such a page raises
// SIGBUS, on whichever thread. For a guarded range the process goes on with zeros there and in all that follows of the
// range, and the range is marked as torn. Whoever reads it asks whether it is, before what was read is relied on.
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
