#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "format/safetensors.h"

namespace glimmer {
namespace {

constexpr size_t kDataAlignment = 8;  // of the data section in the file: the widest element type

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

void check_utf8(const std::filesystem::path& path, std::string_view text) {
  if (!is_valid_utf8(text))
    fail(ErrorCode::kInvalid, "{}: cannot write {}: not UTF-8", path.string(), quoted_name(text));
}

// Wide types first, so that each tensor is aligned without padding; then by name.
std::vector<const NamedTensor*> in_file_order(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  order.reserve(tensors.size());
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->name < b->name; });
  for (size_t i = 0; i < order.size(); ++i) {
    check_utf8(path, order[i]->name);
    if (order[i]->name == "__metadata__" || (i > 0 && order[i]->name == order[i - 1]->name)) {
      fail(ErrorCode::kInvalid, "{}: cannot write tensor {}: the name is {}", path.string(),
           quoted_name(order[i]->name), order[i]->name == "__metadata__" ? "the header's own" : "given twice");
    }
  }
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) {
    return dtype_size_bytes(a->value.dtype) > dtype_size_bytes(b->value.dtype);
  });
  return order;
}

std::string header_of(const std::filesystem::path& path, const std::vector<const NamedTensor*>& order,
                      const std::map<std::string, std::string>& metadata) {
  const auto string = [](std::string_view text) { return dump_json(Json(text)); };
  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      check_utf8(path, key);
      check_utf8(path, value);
      header += fmt::format("{}:{},", string(key), string(value));
    }
    header.back() = '}';
    header += ',';
  }
  size_t at = 0;
  for (const NamedTensor* tensor : order) {
    const size_t end = at + tensor->value.size_bytes();
    header += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}},", string(tensor->name),
                          dtype_name(tensor->value.dtype), fmt::join(tensor->value.shape.dims(), ","), at, end);
    at = end;
  }
  if (header.back() == ',') header.pop_back();
  header += '}';
  header.resize((header.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment, ' ');
  return header;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<const NamedTensor*> order = in_file_order(path, tensors);
  const std::string header = header_of(path, order, metadata);
  if (header.size() > kMaxSafetensorsHeaderBytes) {
    fail(ErrorCode::kLimit, "{}: cannot write: a header of {} bytes, at most {} are read", path.string(), header.size(),
         kMaxSafetensorsHeaderBytes);
  }
  std::array<uint8_t, 8> length{};
  for (size_t i = 0; i < length.size(); ++i) length[i] = static_cast<uint8_t>(header.size() >> (8 * i));
  AtomicFile file(path);
  file.write(length.data(), length.size());
  file.write(header.data(), header.size());
  for (const NamedTensor* tensor : order) file.write(tensor->value.data, tensor->value.size_bytes());
  file.commit();
}

}  // namespace glimmer
