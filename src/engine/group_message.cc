#include "engine/group_message.h"

#include <cstring>

#include "base/error.h"

namespace glimmer {
namespace {

class Writer {
 public:
  void put(int64_t word) {
    const size_t at = bytes.size();
    bytes.resize(at + sizeof word);
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  template <typename T>
  void put_all(std::span<const T> values) {
    put(static_cast<int64_t>(values.size()));
    const size_t at = bytes.size();
    bytes.resize(at + values.size_bytes());
    if (!values.empty()) std::memcpy(bytes.data() + at, values.data(), values.size_bytes());
  }

  std::vector<std::byte> bytes;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  int64_t get() {
    int64_t word = 0;
    take(&word, 1);
    return word;
  }
  template <typename T>
  std::vector<T> get_all() {
    const int64_t count = get();
    if (count < 0 || static_cast<uint64_t>(count) > bytes_.size() / sizeof(T)) fail_message();
    std::vector<T> values(static_cast<size_t>(count));
    take(values.data(), values.size());
    return values;
  }
  void end() const {
    if (!bytes_.empty()) fail_message();
  }
  [[noreturn]] static void fail_message() { fail(ErrorCode::kInvalid, "a message of rank 0 is malformed"); }

 private:
  template <typename T>
  void take(T* out, size_t count) {
    const size_t size_bytes = count * sizeof(T);
    if (bytes_.size() < size_bytes) fail_message();
    if (size_bytes > 0) std::memcpy(out, bytes_.data(), size_bytes);
    bytes_ = bytes_.subspan(size_bytes);
  }

  std::span<const std::byte> bytes_;
};

void check_batch(const Batch& batch) {
  int64_t rows = 0;
  for (const BatchSequence& s : batch.sequences) {
    const auto room = static_cast<int64_t>(s.pages.size()) * kernels::kAttentionBlock;
    if (s.first_row != rows || s.tokens < 1 || s.past_tokens < 0 || s.past_tokens + s.tokens > room)
      Reader::fail_message();
    rows += s.tokens;
  }
  if (rows != batch.rows() || batch.positions.size() != batch.tokens.size()) Reader::fail_message();
}

}  // namespace

std::vector<std::byte> GroupMessage::encode() const {
  Writer out;
  for (const int64_t word : {static_cast<int64_t>(kind), pool, static_cast<int64_t>(kv_type), max_pages,
                             static_cast<int64_t>(from), static_cast<int64_t>(to), tokens}) {
    out.put(word);
  }
  out.put_all<int32_t>(batch.tokens);
  out.put_all<int32_t>(batch.positions);
  out.put(static_cast<int64_t>(batch.sequences.size()));
  for (const BatchSequence& s : batch.sequences) {
    for (const int64_t word : {s.first_row, s.tokens, s.past_tokens}) out.put(word);
    out.put_all<PageId>(s.pages);
  }
  out.put_all<int64_t>(rows);
  return std::move(out.bytes);
}

GroupMessage GroupMessage::decode(std::span<const std::byte> bytes) {
  Reader in(bytes);
  GroupMessage message;
  const int64_t kind = in.get();
  if (kind < 0 || kind > static_cast<int64_t>(Kind::kEnd)) Reader::fail_message();
  message.kind = static_cast<Kind>(kind);
  message.pool = in.get();
  message.kv_type = static_cast<KvType>(in.get());
  message.max_pages = in.get();
  message.from = static_cast<PageId>(in.get());
  message.to = static_cast<PageId>(in.get());
  message.tokens = in.get();
  message.batch.tokens = in.get_all<int32_t>();
  message.batch.positions = in.get_all<int32_t>();
  const int64_t sequences = in.get();
  for (int64_t i = 0; i < sequences; ++i) {
    BatchSequence s{.first_row = in.get()};
    s.tokens = in.get();
    s.past_tokens = in.get();
    s.pages = message.pages_.emplace_back(in.get_all<PageId>());  // its bytes stay where they are when pages_ grows
    message.batch.sequences.push_back(s);
  }
  message.rows = in.get_all<int64_t>();
  in.end();
  check_batch(message.batch);
  return message;
}

}  // namespace glimmer
