// One sequence's KV cache, in pages that never move.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/kv_pool.h"

namespace glimmer {

class KvCache {
 public:
  // With a pool of its own, of as many pages as max_position_embeddings tokens need.
  explicit KvCache(const ModelConfig& config, KvType type = KvType::kF32, Memory& memory = host_memory());
  explicit KvCache(std::shared_ptr<KvPool> pool);

  int64_t size_tokens() const { return size_tokens_; }
  // As the sequences of a batch must.
  bool shares_pool_with(const KvCache& other) const { return pool_ == other.pool_; }
  const KvMemory& share() const { return pool_->share(); }  // this rank's, of all pages
  const KvPool& pool() const { return *pool_; }
  KvType type() const { return pool_->layout().type; }
  // Per token, over all layers.
  static int64_t bytes_per_token(const ModelConfig& config, KvType type);
  static int64_t bytes_per_token(const ModelConfig& config, KvType type, const Placement& placement);  // on its rank

  // Makes room for `tokens` in all, keeping what is there. Throws kLimit when pages or memory are out; it then holds
  // what it held.
  void reserve(int64_t tokens);
  int64_t pages_to_reserve(int64_t tokens) const;           // that reserve() would allocate
  void append(int64_t tokens) { size_tokens_ += tokens; }   // after the forward pass wrote their rows
  void truncate(int64_t tokens) { size_tokens_ = tokens; }  // drops all but the first `tokens`

  // For a cache that is empty: the first `tokens` tokens lie in these pages. All pages but the last are full, and none
  // but this cache appends to the last.
  void adopt(std::vector<KvPageRef> pages, int64_t tokens);
  // Its pages in order; those beyond size_tokens() are still unused. Valid until the next change.
  std::span<const KvPageRef> pages() const { return pages_; }
  std::span<const PageId> page_ids() const { return page_ids_; }
  // Replaces a full page by another with the same contents.
  void replace_page(int64_t index, KvPageRef page);
  void clear();  // releases all pages

 private:
  std::shared_ptr<KvPool> pool_;
  int64_t size_tokens_ = 0;
  std::vector<KvPageRef> pages_;
  std::vector<PageId> page_ids_;  // the same, as a pass takes them
};

}  // namespace glimmer
