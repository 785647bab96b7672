// A whole file mapped read-only, and a whole file read into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace glimmer {

struct MappedRange;

// Maps `path` read-only for its lifetime. Throws kNotFound or kIo, naming the path. An empty file maps to an empty
// span. A file that shrinks, or that the disk cannot read, reads as zeros from there on (base/mapped_range.h): call
// check_unchanged() when all is read that is wanted, before it is relied on.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  // Throws kIo if what was read may not be what the file held when it was opened: it could not be read, or its size or
  // time has changed. Any thread.
  void check_unchanged() const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
  int64_t modified_ns_ = 0;
  MappedRange* range_ = nullptr;
};

// Throws kIo if any file that this process has mapped so far could not be read where it was asked for.
void check_mapped_files();

// Reads a text file of at most `max_bytes`. Throws kNotFound, kIo (if it shrinks meanwhile, too), or kLimit.
std::string read_file(const std::filesystem::path& path, size_t max_bytes = size_t{1} << 30);

}  // namespace glimmer
