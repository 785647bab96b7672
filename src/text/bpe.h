// Byte pair encoding of one piece: symbols, then the adjacent pair of lowest rank is merged, leftmost first, until no
// pair has a rank. The result is that of the `tokenizers` package's BPE model without dropout.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_vocab.h"

namespace glimmer {

// (left id, right id) -> rank and merged id, by open addressing.
class MergeTable {
 public:
  struct Merge {
    int32_t rank = -1;  // lower merges first; -1: no such pair
    int32_t id = -1;
  };

  explicit MergeTable(size_t expected_pairs = 0);

  // The last of several entries for a pair counts.
  void set(int32_t left, int32_t right, Merge merge);

  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    const uint64_t bit = filter_bit(key);
    if (!(filter_[bit / 64] >> bit % 64 & 1)) return {};
    for (size_t at = index_of(key);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.key == key) return slot.merge;
      if (slot.key == kEmpty) return {};
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };

  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  size_t index_of(uint64_t key) const {
    return (key * 0x9E3779B97F4A7C15 ^ key * 0xC2B2AE3D27D4EB4F >> 32) >> 20 & mask_;
  }
  static uint64_t filter_bit(uint64_t key) { return key * 0x9FB21C651E98DF25 >> (64 - kFilterBits); }
  void rehash(size_t slots);

  // Most pairs have no merge: half a megabyte, which stays in a core's cache, spares them the big table.
  static constexpr int kFilterBits = 22;
  std::vector<uint64_t> filter_ = std::vector<uint64_t>((size_t{1} << kFilterBits) / 64);
  std::vector<Slot> slots_;
  size_t mask_ = 0;
  size_t size_ = 0;
};

// One thread's working memory, and its cache of short pieces (bounded: 16,384 entries of 64 bytes).
class BpeScratch {
 public:
  BpeScratch();

 private:
  friend class Bpe;
  void release_large();

  static constexpr size_t kKeptSymbols = 1 << 16;  // a giant piece must not hold its memory for ever
  static constexpr size_t kCacheEntries = 1 << 14;
  static constexpr size_t kCacheKeyBytes = 31;
  static constexpr size_t kCacheIds = 8;
  struct CacheEntry {
    uint8_t size = 0;  // of the key; 0: empty
    char key[kCacheKeyBytes];
    std::array<int32_t, kCacheIds> ids;  // padded with -1
  };
  struct Pair {  // in the heap
    int32_t rank;
    uint32_t at;
    int32_t left;
    int32_t right;
    int32_t merged;
  };

  std::unique_ptr<CacheEntry[]> cache_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> ranks_, merged_;  // of the pair that begins at each symbol
  std::vector<uint32_t> previous_, next_;
  std::vector<Pair> heap_;
};

// Immutable, for any number of threads, each with its own BpeScratch, which serves this Bpe only.
class Bpe {
 public:
  enum class Symbols { kBytes, kCharacters };
  struct Options {
    Symbols symbols = Symbols::kBytes;
    bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
    int32_t unk_id = -1;         // for a symbol that is no token; -1: such a symbol vanishes
    bool fuse_unk = false;       // neighbours of the kind become one
  };

  // `vocab` has the tokens as they stand in the text (bytes, not their printable stand-ins).
  Bpe(Vocab vocab, MergeTable merges, const Options& options);

  // Appends the ids of `piece`, which is not empty, to `out`.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const;

 private:
  void collect_symbols(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_short(BpeScratch& scratch) const;
  void merge_long(BpeScratch& scratch) const;

  Vocab vocab_;
  MergeTable merges_;
  Options options_;
  std::array<int32_t, 256> byte_ids_;
};

}  // namespace glimmer
