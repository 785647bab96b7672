// The files of a KvStore in their folder, which other, possibly hostile, users may write to as well.
//
//   <32 hex digits>.kv                      a page (kv_page_file.h)
//   glimmer.key                             the key of the pages' hashes: 8 bytes of magic, 32 random bytes
//   <either>.<16 hex digits>.part           a file being written, locked by its writer
//
// Reads only regular files that this user owns, nobody else may write, and that have a single hard link. Removes or
// replaces only such files that also have a name and magic of ours, or are empty. Symbolic links are never followed,
// and other kinds of files never opened. All names are relative to the folder opened at the start, wherever it is moved
// to. Thread-safe, but for the constructor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/keyed_hash.h"
#include "engine/kv_page_file.h"

namespace glimmer {

class KvFolder {
 public:
  // Makes the folder, for this user alone, if it is not there. Warns if others may write to it. Throws kIo, with the
  // path, when it cannot be made, opened or written to.
  explicit KvFolder(std::filesystem::path path);
  ~KvFolder();
  KvFolder(const KvFolder&) = delete;
  KvFolder& operator=(const KvFolder&) = delete;

  // The folder's key, made if there is none. If what is there is not to be trusted, or none can be written: a key for
  // this process alone, with a warning.
  KeyedHash::Key key() const;

  struct Page {
    KvKey key;
    int64_t size_bytes = 0;
  };
  // The pages, oldest use first. Removes what writers that died have left. Throws kIo.
  std::vector<Page> list() const;

  enum class Found { kRead, kAbsent, kUnfit };
  struct ReadResult {
    Found found = Found::kUnfit;
    std::string_view fault = {};  // of what is unfit: "it is a symbolic link"
  };
  // Fills `file`, whose size must be the file's, and notes the use.
  ReadResult read(const KvKey& key, std::span<std::byte> file) const;
  // Null, or why not.
  const char* write(const KvKey& key, std::span<const std::span<const std::byte>> parts) const;
  void remove(const KvKey& key) const;  // if it is ours

  std::string path_of(const KvKey& key) const;

 private:
  std::filesystem::path path_;
  int folder_ = -1;
};

}  // namespace glimmer
