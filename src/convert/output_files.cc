#include "convert/output_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>

#include "base/check.h"
#include "base/error.h"
#include "base/mapped_file.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kJournalHead = "glimmer-convert 1 ";

[[noreturn]] void refuse(const fs::path& path, const char* action) {
  const int error = errno;
  const ErrorCode code = error == ENOSPC || error == EDQUOT ? ErrorCode::kLimit : ErrorCode::kIo;
  fail(code, "{}: cannot {}: {}", path.string(), action, std::strerror(error));
}

int open_file(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) refuse(path, (flags & O_CREAT) != 0 ? "create" : "open");
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

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail(ErrorCode::kIo, "{}: cannot remove: {}", path.string(), error.message());
}

void move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail(ErrorCode::kIo, "{}: cannot rename to {}: {}", from.string(), to.string(), error.message());
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
  if (journal_descriptor_ >= 0) ::close(journal_descriptor_);
  journal_descriptor_ = -1;
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

void OutputFiles::check_names(Existing existing, const std::vector<std::string>& side_files) const {
  std::error_code error;
  const fs::path folder = destination_.has_parent_path() ? destination_.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, error)) {
    fail(ErrorCode::kNotFound, "{}: no such folder to write {} into", folder.string(),
         destination_.filename().string());
  }
  std::vector<fs::path> written = {destination_};
  if (!is_folder_) {
    for (const std::string& name : side_files) written.push_back(final_path(name));
  }
  for (const fs::path& path : written) {
    if (!fs::exists(fs::symlink_status(path, error))) continue;
    if (existing == Existing::kRefuse) {
      fail(ErrorCode::kUsage, "{}: is there already; give --force to replace it", path.string());
    }
    const bool folder_there = fs::is_directory(path, error);
    if (folder_there != is_folder_) {
      fail(ErrorCode::kUsage, "{}: is a {}, which a {} will not replace", path.string(),
           folder_there ? "folder" : "file", is_folder_ ? "folder" : "file");
    }
    // Replacing a folder removes what is in it: only a model's.
    if (folder_there && !fs::is_empty(path, error) && !fs::exists(path / "config.json", error)) {
      fail(ErrorCode::kUsage, "{}: is a folder without a config.json, no model: it is not replaced", path.string());
    }
  }
  if (const fs::path old = with_suffix(destination_, ".replaced"); fs::exists(fs::symlink_status(old, error))) {
    fail(ErrorCode::kUsage, "{}: is there from a run that was cut off; move it away", old.string());
  }
}

void OutputFiles::check_room() const {
  uint64_t needed = 0;
  for (const OutputFile& file : files_) needed += file.size_bytes;
  const fs::path folder = destination_.has_parent_path() ? destination_.parent_path() : fs::path(".");
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (!error && space.available < needed) {
    fail(ErrorCode::kLimit, "{}: {} bytes are needed, the disk has {} free", folder.string(), needed, space.available);
  }
}

void OutputFiles::prepare(Existing existing, Partial partial, const std::vector<std::string>& side_files) {
  check_names(existing, side_files);
  std::error_code error;
  const bool there = fs::exists(fs::symlink_status(partial_, error)) || fs::exists(journal_, error);
  if (partial == Partial::kResume) {
    if (!there) fail(ErrorCode::kUsage, "{}: there is nothing to resume", partial_.string());
    lock_journal(O_WRONLY | O_APPEND);
    return resume();
  }
  if (there && partial == Partial::kRefuse) {
    fail(ErrorCode::kUsage,
         "{}: is there from a run that was interrupted; give --resume to go on, --force to begin anew",
         partial_.string());
  }
  check_room();
  lock_journal(O_WRONLY | O_CREAT | O_APPEND);  // whoever holds it is writing: nothing of his is touched
  if (there) remove_tree(partial_);
  if (::ftruncate(journal_descriptor_, 0) != 0) refuse(journal_, "write");
  create();
}

void OutputFiles::lock_journal(int flags) {
  journal_descriptor_ = open_file(journal_, flags);
  if (::flock(journal_descriptor_, LOCK_EX | LOCK_NB) != 0) {
    fail(ErrorCode::kUsage, "{}: another conversion is writing there", journal_.string());
  }
}

