// A whole file mapped read-only, and a whole file read into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace glimmer {

// Maps `path` read-only for its lifetime. Throws kNotFound or kIo, naming the path. An empty file maps to an empty
// span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Reads a text file of at most `max_bytes`. Throws kNotFound, kIo, or kLimit.
std::string read_file(const std::filesystem::path& path, size_t max_bytes = size_t{1} << 30);

}  // namespace glimmer
