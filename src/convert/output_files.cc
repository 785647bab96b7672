#include "convert/output_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "convert/replaceable.h"

namespace glimmer::convert {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, const char* action) {
  const int error = errno;
  const ErrorCode code = error == ENOSPC || error == EDQUOT ? ErrorCode::kLimit : ErrorCode::kIo;
  fail(code, "{}: cannot {}: {}", path.string(), action, std::strerror(error));
}

// A regular file, or one that is made: links are not followed, and nothing that is there is opened to be made.
int open_file(const fs::path& path, int flags) {
  const int creates = (flags & O_CREAT) != 0 ? O_EXCL : 0;
  const int descriptor = ::open(path.c_str(), flags | creates | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (descriptor < 0) refuse(path, creates != 0 ? "create" : "open");
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail(ErrorCode::kIo, "{}: expected a regular file", path.string());
  }
  return descriptor;
}

void write_all(int descriptor, const fs::path& path, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) refuse(path, "write");
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

// Itself, not what it links to.
bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

uint64_t inode_of(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

void remove_if_there(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) refuse(path, "remove");
}

bool lacks_flag() { return errno == EINVAL || errno == ENOSYS; }  // renameat2 on some file systems

// Never over what is there.
void move_to_new(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
  if (lacks_flag() && !is_there(to) && ::rename(from.c_str(), to.c_str()) == 0) return;
  fail(ErrorCode::kIo, "{}: cannot rename to {}: {}", from.string(), to.string(), std::strerror(errno));
}

void move_over(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  fail(ErrorCode::kIo, "{}: cannot rename to {}: {}", from.string(), to.string(), std::strerror(errno));
}

// "/models/x/" and "/models/x" are one destination.
fs::path without_trailing_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

fs::path with_suffix(const fs::path& path, std::string_view suffix) { return path.string() + std::string(suffix); }

}  // namespace

OutputFiles::OutputFiles(fs::path destination, bool is_folder, const std::vector<OutputFile>& files,
                         std::string fingerprint)
    : destination_(without_trailing_slash(destination)),
      partial_(with_suffix(destination_, ".partial")),
      journal_(with_suffix(destination_, ".partial.journal")),
      is_folder_(is_folder),
      files_(files),
      fingerprint_(std::move(fingerprint)) {}

OutputFiles::~OutputFiles() { close(); }

void OutputFiles::close() {
  for (const int descriptor : descriptors_) ::close(descriptor);
  descriptors_.clear();
}

fs::path OutputFiles::folder() const {
  return destination_.has_parent_path() ? destination_.parent_path() : fs::path(".");
}

fs::path OutputFiles::final_path(const std::string& name) const {
  if (is_folder_) return destination_ / name;
  return name.empty() ? destination_ : destination_.parent_path() / name;
}

fs::path OutputFiles::partial_path(const std::string& name) const {
  if (is_folder_) return partial_ / name;
  return with_suffix(final_path(name), ".partial");
}

fs::path OutputFiles::path(size_t file) const {
  return finished_ ? final_path(files_[file].name) : partial_path(files_[file].name);
}

// What is renamed as a whole.
std::vector<fs::path> OutputFiles::units() const {
  if (is_folder_) return {destination_};
  std::vector<fs::path> names;
  for (const OutputFile& file : files_) names.push_back(final_path(file.name));
  for (const auto& [name, text] : side_files_) names.push_back(final_path(name));
  return names;
}

std::vector<JournalFile> OutputFiles::own_files() const {
  std::vector<JournalFile> own;
  for (const OutputFile& file : files_) own.push_back({file.name, file.size_bytes});
  for (const auto& [name, text] : side_files_) own.push_back({name, text.size()});
  return own;
}

// ---- before anything is written ----

void OutputFiles::check_there(const fs::path& path) const {
  if (!is_there(path)) return;
  if (existing_ == Existing::kRefuse) {
    fail(ErrorCode::kUsage, "{}: is there already; give --force to replace it", path.string());
  }
  if (is_folder_) {
    check_folder_replaceable(path);
  } else {
    check_file_replaceable(path);
  }
}

