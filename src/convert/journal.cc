#include "convert/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "base/mapped_file.h"

namespace glimmer::convert {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHead = "glimmer-convert ";
constexpr std::string_view kVersion = "2 ";
constexpr size_t kMaxBytes = size_t{1} << 30;

[[noreturn]] void fail_write(const fs::path& path) {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::kLimit : ErrorCode::kIo;
  fail(code, "{}: cannot write: {}", path.string(), std::strerror(errno));
}

bool starts_as_journal(std::string_view text) { return text.substr(0, kHead.size()) == kHead.substr(0, text.size()); }

// Line ends, spaces and what is not ASCII as %XX: a name is one word of one line.
std::string encoded(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain = c > ' ' && c != '%' && c < 0x7F;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<uint8_t>(c));
  }
  return out;
}

std::optional<std::string> decoded(std::string_view word) {
  std::string out;
  for (size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '%') {
      out += word[i];
      continue;
    }
    unsigned value = 0;
    if (i + 3 > word.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(word.data() + i + 1, word.data() + i + 3, value, 16);
    if (error != std::errc{} || end != word.data() + i + 3) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::optional<uint64_t> number(std::string_view word) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::string_view take_word(std::string_view& line) {
  const size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

bool take_inodes(std::string_view line, JournalContent& content) {
  std::vector<uint64_t> inodes;
  while (!line.empty()) {
    const auto inode = number(take_word(line));
    if (!inode) return false;
    inodes.push_back(*inode);
  }
  content.committed_inodes = std::move(inodes);
  return !content.committed_inodes.empty();
}

// A name below where it is put.
bool is_inner(const std::string& name) {
  const fs::path path(name);
  return path.is_relative() && name.find('\0') == std::string::npos &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

// False if it is none, or none that can stand here.
bool take_line(std::string_view line, JournalContent& content) {
  const std::string_view kind = take_word(line);
  if (kind == "file" && !content.created) {
    const auto size = number(take_word(line));
    const auto name = decoded(line);
    if (!size || !name || !is_inner(*name)) return false;
    content.files.push_back({*name, *size});
    return true;
  }
  if (kind == "created" && line.empty()) return content.created = !content.files.empty();
  if (!content.created) return false;
  if (kind == "matrix" && line.size() == 32 && content.committed_inodes.empty()) {
    content.matrices.emplace_back(line);
    return true;
  }
  if (kind == "aside" && line.empty()) return content.aside = true;
  return kind == "commit" && content.committed_inodes.empty() && take_inodes(line, content);
}

}  // namespace

JournalContent parse_journal(std::string_view text) {
  JournalContent content;
  const std::string head = std::string(kHead) + std::string(kVersion);
  for (size_t begin = 0;;) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return content;
    const std::string_view line = text.substr(begin, end - begin);
    if (begin == 0) {
      if (!line.starts_with(head)) return content;
      content.fingerprint = line.substr(head.size());
    } else if (!take_line(line, content)) {
      return content;
    }
    begin = end + 1;
    content.valid_bytes = begin;
  }
}

Journal::~Journal() { close(); }

void Journal::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool Journal::exists() const {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path_, error);
  if (!fs::exists(status)) return false;
  if (fs::is_regular_file(status)) {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    char text[kHead.size()];
    const ssize_t got = fd >= 0 ? ::pread(fd, text, sizeof text, 0) : -1;
    const int reason = errno;
    if (fd >= 0) ::close(fd);
    if (got < 0) fail(ErrorCode::kIo, "{}: cannot be read: {}", path_.string(), std::strerror(reason));
    if (starts_as_journal({text, static_cast<size_t>(got)})) return true;
  }
  fail(ErrorCode::kUsage, "{}: is there, and is no journal of a conversion; move it away", path_.string());
}

void Journal::create() {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd_ < 0 && errno != EEXIST) fail_write(path_);
  if (fd_ < 0) fail(ErrorCode::kUsage, "{}: another conversion is writing there", path_.string());
  lock();
}

JournalContent Journal::open_existing() {
  fd_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) fail(ErrorCode::kIo, "{}: cannot open: {}", path_.string(), std::strerror(errno));
  lock();
  const std::string text = read_file(path_, kMaxBytes);
  const JournalContent content = parse_journal(text);
  if (content.valid_bytes == 0 && text.size() > kHead.size() + kVersion.size() &&
      !text.starts_with(std::string(kHead) + std::string(kVersion))) {
    fail(ErrorCode::kUsage, "{}: is the journal of another version of Glimmer; remove it and what it belongs to",
         path_.string());
  }
  if (::ftruncate(fd_, static_cast<off_t>(content.valid_bytes)) != 0) fail_write(path_);
  return content;
}

// Whoever holds it is writing: nothing of theirs is touched.
void Journal::lock() {
  struct stat held {};
  struct stat named {};
  const bool locked = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  const bool is_same = ::fstat(fd_, &held) == 0 && ::lstat(path_.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
                       held.st_ino == named.st_ino;
  if (locked && is_same) return;  // else its writer has just finished and removed it
  close();
  fail(ErrorCode::kUsage, "{}: another conversion is writing there", path_.string());
}

void Journal::begin(std::string_view fingerprint, const std::vector<JournalFile>& files) {
  if (::ftruncate(fd_, 0) != 0) fail_write(path_);
  std::string text = fmt::format("{}{}{}\n", kHead, kVersion, fingerprint);
  for (const JournalFile& file : files) text += fmt::format("file {} {}\n", file.size_bytes, encoded(file.name));
  append(text);
}

void Journal::append(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t written = ::write(fd_, lines.data(), lines.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_write(path_);
    lines.remove_prefix(static_cast<size_t>(written));
  }
  if (::fdatasync(fd_) != 0) fail_write(path_);
}

void Journal::remove() {
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    fail(ErrorCode::kIo, "{}: cannot remove: {}", path_.string(), std::strerror(errno));
  }
  close();
}

}  // namespace glimmer::convert
