#include "engine/kv_store.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/check.h"
#include "base/log.h"

namespace glimmer {
namespace {

KvKey to_key(const KeyedHash::Digest& digest) {
  KvKey key;
  std::memcpy(&key, digest.data(), sizeof key);
  return key;
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

KvStore::KvStore(std::filesystem::path folder, int64_t max_bytes, std::shared_ptr<KvPool> pool,
                 std::string_view fingerprint)
    : folder_(std::move(folder)),
      max_bytes_(max_bytes),
      pool_(std::move(pool)),
      fingerprint_(fingerprint),
      secret_(folder_.key()),
      hash_(secret_),
      writer_hash_(secret_),
      file_(static_cast<size_t>(kv_page_file_bytes(KvPool::kPageTokens, pool_->page_bytes()))),
      content_(static_cast<size_t>(pool_->page_bytes())),
      writer_content_(content_.size()) {
  for (const KvFolder::Page& page : folder_.list()) {  // what an earlier process left
    files_[page.key] = {.size_bytes = page.size_bytes, .last_use = ++clock_};
    total_bytes_ += page.size_bytes;
  }
  make_room(0);
  thread_ = std::thread([this] { run(); });
}

KvStore::~KvStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

KvKey KvStore::root_key(std::string_view scope) const {
  const uint64_t size = fingerprint_.size();
  return to_key(hash_.of({std::as_bytes(std::span(&size, 1)), bytes_of(fingerprint_), bytes_of(scope)}));
}

KvKey KvStore::child_key(const KvKey& parent, std::span<const int32_t> tokens) const {
  return to_key(hash_.of({std::as_bytes(std::span(&parent, 1)), std::as_bytes(tokens)}));
}

// Why it cannot be used; empty if the page is filled.
std::string_view KvStore::take_file(const KvKey& key, std::span<const int32_t> tokens, PageId page, bool& is_absent) {
  const KvFolder::ReadResult result = folder_.read(key, file_);
  is_absent = result.found == KvFolder::Found::kAbsent;
  if (is_absent) return "it is gone";
  if (result.found == KvFolder::Found::kUnfit) return result.fault;
  const KvPageFound found = find_kv_page(file_, {key, tokens, pool_->page_bytes()}, hash_);
  if (found.fault.empty()) pool_->write(page, found.page);
  return found.fault;
}

bool KvStore::read(const KvKey& key, std::span<const int32_t> tokens, PageId page) {
  try {
    return try_read(key, tokens, page);
  } catch (const std::bad_alloc&) {
    return false;
  }
}

bool KvStore::try_read(const KvKey& key, std::span<const int32_t> tokens, PageId page) {
  bool is_absent = false;
  const std::string_view fault = take_file(key, tokens, page, is_absent);
  if (fault.empty()) {
    if (const auto known = files_.find(key); known != files_.end()) {
      known->second.last_use = ++clock_;
      known->second.is_sound = true;
    }
    ++restored_;
    return true;
  }
  drop(key);
  if (is_absent) return false;  // another process on this folder made room
  ++rejected_;
  log_warning("{}: not used as keys and values: {}", folder_.path_of(key), fault);
  return false;
}

bool KvStore::write_file(const KvKey& key, std::span<const int32_t> tokens, PageId page, std::span<std::byte> content,
                         KeyedHash& hash) {
  pool_->read(page, content);
  const KvPageHeader header = kv_page_header({key, tokens, content}, hash);
  const std::array parts = {std::as_bytes(std::span(&header, 1)), std::as_bytes(tokens),
                            std::span<const std::byte>(content)};
  const char* fault = folder_.write(key, parts);
  if (fault != nullptr && !warned_.exchange(true)) {
    log_warning("{}: keys and values cannot be written, and are not kept: {}", folder_.path_of(key), fault);
  }
  return fault == nullptr;
}

// Removes it from the disk, if it is ours, and from the index.
void KvStore::drop(const KvKey& key) {
  folder_.remove(key);
  const auto found = files_.find(key);
  if (found == files_.end()) return;
  total_bytes_ -= found->second.size_bytes;
  files_.erase(found);
}

void KvStore::make_room(int64_t bytes) {
  while (total_bytes_ + bytes > max_bytes_ && !files_.empty()) {
    const auto oldest = std::min_element(files_.begin(), files_.end(), [](const auto& a, const auto& b) {
      return a.second.last_use < b.second.last_use;
    });
    drop(KvKey(oldest->first));
  }
}

bool KvStore::has_sound(const KvKey& key) const {
  const auto found = files_.find(key);
  return found != files_.end() && found->second.is_sound;
}

void KvStore::add(const KvKey& key) {
  ++written_;
  const auto size_bytes = static_cast<int64_t>(file_.size());
  if (!contains(key)) {
    make_room(size_bytes);
    try {
      files_[key];
    } catch (const std::bad_alloc&) {
      folder_.remove(key);  // what is not known would not be bounded
      return;
    }
  }
  File& file = files_[key];
  total_bytes_ += size_bytes - file.size_bytes;
  file = {.size_bytes = size_bytes, .last_use = ++clock_, .is_sound = true};
}

void KvStore::write(const KvKey& key, std::span<const int32_t> tokens, PageId page) {
  try {
    if (!has_sound(key) && write_file(key, tokens, page, content_, hash_)) add(key);
  } catch (const std::bad_alloc&) {
    return;  // the page is not kept
  }
}

void KvStore::write_later(const KvKey& key, std::span<const int32_t> tokens, const KvPageRef& page) {
  collect();
  Job& job = jobs_[next_job_];
  if (has_sound(key) || job.state.load(std::memory_order_relaxed) != JobState::kFree) return;
  GLIMMER_CHECK(tokens.size() == job.tokens.size(), "{} tokens of a page", tokens.size());
  job.key = key;
  std::copy(tokens.begin(), tokens.end(), job.tokens.begin());
  job.page = page;
  next_job_ = (next_job_ + 1) % jobs_.size();
  {
    const std::lock_guard lock(mutex_);
    job.state.store(JobState::kWaiting, std::memory_order_release);
  }
  wake_.notify_one();
}

void KvStore::collect() {
  for (Job& job : jobs_) {
    const JobState state = job.state.load(std::memory_order_acquire);
    if (state == JobState::kFree || state == JobState::kWaiting) continue;
    if (state == JobState::kWritten) add(job.key);
    job.page.reset();  // on the owner's thread, to which references belong
    job.state.store(JobState::kFree, std::memory_order_relaxed);
  }
}

bool KvStore::finish() {
  bool any = false;
  for (Job& job : jobs_) {
    any = any || job.page != nullptr;
    job.state.wait(JobState::kWaiting, std::memory_order_acquire);
  }
  collect();
  return any;
}

// Processes jobs in the order in which the owner fills them. Never throws: a page that cannot be written, even for lack
// of memory, is not kept.
void KvStore::run() {
  for (size_t next = 0;; next = (next + 1) % jobs_.size()) {
    Job& job = jobs_[next];
    const auto is_waiting = [&] { return job.state.load(std::memory_order_acquire) == JobState::kWaiting; };
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || is_waiting(); });
    }
    if (!is_waiting()) return;
    bool written = false;
    try {
      written = write_file(job.key, job.tokens, *job.page, writer_content_, writer_hash_);
    } catch (...) {
      // As with a full disk.
    }
    job.state.store(written ? JobState::kWritten : JobState::kFailed, std::memory_order_release);
    job.state.notify_all();
  }
}

}  // namespace glimmer
