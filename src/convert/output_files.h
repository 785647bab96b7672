// The files of a conversion while they are written: under temporary names, at any offset from any thread, with a
// journal of what is complete, until commit() gives them their names.
//   <destination>.partial           the file, or the folder; so too <name>.partial of what is written beside a file
//   <destination>.partial.journal   convert/journal.h
// Until commit() nothing that was there is touched; what it then replaces stays whole until the new is. A process that
// ends at any moment leaves what --resume can go on with, or nothing. Only what the journal names is ever removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/journal.h"
#include "convert/target.h"

namespace glimmer::convert {

class OutputFiles {
 public:
  using SideFileTexts = std::map<std::string, std::string>;  // by name, as OutputPlan has them

  // `fingerprint`: of everything that the bytes depend on, but for the source's weights.
  OutputFiles(std::filesystem::path destination, bool is_folder, const std::vector<OutputFile>& files,
              std::string fingerprint);
  ~OutputFiles();  // closes; what is partial stays
  OutputFiles(const OutputFiles&) = delete;
  OutputFiles& operator=(const OutputFiles&) = delete;

  enum class Existing { kRefuse, kReplace };
  enum class Partial { kRefuse, kResume, kDiscard };
  // Creates the files, or opens those of an interrupted run. Throws kUsage if the destination or something partial is
  // there and is to be refused or is not of a conversion, if there is nothing to resume, or if it is of another
  // conversion; kLimit if the disk has too little room; kIo.
  void prepare(Existing existing, Partial partial, SideFileTexts side_files = {});
  // Hashes of the source's bytes of each matrix that an interrupted run has completed, in the order of writing.
  const std::vector<std::string>& done() const { return done_; }
  bool is_complete() const { return !committed_.empty(); }  // only names are to be given still

  // Any thread. Throw kIo (a full disk), which leaves what is there for --resume.
  void write(size_t file, uint64_t offset, std::span<const std::byte> bytes);
  void read(size_t file, uint64_t offset, std::span<std::byte> bytes) const;
  std::filesystem::path path(size_t file) const;

  void note_done(std::span<const std::string> source_hashes);  // of further matrices: on disk, not only in memory
  void commit();

  void open_finished();  // the destination itself, for reading

 private:
  std::filesystem::path folder() const;  // that the destination lies in
  std::filesystem::path partial_path(const std::string& name) const;
  std::filesystem::path final_path(const std::string& name) const;
  std::vector<JournalFile> own_files() const;
  void check_names() const;
  void check_there(const std::filesystem::path& path) const;
  void check_no_partials() const;
  void check_room() const;
  void create();
  void resume();
  void discard(const JournalContent& content);
  void check_discardable(const JournalContent& content) const;
  void write_side_file(const std::string& name, const std::string& text);
  std::vector<std::filesystem::path> units() const;
  void give_names();
  void give_name(const std::filesystem::path& name, uint64_t inode);
  void replace_folder(const std::filesystem::path& partial);
  void remove_old_folder() const;
  void sync();
  void sync_folder() const;
  void close();

  std::filesystem::path destination_;
  std::filesystem::path partial_;
  Journal journal_;
  bool is_folder_;
  const std::vector<OutputFile>& files_;
  std::string fingerprint_;
  Existing existing_ = Existing::kRefuse;
  SideFileTexts side_files_;
  std::vector<int> descriptors_;
  std::vector<std::string> done_;
  std::vector<uint64_t> committed_;  // inodes of units()
  bool aside_ = false;               // the old folder may be called <destination>.replaced
  bool finished_ = false;
};

}  // namespace glimmer::convert
