#include "engine/kv_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "base/log.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostInFlight = 16;
constexpr std::string_view kSuffix = ".kv";

struct Header {
  char magic[8] = {'G', 'L', 'M', 'K', 'V', 'P', 'G', '1'};
  uint64_t key_high = 0;
  uint64_t key_low = 0;
  uint64_t tokens = 0;
  uint64_t page_bytes = 0;
  uint64_t hash = 0;  // of the tokens and the page
};

uint64_t hash_of(std::span<const int32_t> tokens, const std::byte* data, int64_t size_bytes) {
  return XXH3_64bits_withSeed(data, static_cast<size_t>(size_bytes), XXH3_64bits(tokens.data(), tokens.size_bytes()));
}

KvKey to_key(XXH128_hash_t hash) { return {.high = hash.high64, .low = hash.low64}; }

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool is_open() const { return fd_ >= 0; }
  int value() const { return fd_; }

 private:
  int fd_;
};

bool write_all(int fd, const void* data, size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool read_all(int fd, void* data, size_t size) {
  auto* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = ::read(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

std::optional<KvKey> key_of(const std::string& name) {
  if (name.size() != 32 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  KvKey key;
  for (size_t i = 0; i < 32; ++i) {
    const char c = name[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    uint64_t& half = i < 16 ? key.high : key.low;
    half = half << 4 | static_cast<uint64_t>(digit);
  }
  return key;
}

}  // namespace

KvStore::KvStore(fs::path folder, int64_t max_bytes, int64_t page_bytes, std::string_view fingerprint)
    : folder_(std::move(folder)), max_bytes_(max_bytes), page_bytes_(page_bytes), fingerprint_(fingerprint) {
  std::error_code error;
  if (fs::create_directories(folder_, error)) fs::permissions(folder_, fs::perms::owner_all, error);
  if (!fs::is_directory(folder_)) {
    fail(ErrorCode::kIo, "{}: cannot be made a folder for keys and values: {}", folder_.string(),
         error ? error.message() : "it is something else");
  }
  if (::access(folder_.c_str(), W_OK | X_OK) != 0) {
    fail(ErrorCode::kIo, "{}: keys and values cannot be written there: {}", folder_.string(), std::strerror(errno));
  }
  scan();
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

// What an earlier process left, oldest first.
void KvStore::scan() {
  struct Found {
    fs::file_time_type time;
    KvKey key;
    int64_t size_bytes;
  };
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->path().extension() == ".part") fs::remove(at->path(), ignored);  // of a writer that died
    const auto key = key_of(at->path().filename().string());
    if (!key || !at->is_regular_file(ignored)) continue;
    found.push_back({at->last_write_time(ignored), *key, static_cast<int64_t>(at->file_size(ignored))});
  }
  if (error) fail(ErrorCode::kIo, "{}: cannot be listed: {}", folder_.string(), error.message());
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.time < b.time; });
  for (const Found& file : found) {
    files_[file.key] = {.size_bytes = file.size_bytes, .last_use = ++clock_};
    total_bytes_ += file.size_bytes;
  }
  make_room(0);
}

fs::path KvStore::path_of(const KvKey& key) const {
  return folder_ / fmt::format("{:016x}{:016x}{}", key.high, key.low, kSuffix);
}

KvKey KvStore::root_key(std::string_view scope) const {
  const std::string text = fmt::format("{}:{}|{}", fingerprint_.size(), fingerprint_, scope);
  return to_key(XXH3_128bits(text.data(), text.size()));
}

KvKey KvStore::child_key(const KvKey& parent, std::span<const int32_t> tokens) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, &parent, sizeof parent);
  XXH3_128bits_update(&state, tokens.data(), tokens.size_bytes());
  return to_key(XXH3_128bits_digest(&state));
}

