#include "model/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace glimmer {
namespace {

int64_t pages_of(int64_t tokens) { return (tokens + KvPool::kPageTokens - 1) / KvPool::kPageTokens; }

}  // namespace

KvCache::KvCache(const ModelConfig& config, KvType type, Memory& memory)
    : KvCache(std::make_shared<KvPool>(config, type, memory)) {}

KvCache::KvCache(std::shared_ptr<KvPool> pool) : pool_(std::move(pool)) {}

int64_t KvCache::bytes_per_token(const ModelConfig& config, KvType type) {
  return kv_layout_of(config, type).block_bytes() / KvPool::kPageTokens * config.num_hidden_layers;
}

int64_t KvCache::bytes_per_token(const ModelConfig& config, KvType type, const Placement& placement) {
  return kv_layout_of(config, type, placement).block_bytes() / KvPool::kPageTokens * placement.layers().size();
}

int64_t KvCache::pages_to_reserve(int64_t tokens) const {
  return std::max<int64_t>(0, pages_of(tokens) - static_cast<int64_t>(pages_.size()));
}

void KvCache::reserve(int64_t tokens) {
  const size_t before = pages_.size();
  const auto wanted = static_cast<size_t>(pages_of(tokens));
  try {
    pages_.reserve(wanted);
    page_ids_.reserve(wanted);
    while (pages_.size() < wanted) {
      pages_.push_back(pool_->allocate());
      page_ids_.push_back(*pages_.back());
    }
  } catch (...) {
    pages_.resize(before);
    page_ids_.resize(before);
    throw;
  }
}

void KvCache::adopt(std::vector<KvPageRef> pages, int64_t tokens) {
  GLIMMER_CHECK(pages_.empty() && size_tokens_ == 0, "adopt with {} tokens there", size_tokens_);
  GLIMMER_CHECK(static_cast<int64_t>(pages.size()) == pages_of(tokens), "{} pages of {} tokens", pages.size(), tokens);
  page_ids_.reserve(pages.size());
  pages_ = std::move(pages);
  for (const KvPageRef& page : pages_) page_ids_.push_back(*page);
  size_tokens_ = tokens;
}

void KvCache::replace_page(int64_t index, KvPageRef page) {
  GLIMMER_CHECK((index + 1) * KvPool::kPageTokens <= size_tokens_, "page {} of {} tokens", index, size_tokens_);
  page_ids_[static_cast<size_t>(index)] = *page;
  pages_[static_cast<size_t>(index)] = std::move(page);
}

void KvCache::clear() {
  pages_.clear();
  page_ids_.clear();
  size_tokens_ = 0;
}

}  // namespace glimmer
