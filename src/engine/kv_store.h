// KV pages on disk: spilled when memory is full, and kept across restarts.
//
// One file per page (kv_page_file.h), named by its key, in a folder that others may use too (kv_folder.h). Keys are
// keyed hashes, so file names do not reveal prompts. A damaged or forged file is not used, is counted, and is removed
// if it is ours. Beyond `max_bytes` the least recently used pages are deleted. Several processes may share a folder:
// each counts what it found there and what it wrote against its quota.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/kv_folder.h"
#include "engine/kv_page_file.h"
#include "model/kv_pool.h"

namespace glimmer {

class KvStore {
 public:
  // Of the pages of `pool`. `fingerprint` tells models and types of pages apart. Makes the folder if it is not there.
  // Throws kIo, with the path, when it cannot be made, listed or written to.
  KvStore(std::filesystem::path folder, int64_t max_bytes, std::shared_ptr<KvPool> pool, std::string_view fingerprint);
  ~KvStore();  // after what was to be written
  KvStore(const KvStore&) = delete;
  KvStore& operator=(const KvStore&) = delete;

  // Throw std::bad_alloc. `tokens` of this and all below: of a full page.
  KvKey root_key(std::string_view scope) const;
  KvKey child_key(const KvKey& parent, std::span<const int32_t> tokens) const;

  bool contains(const KvKey& key) const { return files_.contains(key); }
  // Fills the page; false if it is not what was written (then it is forgotten), or memory is out.
  bool read(const KvKey& key, std::span<const int32_t> tokens, PageId page);
  // Nothing for a page that is known to be there. What cannot be written is left out, with a warning the first time.
  void write(const KvKey& key, std::span<const int32_t> tokens, PageId page);
  // The same on a thread of the store's own, unless that has too much to do. Holds a reference until collect().
  void write_later(const KvKey& key, std::span<const int32_t> tokens, const KvPageRef& page);
  void collect();  // lets go of the pages that are written
  bool finish();   // waits for those that are not, and lets go of them; false if there was none

  int64_t written() const { return written_; }
  int64_t restored() const { return restored_; }
  int64_t rejected() const { return rejected_; }

 private:
  struct File {
    int64_t size_bytes = 0;
    uint64_t last_use = 0;
    bool is_sound = false;  // this process has written or read it
  };
  // Pages that the store's thread writes, in places that are there from the start: taking one allocates nothing.
  enum class JobState { kFree, kWaiting, kWritten, kFailed };
  struct Job {
    KvKey key;
    std::array<int32_t, KvPool::kPageTokens> tokens;
    KvPageRef page;
    std::atomic<JobState> state{JobState::kFree};
  };

  bool has_sound(const KvKey& key) const;
  std::string_view take_file(const KvKey& key, std::span<const int32_t> tokens, PageId page, bool& is_absent);
  bool try_read(const KvKey& key, std::span<const int32_t> tokens, PageId page);
  bool write_file(const KvKey& key, std::span<const int32_t> tokens, PageId page, std::span<std::byte> content,
                  KeyedHash& hash);
  void add(const KvKey& key);
  void make_room(int64_t bytes);
  void drop(const KvKey& key);
  void run();

  KvFolder folder_;
  int64_t max_bytes_;
  std::shared_ptr<KvPool> pool_;
  std::string fingerprint_;
  KeyedHash::Key secret_;
  mutable KeyedHash hash_;  // of the owner's thread
  KeyedHash writer_hash_;   // of the store's
  std::vector<std::byte> file_;
  std::vector<std::byte> content_;         // of a page, on the owner's thread
  std::vector<std::byte> writer_content_;  // on the store's
  std::map<KvKey, File> files_;
  int64_t total_bytes_ = 0;
  uint64_t clock_ = 0;
  int64_t written_ = 0;
  int64_t restored_ = 0;
  int64_t rejected_ = 0;
  std::atomic<bool> warned_{false};

  std::array<Job, 16> jobs_;
  size_t next_job_ = 0;  // that the owner fills, in turn
  std::mutex mutex_;     // of what follows
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace glimmer
