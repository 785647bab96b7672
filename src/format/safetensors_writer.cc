#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "format/safetensors.h"
#include "format/safetensors_layout.h"

namespace glimmer {
namespace {

// A file that appears under its name only when it is complete.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path) : path_(path), temporary_(path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
      fail(ErrorCode::kIo, "{}: cannot write: exists and is not a regular file", path.string());
    }
    temporary_ += fmt::format(".{}.tmp", ::getpid());
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0) refuse("create");
  }
  ~AtomicFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!complete_) ::unlink(temporary_.c_str());
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t size_bytes) {
    const auto* at = static_cast<const char*>(data);
    while (size_bytes > 0) {
      const ssize_t done = ::write(fd_, at, size_bytes);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) refuse("write");
      at += done;
      size_bytes -= static_cast<size_t>(done);
    }
  }

  // A disk may report that it is full as late as here.
  void commit() {
    if (::fsync(fd_) != 0) refuse("write");
    const int closed = ::close(fd_);
    fd_ = -1;
    if (closed != 0) refuse("write");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) refuse("rename to");
    complete_ = true;
  }

 private:
  [[noreturn]] void refuse(const char* action) {
    fail(ErrorCode::kIo, "{}: cannot {}: {}", path_.string(), action, std::strerror(errno));
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  bool complete_ = false;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsSpec> specs;
  for (const NamedTensor& tensor : tensors) specs.push_back({tensor.name, tensor.value.dtype, tensor.value.shape});
  SafetensorsLayout layout;
  try {
    layout = safetensors_layout(specs, metadata);
  } catch (const Error& error) {
    fail(error.code(), "{}: cannot write: {}", path.string(), error.what());
  }
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  // An empty tensor lies at the offset of the one after it.
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return layout.offsets[a] < layout.offsets[b]; });
  AtomicFile file(path);
  file.write(layout.header.data(), layout.header.size());
  for (const size_t i : order) file.write(tensors[i].value.data, tensors[i].value.size_bytes());
  file.commit();
}

}  // namespace glimmer
