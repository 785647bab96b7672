// KV pages indexed by the tokens that they and all pages before them hold, so that a prompt that shares a prefix with
// an earlier one does not recompute it.
//
// A tree over pages: each node is a page, its parent the page before. A page that is not full is a leaf. Sequences and
// the tree share pages; a page that only the tree refers to can be evicted, least recently used and leaves first.
// Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/kv_cache.h"

namespace glimmer {

class KvStore;

class PrefixCache {
 public:
  // `store` may be null; else pages go there too, and those that memory has lost are found there.
  explicit PrefixCache(std::shared_ptr<KvPool> pool, KvStore* store = nullptr);
  ~PrefixCache();

  // How many of the first tokens are there, in memory or in the store, without touching them.
  int64_t match(const std::string& scope, std::span<const int32_t> tokens) const;

  struct Hit {
    std::vector<KvPageRef> pages;  // as KvCache::adopt takes them
    int64_t tokens = 0;
  };
  // Takes them. The last page is copied if it holds more than is wanted or another sequence may append to it. If no
  // page is free for that, or for pages in the store, even after evicting, the hit ends earlier.
  Hit take(const std::string& scope, std::span<const int32_t> tokens);

  // Adds what a sequence computed: `kv` holds the KV pages of `tokens`. Full pages that are cached already replace its
  // own, which hold the same and are released.
  void insert(const std::string& scope, std::span<const int32_t> tokens, KvCache& kv);

  // Lets go of one page that no sequence refers to. False if there is none.
  bool evict();

  int64_t pages() const { return static_cast<int64_t>(nodes_); }

 private:
  struct Node;
  struct Match;
  struct LessTokens {
    using is_transparent = void;
    bool operator()(std::span<const int32_t> a, std::span<const int32_t> b) const {
      return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    }
  };
  using Children = std::map<std::vector<int32_t>, std::unique_ptr<Node>, LessTokens>;

  Node* child_of(const Node& parent, std::span<const int32_t> page_tokens) const;
  Match best_child(const Node& parent, std::span<const int32_t> tokens) const;
  Node& add(Node& parent, std::span<const int32_t> tokens, KvPageRef page);
  void remove(Node& node);
  void touch(Node& node);
  KvPageRef allocate_evicting();
  Node* restore(Node& parent, std::span<const int32_t> page_tokens);
  Node& root(const std::string& scope);
  const Node* find_root(const std::string& scope) const;

  std::shared_ptr<KvPool> pool_;
  KvStore* store_;
  std::map<std::string, std::unique_ptr<Node>> roots_;
  size_t nodes_ = 0;
  uint64_t clock_ = 0;
  std::map<uint64_t, Node*> leaves_;  // by last use
};

}  // namespace glimmer
