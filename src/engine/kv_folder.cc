#include "engine/kv_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPageSuffix = ".kv";
constexpr std::string_view kPartSuffix = ".part";
constexpr size_t kHexDigits = 32;
constexpr const char* kKeyName = "glimmer.key";
constexpr std::string_view kKeyMagic = "GLMKVKY1";

using Name = std::array<char, 80>;  // on the stack: writing a page allocates nothing

Name page_name(const KvKey& key) {
  Name name{};
  fmt::format_to_n(name.data(), name.size() - 1, "{:016x}{:016x}{}", key.high, key.low, kPageSuffix);
  return name;
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<KvKey> key_of(std::string_view name) {
  if (name.size() != kHexDigits + kPageSuffix.size() || !name.ends_with(kPageSuffix)) return std::nullopt;
  if (!is_hex(name.substr(0, kHexDigits))) return std::nullopt;
  KvKey key;
  for (size_t i = 0; i < kHexDigits; ++i) {
    uint64_t& half = i < kHexDigits / 2 ? key.high : key.low;
    half = half << 4 | static_cast<uint64_t>(name[i] <= '9' ? name[i] - '0' : name[i] - 'a' + 10);
  }
  return key;
}

bool is_part(std::string_view name) {
  if (!name.ends_with(kPartSuffix)) return false;
  name.remove_suffix(kPartSuffix.size());
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view number = name.substr(dot + 1);
  const std::string_view whole = name.substr(0, dot);
  return !number.empty() && number.size() <= 16 && is_hex(number) && (key_of(whole) || whole == kKeyName);
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool is_open() const { return fd_ >= 0; }
  int value() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

// Fewer at the end of the file.
size_t read_some(int fd, std::span<std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

// Null if only this user can have written the file, else what is wrong with it.
const char* fault_of(const struct stat& status) {
  if (S_ISLNK(status.st_mode)) return "it is a symbolic link";
  if (!S_ISREG(status.st_mode)) return "it is no regular file";
  if (status.st_uid != ::geteuid()) return "it belongs to another user";
  if (status.st_nlink != 1) return "it has a second name";
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return "others may write to it";
  return nullptr;
}

struct Opened {
  FileDescriptor file{-1};
  struct stat status {};
  const char* fault = nullptr;  // null with no file: there is none
};

// Opens a file below `folder` if it is sound. Devices and pipes are not opened, as that may have side effects.
Opened open_sound(int folder, const char* name) {
  struct stat seen {};
  if (::fstatat(folder, name, &seen, AT_SYMLINK_NOFOLLOW) != 0) {
    return {.fault = errno == ENOENT ? nullptr : "it cannot be read"};
  }
  if (const char* fault = fault_of(seen)) return {.status = seen, .fault = fault};
  Opened opened{FileDescriptor(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC))};
  if (!opened.file.is_open()) return {.fault = errno == ENOENT ? nullptr : "it cannot be read"};
  const bool known = ::fstat(opened.file.value(), &opened.status) == 0;
  const char* fault = known ? fault_of(opened.status) : "it cannot be read";
  if (fault != nullptr) return {.status = opened.status, .fault = fault};
  return opened;
}

// Whether a file with a name of ours may be removed: it has our owner and magic too, or is empty (as a crash can leave
// it).
bool is_ours(const Opened& opened) {
  if (!opened.file.is_open()) return false;
  if (opened.status.st_size == 0) return true;
  std::array<std::byte, 8> magic{};
  if (read_some(opened.file.value(), magic) != magic.size()) return false;
  const std::string_view text(reinterpret_cast<const char*>(magic.data()), magic.size());
  return text.starts_with(kKvPageMagic) || text == kKeyMagic;
}

// The same for a file that others may write: it was ours, and is not read.
bool may_be_removed(int folder, const char* name) {
  struct stat seen {};
  if (::fstatat(folder, name, &seen, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(seen.st_mode) ||
      seen.st_uid != ::geteuid() || seen.st_nlink != 1) {
    return false;
  }
  Opened opened{FileDescriptor(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC))};
  if (!opened.file.is_open() || ::fstat(opened.file.value(), &opened.status) != 0) return false;
  return opened.status.st_dev == seen.st_dev && opened.status.st_ino == seen.st_ino && is_ours(opened);
}

bool fill_random(std::span<std::byte> bytes) {
  return ::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
}

// Renames without replacing.
bool rename_to_new(int folder, const char* from, const char* to) {
  if (::renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;  // else a file system without it
  if (::linkat(folder, from, folder, to, 0) != 0) return false;
  ::unlinkat(folder, from, 0);
  return true;
}

// A locked temporary file, removed at the end unless it was renamed.
class PartFile {
 public:
  PartFile(int folder, const char* name) : folder_(folder) {
    uint64_t number = 0;
    if (!fill_random(std::as_writable_bytes(std::span(&number, 1)))) return;
    fmt::format_to_n(name_.data(), name_.size() - 1, "{}.{:016x}{}", name, number, kPartSuffix);
    fd_ = ::openat(folder, name_.data(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd_ >= 0) ::flock(fd_, LOCK_EX | LOCK_NB);
  }
  ~PartFile() {
    if (fd_ < 0) return;
    if (!renamed_) ::unlinkat(folder_, name_.data(), 0);
    ::close(fd_);
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  bool write(std::span<const std::byte> bytes) const { return fd_ >= 0 && write_all(fd_, bytes); }
  bool sync() const { return ::fsync(fd_) == 0; }
  bool rename_new(const char* name) { return renamed_ = rename_to_new(folder_, name_.data(), name); }
  bool rename_over(const char* name) { return renamed_ = ::renameat(folder_, name_.data(), folder_, name) == 0; }

 private:
  int folder_;
  Name name_{};
  int fd_ = -1;
  bool renamed_ = false;
};

void make_folder(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error)) return;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    fail(ErrorCode::kIo, "{}: cannot be made a folder for keys and values: {}", path.string(), std::strerror(errno));
  }
}

}  // namespace

KvFolder::KvFolder(fs::path path) : path_(std::move(path)) {
  make_folder(path_);
  FileDescriptor folder(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  if (!folder.is_open() || ::fstat(folder.value(), &status) != 0) {
    fail(ErrorCode::kIo, "{}: cannot be used as the folder for keys and values: {}", path_.string(),
         std::strerror(errno));
  }
  if (::faccessat(folder.value(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    fail(ErrorCode::kIo, "{}: keys and values cannot be written there: {}", path_.string(), std::strerror(errno));
  }
  const bool is_another_users = status.st_uid != ::geteuid() && status.st_uid != 0;
  if (is_another_users || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    log_warning(
        "{}: other users may remove or add files there; what they add is not used, but give --kv-dir a folder "
        "of mode 0700",
        path_.string());
  }
  folder_ = folder.release();
}

KvFolder::~KvFolder() { ::close(folder_); }

std::string KvFolder::path_of(const KvKey& key) const { return (path_ / page_name(key).data()).string(); }

KeyedHash::Key KvFolder::key() const {
  struct KeyFile {
    std::array<char, 8> magic{};
    KeyedHash::Key key{};
  };
  KeyFile content;
  std::string fault;
  for (int attempt = 0; attempt < 3 && fault.empty(); ++attempt) {
    const Opened opened = open_sound(folder_, kKeyName);
    if (opened.fault != nullptr) {
      fault = opened.fault;
    } else if (opened.file.is_open()) {
      const size_t got = read_some(opened.file.value(), std::as_writable_bytes(std::span(&content, 1)));
      const std::string_view magic(content.magic.data(), content.magic.size());
      if ((opened.status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        fault = "others may read it";
      } else if (got != sizeof content || magic != kKeyMagic) {
        fault = "it is no key";
      } else {
        return content.key;
      }
    } else {
      kKeyMagic.copy(content.magic.data(), content.magic.size());
      if (!fill_random(content.key)) fail(ErrorCode::kIo, "the system gives no random bytes: {}", std::strerror(errno));
      PartFile part(folder_, kKeyName);
      const bool made = part.write(std::as_bytes(std::span(&content, 1))) && part.sync() && part.rename_new(kKeyName);
      if (made) return content.key;
      if (errno != EEXIST) fault = std::strerror(errno);  // else another server was quicker: its key is read
    }
  }
  log_warning(
      "{}: no key for the pages of keys and values: {}. What was kept there is not used, and what is kept now "
      "is not found after a restart",
      (path_ / kKeyName).string(), fault.empty() ? "it comes and goes" : fault);
  if (!fill_random(content.key)) fail(ErrorCode::kIo, "the system gives no random bytes: {}", std::strerror(errno));
  return content.key;
}

std::vector<KvFolder::Page> KvFolder::list() const {
  struct Timed {
    Page page;
    timespec time;
  };
  std::vector<Timed> found;
  FileDescriptor again(::openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(again.is_open() ? ::fdopendir(again.release()) : nullptr,
                                                   ::closedir);
  if (folder == nullptr) {
    fail(ErrorCode::kIo, "{}: cannot be listed: {}", path_.string(), std::strerror(errno));
  }
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    const std::optional<KvKey> key = key_of(name);
    if (key || is_part(name)) {
      const Opened opened = open_sound(folder_, name.c_str());
      if (key && is_ours(opened)) found.push_back({{*key, opened.status.st_size}, opened.status.st_mtim});
      // Its writer is gone if it has not locked it.
      if (!key && is_ours(opened) && ::flock(opened.file.value(), LOCK_EX | LOCK_NB) == 0) {
        ::unlinkat(folder_, name.c_str(), 0);
      }
    }
    errno = 0;
  }
  if (errno != 0) fail(ErrorCode::kIo, "{}: cannot be listed: {}", path_.string(), std::strerror(errno));
  std::sort(found.begin(), found.end(), [](const Timed& a, const Timed& b) {
    return std::pair(a.time.tv_sec, a.time.tv_nsec) < std::pair(b.time.tv_sec, b.time.tv_nsec);
  });
  std::vector<Page> pages;
  for (const Timed& timed : found) pages.push_back(timed.page);
  return pages;
}

KvFolder::ReadResult KvFolder::read(const KvKey& key, std::span<std::byte> file) const {
  const Opened opened = open_sound(folder_, page_name(key).data());
  if (opened.fault != nullptr) return {Found::kUnfit, opened.fault};
  if (!opened.file.is_open()) return {Found::kAbsent};
  if (opened.status.st_size != static_cast<off_t>(file.size()) || read_some(opened.file.value(), file) != file.size()) {
    return {Found::kUnfit, "it is cut short, or longer than it should be"};
  }
  ::futimens(opened.file.value(), nullptr);  // used now: the order of the next process
  return {Found::kRead};
}

const char* KvFolder::write(const KvKey& key, std::span<const std::span<const std::byte>> parts) const {
  constexpr const char* kForeign = "a file stands there that was not written by Glimmer";
  const Name name = page_name(key);
  struct stat there {};
  const bool replaces = ::fstatat(folder_, name.data(), &there, AT_SYMLINK_NOFOLLOW) == 0;
  if (replaces && !may_be_removed(folder_, name.data())) return kForeign;
  PartFile part(folder_, name.data());
  for (const std::span<const std::byte> bytes : parts) {
    if (!part.write(bytes)) return std::strerror(errno);
  }
  if (part.rename_new(name.data())) return nullptr;
  if (errno != EEXIST) return std::strerror(errno);
  if (!may_be_removed(folder_, name.data())) return kForeign;
  return part.rename_over(name.data()) ? nullptr : std::strerror(errno);
}

void KvFolder::remove(const KvKey& key) const {
  const Name name = page_name(key);
  if (may_be_removed(folder_, name.data())) ::unlinkat(folder_, name.data(), 0);
}

}  // namespace glimmer
