#include "engine/prefix_cache.h"

#include <algorithm>

#include "base/error.h"
#include "engine/common_prefix.h"
#include "engine/kv_store.h"

namespace glimmer {
namespace {

constexpr auto kPageTokens = static_cast<size_t>(KvPool::kPageTokens);

}  // namespace

struct PrefixCache::Node {
  std::span<const int32_t> tokens;  // the key under which the parent has it
  KvPageRef page;                   // null for a root
  Node* parent = nullptr;
  Children children;
  uint64_t last_use = 0;  // its place among the leaves
  KvKey key;

  bool is_full() const { return tokens.size() == kPageTokens; }
};

struct PrefixCache::Match {
  Node* node = nullptr;
  size_t tokens = 0;  // in common with the tokens looked up
};

PrefixCache::PrefixCache(std::shared_ptr<KvPool> pool, KvStore* store) : pool_(std::move(pool)), store_(store) {}

PrefixCache::~PrefixCache() {
  // Leaves first: the chain of a long sequence would otherwise be destroyed by recursion.
  while (!leaves_.empty()) remove(*leaves_.begin()->second);
}

PrefixCache::Node& PrefixCache::root(const std::string& scope) {
  std::unique_ptr<Node>& root = roots_[scope];
  if (!root) {
    root = std::make_unique<Node>();
    if (store_ != nullptr) root->key = store_->root_key(scope);
  }
  return *root;
}

const PrefixCache::Node* PrefixCache::find_root(const std::string& scope) const {
  const auto found = roots_.find(scope);
  return found == roots_.end() ? nullptr : found->second.get();
}

PrefixCache::Node* PrefixCache::child_of(const Node& parent, std::span<const int32_t> page_tokens) const {
  const auto found = parent.children.find(page_tokens);
  return found == parent.children.end() ? nullptr : found->second.get();
}

// Keys are sorted, so the neighbours of where the tokens would be inserted share the longest prefix with them.
PrefixCache::Match PrefixCache::best_child(const Node& parent, std::span<const int32_t> tokens) const {
  Match best;
  const auto consider = [&](const Children::value_type& child) {
    const size_t common = common_prefix(child.first, tokens);
    if (common > best.tokens) best = {child.second.get(), common};
  };
  const auto after = parent.children.lower_bound(tokens);
  if (after != parent.children.end()) consider(*after);
  if (after != parent.children.begin()) consider(*std::prev(after));
  return best;
}

void PrefixCache::touch(Node& node) {
  auto leaf = leaves_.extract(node.last_use);  // moves the map node: no allocation
  node.last_use = ++clock_;
  if (!leaf) return;
  leaf.key() = node.last_use;
  leaves_.insert(std::move(leaf));
}

PrefixCache::Node& PrefixCache::add(Node& parent, std::span<const int32_t> tokens, KvPageRef page) {
  auto owned = std::make_unique<Node>();
  Node& node = *owned;
  node.page = std::move(page);
  node.parent = &parent;
  if (store_ != nullptr && tokens.size() == kPageTokens) node.key = store_->child_key(parent.key, tokens);
  // If out of memory, nothing has changed.
  node.last_use = clock_ + 1;
  const auto leaf = leaves_.emplace(node.last_use, &node).first;
  try {
    const auto place =
        parent.children.emplace(std::vector<int32_t>(tokens.begin(), tokens.end()), std::move(owned)).first;
    node.tokens = place->first;
  } catch (...) {
    leaves_.erase(leaf);
    throw;
  }
  leaves_.erase(parent.last_use);
  ++clock_;
  ++nodes_;
  return node;
}

// Of a leaf.
void PrefixCache::remove(Node& node) {
  Node& parent = *node.parent;
  auto leaf = leaves_.extract(node.last_use);
  parent.children.erase(parent.children.find(node.tokens));
  --nodes_;
  if (!parent.children.empty() || parent.page == nullptr) return;
  leaf.key() = parent.last_use;
  leaf.mapped() = &parent;
  leaves_.insert(std::move(leaf));
}

int64_t PrefixCache::match(const std::string& scope, std::span<const int32_t> tokens) const {
  static const Node kEmpty;
  const Node* node = find_root(scope);
  if (node == nullptr && store_ == nullptr) return 0;
  size_t at = 0;
  KvKey key = node != nullptr ? node->key : store_->root_key(scope);
  if (node == nullptr) node = &kEmpty;
  while (tokens.size() - at >= kPageTokens) {
    const auto page_tokens = tokens.subspan(at, kPageTokens);
    const Node* child = child_of(*node, page_tokens);
    if (store_ != nullptr) key = store_->child_key(key, page_tokens);
    if (child == nullptr && (store_ == nullptr || !store_->contains(key))) break;
    node = child != nullptr ? child : &kEmpty;
    at += kPageTokens;
  }
  return static_cast<int64_t>(at + best_child(*node, tokens.subspan(at)).tokens);
}

KvPageRef PrefixCache::allocate_evicting() {
  while (pool_->free_pages() == 0) {
    if (!evict()) return nullptr;
  }
  try {
    return pool_->allocate();
  } catch (const std::exception&) {  // out of memory: a miss
    return nullptr;
  }
}

// Loads a full page that only the store has.
PrefixCache::Node* PrefixCache::restore(Node& parent, std::span<const int32_t> page_tokens) {
  if (store_ == nullptr) return nullptr;
  const KvKey key = store_->child_key(parent.key, page_tokens);
  if (!store_->contains(key)) return nullptr;
  const KvPageRef page = allocate_evicting();
  if (page == nullptr || !store_->read(key, page_tokens, *page)) return nullptr;
  return &add(parent, page_tokens, page);
}

PrefixCache::Hit PrefixCache::take(const std::string& scope, std::span<const int32_t> tokens) {
  Hit hit;
  Node* node = &root(scope);
  while (tokens.size() >= kPageTokens) {
    const auto page_tokens = tokens.first(kPageTokens);
    Node* child = child_of(*node, page_tokens);
    if (child == nullptr) child = restore(*node, page_tokens);
    if (child == nullptr) break;
    touch(*child);
    hit.pages.push_back(child->page);
    hit.tokens += KvPool::kPageTokens;
    tokens = tokens.subspan(kPageTokens);
    node = child;
  }
  const Match best = best_child(*node, tokens);
  if (best.node == nullptr) return hit;
  touch(*best.node);
  const bool is_whole = best.tokens == best.node->tokens.size();
  KvPageRef page = best.node->page;
  // Two references, the tree's and this one: no sequence can append to the page.
  if (!is_whole || best.node->is_full() || page.use_count() > 2) {
    const KvPageRef place = allocate_evicting();
    if (place == nullptr) return hit;
    pool_->copy_rows(*page, static_cast<int64_t>(best.tokens), *place);
    page = place;
  }
  hit.pages.push_back(std::move(page));
  hit.tokens += static_cast<int64_t>(best.tokens);
  return hit;
}

void PrefixCache::insert(const std::string& scope, std::span<const int32_t> tokens, KvCache& kv) {
  Node* node = &root(scope);
  tokens = tokens.first(static_cast<size_t>(kv.size_tokens()));
  for (int64_t index = 0; !tokens.empty(); ++index) {
    const auto page_tokens = tokens.first(std::min(tokens.size(), kPageTokens));
    tokens = tokens.subspan(page_tokens.size());
    const KvPageRef& page = kv.pages()[static_cast<size_t>(index)];
    const Match best = best_child(*node, page_tokens);
    if (best.node != nullptr && best.tokens == page_tokens.size()) {  // cached already, perhaps with more tokens
      touch(*best.node);
      if (best.node->is_full() && page_tokens.size() == kPageTokens && best.node->page != page) {
        kv.replace_page(index, best.node->page);
      }
      node = best.node;
      continue;
    }
    // The cached page is a prefix of this one.
    if (best.node != nullptr && best.tokens == best.node->tokens.size()) remove(*best.node);
    node = &add(*node, page_tokens, page);
    if (store_ != nullptr && node->is_full()) store_->write_later(node->key, node->tokens, page);
  }
}

bool PrefixCache::evict() {
  if (store_ != nullptr) store_->collect();
  for (const auto& [last_use, node] : leaves_) {
    if (node->page.use_count() > 1) continue;
    try {
      if (store_ != nullptr && node->is_full()) store_->write(node->key, node->tokens, *node->page);
    } catch (const std::bad_alloc&) {  // then it is dropped: the memory is needed more urgently
    }
    remove(*node);
    return true;
  }
  return false;
}

}  // namespace glimmer
