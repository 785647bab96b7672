// Token strings and ids, both ways.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer {

// Ids index a table, so an absurd one is refused rather than allocated for. The largest published vocabularies have
// about 262,000 entries.
inline constexpr int32_t kMaxTokenId = (1 << 22) - 1;

// A hash of short strings: two multiplications for every 16 bytes.
uint64_t hash_bytes(std::string_view bytes);

class Vocab {
 public:
  Vocab() { rehash(64); }
  void reserve(size_t tokens, size_t bytes);

  // False, and nothing changes, if the string or the id is there already. 0 <= id <= kMaxTokenId.
  bool insert(std::string_view token, int32_t id);

  int32_t find(std::string_view token) const { return find_hashed(token, hash_bytes(token)); }  // -1 if it is not there
  int32_t find_hashed(std::string_view token, uint64_t hash) const;

  bool has(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < entries_.size() && entries_[id].offset != kAbsent;
  }
  // The string of `id`, empty if there is none. Valid until the next insert.
  std::string_view token(int32_t id) const;

  int32_t size() const { return size_; }
  int32_t max_id() const { return static_cast<int32_t>(entries_.size()) - 1; }

 private:
  static constexpr uint32_t kAbsent = ~uint32_t{0};
  struct Entry {
    uint32_t offset = kAbsent;
    uint32_t size = 0;
  };
  struct Slot {
    uint32_t tag = 0;  // upper half of the hash
    int32_t id = -1;
  };

  void rehash(size_t slots);

  std::string arena_;
  std::vector<Entry> entries_;  // by id
  std::vector<Slot> slots_;     // open addressing, a power of two of them, at most half full
  int32_t size_ = 0;
};

}  // namespace glimmer
