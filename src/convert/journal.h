// The journal of a conversion, <destination>.partial.journal: what it is, which files are its own, and how far it has
// come. Lines of text, each appended and on disk before what it speaks of is relied on:
//   glimmer-convert 2 <fingerprint>
//   file <bytes> <name>         a file that it makes under a temporary name; before the file is made
//   created                     all of them are there, with headers
//   matrix <hash of the source's bytes>      one more matrix is on disk
//   aside                       the old folder is about to be renamed (file systems that cannot exchange names)
//   commit <inode> ...          all is written; files and folders of these inodes are about to get their names
// A line that is cut off, or is not such a line, ends the journal: what it and those behind it would say has not
// happened, or can be done again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer::convert {

struct JournalFile {
  std::string name;  // as OutputFiles calls it; "" for a single file
  uint64_t size_bytes = 0;
};

struct JournalContent {
  std::string fingerprint;
  std::vector<JournalFile> files;
  bool created = false;
  bool aside = false;
  std::vector<std::string> matrices;       // hashes
  std::vector<uint64_t> committed_inodes;  // empty: it has not come to that
  size_t valid_bytes = 0;                  // of the text, up to the end of the last line that counts
};

JournalContent parse_journal(std::string_view text);  // any text

class Journal {
 public:
  explicit Journal(std::filesystem::path path) : path_(std::move(path)) {}
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Throws kUsage, naming the file, if there is something of its name that no conversion wrote.
  bool exists() const;
  // Throw kUsage if another conversion holds it.
  void create();                                                                    // there is none
  JournalContent open_existing();                                                   // cuts off what does not count
  void begin(std::string_view fingerprint, const std::vector<JournalFile>& files);  // empties it first
  void append(std::string_view lines);  // on disk when it returns. Throws kIo, kLimit (a full disk)
  void remove();
  void close();

 private:
  void lock();

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace glimmer::convert