void OutputFiles::check_names() const {
  std::error_code error;
  if (!fs::is_directory(folder(), error)) {
    fail(ErrorCode::kNotFound, "{}: no such folder to write {} into", folder().string(),
         destination_.filename().string());
  }
  const std::vector<fs::path> names = units();
  for (size_t i = 0; i < names.size(); ++i) {
    const bool is_ours = i < committed_.size() && inode_of(names[i]) == committed_[i];
    if (!is_ours) check_there(names[i]);
  }
}

// Without a journal what has a temporary name is not ours.
void OutputFiles::check_no_partials() const {
  for (const fs::path& name : units()) {
    if (const fs::path partial = with_suffix(name, ".partial"); is_there(partial)) {
      fail(ErrorCode::kUsage, "{}: is there, and no journal says that a conversion left it; move it away",
           partial.string());
    }
  }
}

void OutputFiles::check_room() const {
  uint64_t needed = 0;
  for (const OutputFile& file : files_) needed += file.size_bytes;
  std::error_code error;
  const fs::space_info space = fs::space(folder(), error);
  if (!error && space.available < needed) {
    fail(ErrorCode::kLimit, "{}: {} bytes are needed, the disk has {} free", folder().string(), needed,
         space.available);
  }
}

void OutputFiles::prepare(Existing existing, Partial partial, SideFileTexts side_files) {
  existing_ = existing;
  side_files_ = std::move(side_files);
  if (is_folder_) {
    std::vector<std::string> names;
    for (const JournalFile& file : own_files()) names.push_back(file.name);
    side_files_[std::string(kConvertMarker)] = convert_marker_text(names);
  }
  const bool there = journal_.exists();
  if (partial == Partial::kResume) {
    if (!there) fail(ErrorCode::kUsage, "{}: there is nothing to resume", partial_.string());
    return resume();
  }
  check_names();
  if (there && partial == Partial::kRefuse) {
    fail(ErrorCode::kUsage,
         "{}: is there from a run that was interrupted; give --resume to go on, --force to begin anew",
         partial_.string());
  }
  if (!there) check_no_partials();
  check_room();
  if (there) {
    discard(journal_.open_existing());
  } else {
    journal_.create();
  }
  create();
}

void OutputFiles::create() {
  journal_.begin(fingerprint_, own_files());
  if (is_folder_ && ::mkdir(partial_.c_str(), 0777) != 0) refuse(partial_, "create");
  for (const OutputFile& file : files_) {
    const fs::path path = partial_path(file.name);
    descriptors_.push_back(open_file(path, O_RDWR | O_CREAT));
    if (::ftruncate(descriptors_.back(), static_cast<off_t>(file.size_bytes)) != 0) refuse(path, "reserve room");
    write_all(descriptors_.back(), path, 0, std::as_bytes(std::span(file.header)));
  }
  sync();
  sync_folder();
  journal_.append("created\n");
}

void OutputFiles::resume() {
  const JournalContent content = journal_.open_existing();
  if (content.valid_bytes > 0 && content.fingerprint != fingerprint_) {
    fail(ErrorCode::kUsage, "{}: is of another conversion (source, type or recipe differ); give --force to begin anew",
         partial_.string());
  }
  committed_ = content.committed_inodes;
  aside_ = content.aside;
  if (!committed_.empty() && committed_.size() != units().size()) {
    fail(ErrorCode::kInvalid, "{}: its journal names {} files, expected {}; give --force to begin anew",
         partial_.string(), committed_.size(), units().size());
  }
  check_names();
  done_ = content.matrices;
  if (is_complete()) return;
  if (!content.created) {
    discard(content);
    return create();
  }
  for (const OutputFile& file : files_) {
    const fs::path path = partial_path(file.name);
    descriptors_.push_back(open_file(path, O_RDWR));
    struct stat status {};
    if (::fstat(descriptors_.back(), &status) != 0 || static_cast<uint64_t>(status.st_size) != file.size_bytes) {
      fail(ErrorCode::kInvalid, "{}: not of the size that it was left with; give --force to begin anew", path.string());
    }
  }
}