void OutputFiles::create() {
  std::error_code error;
  if (is_folder_ && !fs::create_directory(partial_, error)) {
    fail(ErrorCode::kIo, "{}: cannot create the folder: {}", partial_.string(), error.message());
  }
  for (const OutputFile& file : files_) {
    const fs::path path = partial_path(file.name);
    descriptors_.push_back(open_file(path, O_RDWR | O_CREAT | O_TRUNC));
    if (::ftruncate(descriptors_.back(), static_cast<off_t>(file.size_bytes)) != 0) refuse(path, "reserve room");
    write_all(descriptors_.back(), path, 0, std::as_bytes(std::span(file.header)));
  }
  sync();
  append_journal(fmt::format("{}{}\n", kJournalHead, fingerprint_));
}

void OutputFiles::resume() {
  std::istringstream lines(read_file(journal_, size_t{64} << 20));
  std::string line;
  if (!std::getline(lines, line) || line != fmt::format("{}{}", kJournalHead, fingerprint_)) {
    fail(ErrorCode::kUsage, "{}: is of another conversion (source, type or recipe differ); give --force to begin anew",
         journal_.string());
  }
  // A line that was cut off in the middle counts as not written: the one before it stands.
  while (std::getline(lines, line) && !lines.eof()) {
    size_t done = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), done);
    if (error != std::errc{} || end != line.data() + line.size()) {
      fail(ErrorCode::kInvalid, "{}: expected a number, found '{}'; give --force to begin anew", journal_.string(),
           line);
    }
    done_ = done;
  }
  for (const OutputFile& file : files_) {
    const fs::path path = partial_path(file.name);
    descriptors_.push_back(open_file(path, O_RDWR));
    std::error_code size_error;
    if (fs::file_size(path, size_error) != file.size_bytes) {
      fail(ErrorCode::kInvalid, "{}: not of the size that it was left with; give --force to begin anew", path.string());
    }
    write_all(descriptors_.back(), path, 0, std::as_bytes(std::span(file.header)));
  }
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

void OutputFiles::append_journal(const std::string& line) {
  if (::write(journal_descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    refuse(journal_, "write");
  }
  if (::fdatasync(journal_descriptor_) != 0) refuse(journal_, "write");
}

void OutputFiles::sync() {
  for (size_t i = 0; i < descriptors_.size(); ++i) {
    if (::fdatasync(descriptors_[i]) != 0) refuse(path(i), "write");
  }
}

void OutputFiles::note_done(size_t matrices) {
  sync();
  append_journal(fmt::format("{}\n", matrices));
}

void OutputFiles::write_side_file(const std::string& name, const std::string& text) {
  const fs::path relative(name);
  const bool leaves = std::any_of(relative.begin(), relative.end(), [](const fs::path& part) { return part == ".."; });
  GLIMMER_CHECK(relative.is_relative() && !leaves && name.find('\0') == std::string::npos, "side file {}", name);
  const fs::path path = partial_path(name);
  std::error_code error;
  if (is_folder_) fs::create_directories(path.parent_path(), error);
  const int descriptor = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  try {
    write_all(descriptor, path, 0, std::as_bytes(std::span(text)));
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  const bool synced = ::fsync(descriptor) == 0;
  if (::close(descriptor) != 0 || !synced) refuse(path, "write");
  side_files_.push_back(name);
}

void OutputFiles::commit() {
  sync();
  close();
  std::error_code error;
  if (is_folder_) {
    const fs::path old = with_suffix(destination_, ".replaced");
    const bool replaces = fs::exists(destination_, error);
    if (replaces) move_file(destination_, old);
    move_file(partial_, destination_);
    if (replaces) remove_tree(old);
  } else {
    for (const OutputFile& file : files_) move_file(partial_path(file.name), final_path(file.name));
    for (const std::string& name : side_files_) move_file(partial_path(name), final_path(name));
  }
  // The new names last too: what is not on disk now would be lost with the power.
  const fs::path folder = destination_.has_parent_path() ? destination_.parent_path() : fs::path(".");
  if (const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); descriptor >= 0) {
    ::fsync(descriptor);
    ::close(descriptor);
  }
  remove_tree(journal_);
}

}  // namespace glimmer