bool KvStore::read(const KvKey& key, std::span<const int32_t> tokens, KvPage& page) {
  const FileDescriptor file(::open(path_of(key).c_str(), O_RDONLY | O_CLOEXEC));
  Header header;
  std::vector<int32_t> stored(tokens.size());
  const bool is_right = file.is_open() && read_all(file.value(), &header, sizeof header) &&
                        std::memcmp(header.magic, Header().magic, sizeof header.magic) == 0 &&
                        KvKey{header.key_high, header.key_low} == key && header.tokens == tokens.size() &&
                        header.page_bytes == static_cast<uint64_t>(page_bytes_) &&
                        read_all(file.value(), stored.data(), tokens.size_bytes()) &&
                        std::ranges::equal(stored, tokens) &&
                        read_all(file.value(), page.data(), static_cast<size_t>(page_bytes_)) &&
                        header.hash == hash_of(tokens, page.data(), page_bytes_);
  if (!is_right) {
    log_warning("{}: not the keys and values that were written; it is removed", path_of(key).string());
    forget(key);
    ++rejected_;
    return false;
  }
  ::futimens(file.value(), nullptr);  // used now: the order of the next process
  File& known = files_[key];
  known.last_use = ++clock_;
  known.is_sound = true;
  ++restored_;
  return true;
}

bool KvStore::write_file(const KvKey& key, std::span<const int32_t> tokens, const KvPage& page) {
  const Header header{.key_high = key.high,
                      .key_low = key.low,
                      .tokens = tokens.size(),
                      .page_bytes = static_cast<uint64_t>(page_bytes_),
                      .hash = hash_of(tokens, page.data(), page_bytes_)};
  const fs::path path = path_of(key);
  const std::string part = fmt::format("{}.{}.part", path.string(), ::getpid());
  bool written = false;
  int reason = 0;
  {
    const FileDescriptor file(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
    written = file.is_open() && write_all(file.value(), &header, sizeof header) &&
              write_all(file.value(), tokens.data(), tokens.size_bytes()) &&
              write_all(file.value(), page.data(), static_cast<size_t>(page_bytes_));
    reason = errno;
  }
  if (written) {
    written = ::rename(part.c_str(), path.c_str()) == 0;
    reason = errno;
  }
  if (!written) {
    ::unlink(part.c_str());
    if (!warned_.exchange(true)) {
      log_warning("{}: keys and values cannot be written, and are not kept: {}", path.string(), std::strerror(reason));
    }
  }
  return written;
}

void KvStore::forget(const KvKey& key) {
  std::error_code ignored;
  fs::remove(path_of(key), ignored);
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
    forget(KvKey(oldest->first));
  }
}

bool KvStore::has_sound(const KvKey& key) const {
  const auto found = files_.find(key);
  return found != files_.end() && found->second.is_sound;
}

void KvStore::add(const KvKey& key) {
  const auto size_bytes = static_cast<int64_t>(sizeof(Header)) + KvPool::kPageTokens * 4 + page_bytes_;
  if (!contains(key)) {
    make_room(size_bytes);
    total_bytes_ += size_bytes;
  }
  files_[key] = {.size_bytes = size_bytes, .last_use = ++clock_, .is_sound = true};
  ++written_;
}

void KvStore::write(const KvKey& key, std::span<const int32_t> tokens, const KvPage& page) {
  if (!has_sound(key) && write_file(key, tokens, page)) add(key);
}

void KvStore::write_later(const KvKey& key, std::span<const int32_t> tokens, const KvPageRef& page) {
  collect();
  if (has_sound(key) || in_flight_.size() >= kMostInFlight) return;
  auto job = std::make_shared<Job>();
  job->key = key;
  job->tokens.assign(tokens.begin(), tokens.end());
  job->page = page;
  in_flight_.push_back(job);
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void KvStore::collect() {
  std::erase_if(in_flight_, [&](const std::shared_ptr<Job>& job) {
    const JobState state = job->state.load(std::memory_order_acquire);
    if (state == JobState::kWaiting) return false;
    if (state == JobState::kWritten) add(job->key);
    job->page.reset();  // here, not on the store's thread
    return true;
  });
}

bool KvStore::finish() {
  if (in_flight_.empty()) return false;
  for (const std::shared_ptr<Job>& job : in_flight_) job->state.wait(JobState::kWaiting, std::memory_order_acquire);
  collect();
  return true;
}

void KvStore::run() {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      job = std::move(waiting_.front());
      waiting_.pop_front();
    }
    const bool written = write_file(job->key, job->tokens, *job->page);
    job->state.store(written ? JobState::kWritten : JobState::kFailed, std::memory_order_release);
    job->state.notify_all();
  }
}

}  // namespace glimmer