// Everything under the temporary names is what the journal says, and nothing else lies there.
void OutputFiles::check_discardable(const JournalContent& content) const {
  constexpr const char* kForeign = "{}: is not what an interrupted conversion left there; move it away";
  std::set<fs::path> own;
  for (const JournalFile& file : content.files) {
    const fs::path path = partial_path(file.name);
    own.insert(path);
    if (is_folder_) {
      for (fs::path up = path.parent_path(); up != partial_ && up != up.parent_path(); up = up.parent_path()) {
        own.insert(up);
      }
    }
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) continue;
    const bool fits =
        S_ISREG(status.st_mode) && status.st_nlink == 1 && static_cast<uint64_t>(status.st_size) <= file.size_bytes;
    if (!fits) fail(ErrorCode::kUsage, kForeign, path.string());
  }
  std::error_code error;
  if (!is_folder_) {
    for (const fs::path& name : units()) {
      const fs::path partial = with_suffix(name, ".partial");
      if (is_there(partial) && !own.contains(partial)) fail(ErrorCode::kUsage, kForeign, partial.string());
    }
    return;
  }
  if (!is_there(partial_)) return;
  if (!fs::is_directory(fs::symlink_status(partial_, error))) fail(ErrorCode::kUsage, kForeign, partial_.string());
  for (fs::recursive_directory_iterator at(partial_, error), end; !error && at != end; at.increment(error)) {
    if (!own.contains(at->path())) fail(ErrorCode::kUsage, kForeign, at->path().string());
  }
  if (error) fail(ErrorCode::kIo, "{}: cannot be listed: {}", partial_.string(), error.message());
}

void OutputFiles::discard(const JournalContent& content) {
  const fs::path replaced = with_suffix(destination_, ".replaced");
  if (content.aside && !is_there(destination_) && is_there(replaced)) move_to_new(replaced, destination_);
  // It was renamed, and the old folder stands under the temporary name.
  const bool was_exchanged =
      is_folder_ && content.committed_inodes.size() == 1 && inode_of(destination_) == content.committed_inodes.front();
  if (was_exchanged) {
    aside_ = content.aside;
    return remove_old_folder();
  }
  check_discardable(content);
  for (const JournalFile& file : content.files) remove_if_there(partial_path(file.name));
  if (!is_folder_) return;
  for (const JournalFile& file : content.files) {
    for (fs::path up = partial_path(file.name).parent_path(); up != partial_; up = up.parent_path()) {
      ::rmdir(up.c_str());  // the last of its files removes it
    }
  }
  if (::rmdir(partial_.c_str()) != 0 && errno != ENOENT) refuse(partial_, "remove");
}

// ---- while it is written ----

void OutputFiles::write(size_t file, uint64_t offset, std::span<const std::byte> bytes) {
  write_all(descriptors_[file], path(file), offset, bytes);
}

void OutputFiles::read(size_t file, uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(descriptors_[file], bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path(file), "read");
    if (got == 0) fail(ErrorCode::kInvalid, "{}: ends at byte {}", path(file).string(), offset);
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

void OutputFiles::sync() {
  for (size_t i = 0; i < descriptors_.size(); ++i) {
    if (::fdatasync(descriptors_[i]) != 0) refuse(path(i), "write");
  }
}

// Names last too: those that are not on disk now would be lost with the power.
void OutputFiles::sync_folder() const {
  for (const fs::path& path : {folder(), partial_}) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) continue;
    ::fsync(descriptor);
    ::close(descriptor);
  }
}

void OutputFiles::note_done(std::span<const std::string> source_hashes) {
  sync();
  std::string lines;
  for (const std::string& hash : source_hashes) lines += "matrix " + hash + "\n";
  journal_.append(lines);
}

