#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/mapped_range.h"

namespace glimmer {
namespace {

int64_t modified_ns(const struct stat& status) {
  return static_cast<int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
}

// An open file descriptor with its size; regular files only.
struct OpenFile {
  int fd = -1;
  size_t size = 0;
  int64_t modified = 0;

  explicit OpenFile(const std::filesystem::path& path) {
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a named pipe must not hold us up
    if (fd < 0) {
      fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: cannot open: {}", path.string(),
           std::strerror(errno));
    }
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(fd);
      fail(ErrorCode::kIo, "{}: expected a regular file", path.string());
    }
    size = static_cast<size_t>(status.st_size);
    modified = modified_ns(status);
  }
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
  OpenFile(const OpenFile&) = delete;
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  OpenFile file(path);
  size_ = file.size;
  modified_ns_ = file.modified;
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (mapped == MAP_FAILED) fail(ErrorCode::kIo, "{}: cannot map: {}", path.string(), std::strerror(errno));
    data_ = static_cast<const std::byte*>(mapped);
    try {
      range_ = &guard_range(data_, size_, path_);
    } catch (...) {
      ::munmap(mapped, size_);
      throw;
    }
  }
  fd_ = std::exchange(file.fd, -1);
}

MappedFile::~MappedFile() {
  if (range_ != nullptr) unguard_range(*range_);
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)),
      modified_ns_(other.modified_ns_),
      range_(std::exchange(other.range_, nullptr)) {}

void MappedFile::check_unchanged() const {
  if (fd_ < 0) return;  // moved from
  struct stat status {};
  if (::fstat(fd_, &status) != 0) fail(ErrorCode::kIo, "{}: {}", path_.string(), std::strerror(errno));
  if (static_cast<size_t>(status.st_size) != size_) {
    fail(ErrorCode::kIo, "{}: changed while it was read: it had {} bytes, and has {} now", path_.string(), size_,
         status.st_size);
  }
  if (range_ != nullptr && range_->is_torn.load()) {
    fail(ErrorCode::kIo, "{}: some of its {} bytes could not be read: the disk failed, or it was shorter for a while",
         path_.string(), size_);
  }
  if (modified_ns(status) != modified_ns_) {
    fail(ErrorCode::kIo, "{}: changed while it was read: it was written to", path_.string());
  }
}

void check_mapped_files() {
  if (const auto path = torn_file()) {
    fail(ErrorCode::kIo, "{}: could not be read to its end: it became shorter meanwhile, or the disk failed", *path);
  }
}

std::string read_file(const std::filesystem::path& path, size_t max_bytes) {
  OpenFile file(path);
  if (file.size > max_bytes) {
    fail(ErrorCode::kLimit, "{}: {} bytes, at most {} are read", path.string(), file.size, max_bytes);
  }
  std::string text(file.size, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file.fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorCode::kIo, "{}: cannot read: {}", path.string(), std::strerror(errno));
    if (got == 0) {
      fail(ErrorCode::kIo, "{}: changed while it was read: it had {} bytes, and has {} now", path.string(), file.size,
           done);
    }
    done += static_cast<size_t>(got);
  }
  return text;
}

}  // namespace glimmer
