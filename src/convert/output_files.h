// The files of a conversion while they are written: under temporary names, at any offset from any thread, with a
// journal of what is complete, until commit() renames them.
//   <destination>.partial           the file, or the folder
//   <destination>.partial.journal   the conversion's fingerprint, and how many matrices are on disk
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/target.h"

namespace glimmer {

class OutputFiles {
 public:
  // `fingerprint`: of everything that the bytes depend on.
  OutputFiles(std::filesystem::path destination, bool is_folder, const std::vector<OutputFile>& files,
              std::string fingerprint);
  ~OutputFiles();  // closes; what is partial stays
  OutputFiles(const OutputFiles&) = delete;
  OutputFiles& operator=(const OutputFiles&) = delete;

  enum class Existing { kRefuse, kReplace };
  enum class Partial { kRefuse, kResume, kDiscard };
  // Creates the files, or opens those of an interrupted run. Throws kUsage if the destination or something partial is
  // there and is to be refused, if there is nothing to resume, or if it is of another conversion; kLimit if the disk
  // has too little room; kIo.
  // `side_files`: names that will be written beside a single file.
  void prepare(Existing existing, Partial partial, const std::vector<std::string>& side_files = {});
  size_t done() const { return done_; }  // matrices that an interrupted run has completed

  // Any thread. Throw kIo (a full disk), which leaves what is there for --resume.
  void write(size_t file, uint64_t offset, std::span<const std::byte> bytes);
  void read(size_t file, uint64_t offset, std::span<std::byte> bytes) const;
  std::filesystem::path path(size_t file) const;

  void note_done(size_t matrices);  // they are on disk, not only in the system's memory
  void write_side_file(const std::string& name, const std::string& text);
  void commit();

  void open_finished();  // the destination itself, for reading

 private:
  std::filesystem::path partial_path(const std::string& name) const;
  std::filesystem::path final_path(const std::string& name) const;
  void check_names(Existing existing, const std::vector<std::string>& side_files) const;
  void check_room() const;
  void lock_journal(int flags);
  void create();
  void resume();
  void append_journal(const std::string& line);
  void sync();
  void close();

  std::filesystem::path destination_;
  std::filesystem::path partial_;
  std::filesystem::path journal_;
  bool is_folder_;
  const std::vector<OutputFile>& files_;
  std::string fingerprint_;
  std::vector<int> descriptors_;
  int journal_descriptor_ = -1;
  size_t done_ = 0;
  bool finished_ = false;
  std::vector<std::string> side_files_;
};

}  // namespace glimmer
