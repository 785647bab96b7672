// Pages of keys and values on disk: what memory has no room for, and what a restart would lose.
//
// A file a page, named by a hash of the model, the type and the scope, and of all tokens up to the page's end. It holds
// the page's tokens and a hash of its contents, and both are compared before it is used: a file that is not what was
// written is removed and counted. Files are readable by their owner only. Where they would take more than `max_bytes`,
// the least recently used go.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "model/kv_pool.h"

namespace glimmer {

struct KvKey {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const KvKey&) const = default;
};

class KvStore {
 public:
  // `fingerprint` tells models and types of pages apart. Makes the folder if it is not there. Throws kIo, with the
  // path, when it cannot be made, listed or written to.
  KvStore(std::filesystem::path folder, int64_t max_bytes, int64_t page_bytes, std::string_view fingerprint);
  ~KvStore();  // after what was to be written

  KvKey root_key(std::string_view scope) const;
  static KvKey child_key(const KvKey& parent, std::span<const int32_t> tokens);

  bool contains(const KvKey& key) const { return files_.contains(key); }
  // Fills the page; false, and the file is gone, if it is not what was written or cannot be read.
  bool read(const KvKey& key, std::span<const int32_t> tokens, KvPage& page);
  // Nothing for a page that is known to be there. What cannot be written is left out, with a warning the first time.
  void write(const KvKey& key, std::span<const int32_t> tokens, const KvPage& page);
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
  enum class JobState { kWaiting, kWritten, kFailed };
  struct Job {
    KvKey key;
    std::vector<int32_t> tokens;
    KvPageRef page;
    std::atomic<JobState> state{JobState::kWaiting};
  };

  bool has_sound(const KvKey& key) const;
  std::filesystem::path path_of(const KvKey& key) const;
  void scan();
  bool write_file(const KvKey& key, std::span<const int32_t> tokens, const KvPage& page);
  void add(const KvKey& key);
  void make_room(int64_t bytes);
  void forget(const KvKey& key);
  void run();

  std::filesystem::path folder_;
  int64_t max_bytes_;
  int64_t page_bytes_;
  std::string fingerprint_;
  std::map<KvKey, File> files_;
  int64_t total_bytes_ = 0;
  uint64_t clock_ = 0;
  int64_t written_ = 0;
  int64_t restored_ = 0;
  int64_t rejected_ = 0;
  std::atomic<bool> warned_{false};

  std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> waiting_;
  bool stopping_ = false;
  std::deque<std::shared_ptr<Job>> in_flight_;  // of the owner's thread
  std::thread thread_;
};

}  // namespace glimmer