void OutputFiles::write_side_file(const std::string& name, const std::string& text) {
  const fs::path relative(name);
  const bool leaves = std::any_of(relative.begin(), relative.end(), [](const fs::path& part) { return part == ".."; });
  GLIMMER_CHECK(relative.is_relative() && !leaves && name.find('\0') == std::string::npos, "side file {}", name);
  const fs::path path = partial_path(name);
  std::error_code error;
  if (is_folder_) fs::create_directories(path.parent_path(), error);
  remove_if_there(path);  // of a run that ended here
  const int descriptor = open_file(path, O_WRONLY | O_CREAT);
  try {
    write_all(descriptor, path, 0, std::as_bytes(std::span(text)));
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  const bool synced = ::fsync(descriptor) == 0;
  if (::close(descriptor) != 0 || !synced) refuse(path, "write");
}

// ---- names ----

void OutputFiles::commit() {
  if (!is_complete()) {
    for (const auto& [name, text] : side_files_) write_side_file(name, text);
    sync();
    sync_folder();
    std::string line = "commit";
    for (const fs::path& name : units()) {
      const uint64_t inode = inode_of(with_suffix(name, ".partial"));
      committed_.push_back(inode);
      line += fmt::format(" {}", inode);
    }
    journal_.append(line + "\n");
  }
  close();
  give_names();
  sync_folder();
  journal_.remove();
}

void OutputFiles::give_names() {
  const std::vector<fs::path> names = units();
  for (size_t i = 0; i < names.size(); ++i) give_name(names[i], committed_[i]);
  if (is_folder_) remove_old_folder();
}

void OutputFiles::give_name(const fs::path& name, uint64_t inode) {
  if (inode_of(name) == inode) return;  // a run that ended here has done it
  const fs::path partial = with_suffix(name, ".partial");
  if (inode_of(partial) != inode) {
    fail(ErrorCode::kInvalid, "{}: is not what was written; give --force to begin anew", partial.string());
  }
  check_there(name);  // what has come there meanwhile, too
  if (!is_there(name)) {
    move_to_new(partial, name);
  } else if (is_folder_) {
    replace_folder(partial);
  } else {
    move_over(partial, name);
  }
}

// In one step where the file system can; else the old folder is moved aside first.
void OutputFiles::replace_folder(const fs::path& partial) {
  if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE) == 0) return;
  if (!lacks_flag()) {
    fail(ErrorCode::kIo, "{}: cannot take the place of {}: {}", partial.string(), destination_.string(),
         std::strerror(errno));
  }
  const fs::path replaced = with_suffix(destination_, ".replaced");
  if (is_there(replaced)) fail(ErrorCode::kUsage, "{}: is there; move it away, then --resume", replaced.string());
  journal_.append("aside\n");
  aside_ = true;
  move_to_new(destination_, replaced);
  move_to_new(partial, destination_);
}

void OutputFiles::remove_old_folder() const {
  if (is_there(partial_)) remove_replaced_folder(partial_);
  const fs::path replaced = with_suffix(destination_, ".replaced");
  if (aside_ && is_there(replaced)) remove_replaced_folder(replaced);
}

void OutputFiles::open_finished() {
  finished_ = true;
  for (const OutputFile& file : files_) {
    const fs::path path = final_path(file.name);
    descriptors_.push_back(open_file(path, O_RDONLY));
    std::error_code error;
    const uintmax_t size = fs::file_size(path, error);
    std::vector<std::byte> header(file.header.size());
    if (size == file.size_bytes) read(descriptors_.size() - 1, 0, header);
    if (size != file.size_bytes || std::memcmp(header.data(), file.header.data(), header.size()) != 0) {
      fail(ErrorCode::kInvalid,
           "{}: not the file that this conversion writes: {} bytes, expected {}, or another header", path.string(),
           size, file.size_bytes);
    }
  }
}

}  // namespace glimmer::convert
