#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "text/pre_tokenizer_unicode.h"

namespace glimmer {
namespace {

// Up to here a scan for the lowest rank beats a heap.
constexpr size_t kShortSymbols = 96;
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();
constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

}  // namespace

MergeTable::MergeTable(size_t expected_pairs) { rehash(std::bit_ceil(std::max<size_t>(64, expected_pairs * 3 / 2))); }

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  if ((size_ + 1) * 4 > slots_.size() * 3) rehash(slots_.size() * 2);
  const uint64_t key = key_of(left, right);
  size_t at = index_of(key);
  while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & mask_;
  if (slots_[at].key == kEmpty) ++size_;
  slots_[at] = {key, merge};
  const uint64_t bit = filter_bit(key);
  filter_[bit / 64] |= uint64_t{1} << bit % 64;
}

void MergeTable::rehash(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  mask_ = slots - 1;
  for (const Slot& slot : old) {
    if (slot.key == kEmpty) continue;
    size_t at = index_of(slot.key);
    while (slots_[at].key != kEmpty) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
}

BpeScratch::BpeScratch() : cache_(std::make_unique<CacheEntry[]>(kCacheEntries)) {}

void BpeScratch::release_large() {
  if (ids_.capacity() <= kKeptSymbols) return;
  ids_ = {};
  previous_ = {};
  next_ = {};
  heap_ = {};
}

Bpe::Bpe(Vocab vocab, MergeTable merges, const Options& options)
    : vocab_(std::move(vocab)), merges_(std::move(merges)), options_(options) {
  for (int i = 0; i < 256; ++i) {
    const char byte = static_cast<char>(i);
    byte_ids_[i] = vocab_.find({&byte, 1});
  }
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const {
  const uint64_t hash = hash_bytes(piece);
  if (options_.ignore_merges) {
    const int32_t id = vocab_.find_hashed(piece, hash);
    if (id >= 0) return out.push_back(id);
  }
  BpeScratch::CacheEntry* entry = nullptr;
  if (piece.size() <= BpeScratch::kCacheKeyBytes) {
    entry = &scratch.cache_[hash >> 40 & (BpeScratch::kCacheEntries - 1)];
    if (entry->size == piece.size() && std::memcmp(entry->key, piece.data(), piece.size()) == 0) {
      for (const int32_t id : entry->ids) {
        if (id < 0) break;
        out.push_back(id);
      }
      return;
    }
  }
  std::vector<int32_t>& ids = scratch.ids_;
  collect_symbols(piece, ids);
  if (ids.size() <= kShortSymbols) {
    merge_short(scratch);
  } else {
    merge_long(scratch);
  }
  out.insert(out.end(), ids.begin(), ids.end());
  if (entry && ids.size() <= BpeScratch::kCacheIds) {
    entry->size = static_cast<uint8_t>(piece.size());
    std::memcpy(entry->key, piece.data(), piece.size());
    std::fill(std::copy(ids.begin(), ids.end(), entry->ids.begin()), entry->ids.end(), -1);
  }
  scratch.release_large();
}

void Bpe::collect_symbols(std::string_view piece, std::vector<int32_t>& ids) const {
  ids.clear();
  bool after_unknown = false;
  for (size_t at = 0; at < piece.size();) {
    const size_t begin = at;
    int32_t id = -1;
    if (options_.symbols == Symbols::kBytes) {
      id = byte_ids_[static_cast<uint8_t>(piece[at++])];
    } else {
      next_code_point(piece, at);
      id = vocab_.find(piece.substr(begin, at - begin));
    }
    if (id >= 0) {
      ids.push_back(id);
    } else if (options_.unk_id >= 0 && !(after_unknown && options_.fuse_unk)) {
      ids.push_back(options_.unk_id);
    }
    after_unknown = id < 0;
  }
}

void Bpe::merge_short(BpeScratch& scratch) const {
  std::vector<int32_t>& ids = scratch.ids_;
  std::vector<int32_t>& ranks = scratch.ranks_;
  std::vector<int32_t>& merged = scratch.merged_;
  if (ids.size() < 2) return;
  ranks.resize(ids.size() - 1);
  merged.resize(ids.size() - 1);
  const auto look_up = [&](size_t i) {
    const MergeTable::Merge pair = merges_.find(ids[i], ids[i + 1]);
    ranks[i] = pair.rank < 0 ? kNoRank : pair.rank;
    merged[i] = pair.id;
  };
  for (size_t i = 0; i < ranks.size(); ++i) look_up(i);
  while (!ranks.empty()) {
    int32_t lowest = kNoRank;  // a plain loop, which the compiler makes a vector of
    for (const int32_t rank : ranks) lowest = std::min(lowest, rank);
    if (lowest == kNoRank) return;
    const size_t i = std::find(ranks.begin(), ranks.end(), lowest) - ranks.begin();
    ids[i] = merged[i];
    ids.erase(ids.begin() + i + 1);
    ranks.erase(ranks.begin() + i);
    merged.erase(merged.begin() + i);
    if (i > 0) look_up(i - 1);
    if (i < ranks.size()) look_up(i);
  }
}

// A linked list of symbols and a heap of pairs, so that a run of a million letters is not quadratic. A symbol only ever
// grows, so a pair in the heap is stale exactly if one of its two symbols has another id by now.
void Bpe::merge_long(BpeScratch& scratch) const {
  using Pair = BpeScratch::Pair;
  std::vector<int32_t>& ids = scratch.ids_;
  const auto size = static_cast<uint32_t>(ids.size());
  std::vector<uint32_t>& previous = scratch.previous_;
  std::vector<uint32_t>& next = scratch.next_;
  std::vector<Pair>& heap = scratch.heap_;
  previous.resize(size);
  next.resize(size);
  heap.clear();
  const auto later = [](const Pair& a, const Pair& b) { return a.rank != b.rank ? a.rank > b.rank : a.at > b.at; };
  const auto add = [&](uint32_t at) {
    const MergeTable::Merge merge = merges_.find(ids[at], ids[next[at]]);
    if (merge.rank >= 0) heap.push_back({merge.rank, at, ids[at], ids[next[at]], merge.id});
    return merge.rank >= 0;
  };
  for (uint32_t i = 0; i < size; ++i) {
    previous[i] = i == 0 ? kNone : i - 1;
    next[i] = i + 1 == size ? kNone : i + 1;
  }
  for (uint32_t i = 0; i + 1 < size; ++i) add(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    const Pair top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    const uint32_t right = next[top.at];
    if (ids[top.at] != top.left || right == kNone || ids[right] != top.right) continue;
    ids[top.at] = top.merged;
    ids[right] = -1;
    next[top.at] = next[right];
    if (next[right] != kNone) previous[next[right]] = top.at;
    if (previous[top.at] != kNone && add(previous[top.at])) std::push_heap(heap.begin(), heap.end(), later);
    if (next[top.at] != kNone && add(top.at)) std::push_heap(heap.begin(), heap.end(), later);
  }
  ids.erase(std::remove(ids.begin(), ids.end(), -1), ids.end());
}

}  // namespace glimmer
