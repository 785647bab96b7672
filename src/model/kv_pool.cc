#include "model/kv_pool.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/error.h"

namespace glimmer {

struct KvPool::Shared {
  KvMemory memory;
  std::shared_ptr<KvFollowers> followers;  // null: none
  int64_t pages = 0;                       // that are referred to
  PageId next = 0;                         // the first that was never used
  std::vector<PageId> free;
};

KvLayout kv_layout_of(const ModelConfig& c, KvType type) {
  if (c.attention == AttentionKind::kMla) {
    return {.type = type,
            .kv_heads = 1,
            .qk_dim = c.kv_lora_rank + c.qk_rope_head_dim,
            .v_dim = c.kv_lora_rank,
            .values_in_keys = true};
  }
  return {.type = type, .kv_heads = c.num_key_value_heads, .qk_dim = c.head_dim, .v_dim = c.head_dim};
}

KvLayout kv_layout_of(const ModelConfig& config, KvType type, const Placement& placement) {
  KvLayout layout = kv_layout_of(config, type);
  layout.kv_heads = placement.kv_heads(config);
  return layout;
}

KvPool::KvPool(const ModelConfig& config, KvType type, Memory& memory)
    : KvPool(config, type, (config.max_position_embeddings + kPageTokens - 1) / kPageTokens, memory) {}

// 32 bits number more pages than any memory holds.
KvPool::KvPool(const ModelConfig& config, KvType type, int64_t max_pages, Memory& memory)
    : max_pages_(std::min<int64_t>(max_pages, std::numeric_limits<PageId>::max())),
      shared_(
          new Shared{.memory = KvMemory(memory, kv_layout_of(config, type), config.num_hidden_layers, max_pages_)}) {}

KvPool::KvPool(KvMemory memory, std::shared_ptr<KvFollowers> followers)
    : max_pages_(memory.max_pages()),
      shared_(new Shared{.memory = std::move(memory), .followers = std::move(followers)}) {}

const KvLayout& KvPool::layout() const { return shared_->memory.layout(); }
int64_t KvPool::layers() const { return shared_->memory.layers(); }
int64_t KvPool::page_bytes() const { return shared_->memory.page_bytes(); }
int64_t KvPool::page_bytes(const ModelConfig& config, KvType type) {
  return config.num_hidden_layers * kv_layout_of(config, type).block_bytes();
}
Memory& KvPool::memory() const { return shared_->memory.memory(); }
int64_t KvPool::pages() const { return shared_->pages; }
bool KvPool::is_whole() const { return shared_->followers == nullptr; }
const KvMemory& KvPool::share() const { return shared_->memory; }

KvPageRef KvPool::allocate() {
  Shared& shared = *shared_;
  if (shared.pages >= max_pages_) {
    fail(ErrorCode::kLimit, "all {} pages of keys and values are in use ({} tokens each)", max_pages_, kPageTokens);
  }
  const bool is_new = shared.free.empty();
  if (is_new) {
    shared.memory.provide(shared.next);
    const auto wanted = static_cast<size_t>(shared.next) + 1;
    if (shared.free.capacity() < wanted) shared.free.reserve(2 * wanted);  // giving back must not throw
  }
  auto* const page = new PageId(is_new ? shared.next : shared.free.back());
  if (is_new) {
    ++shared.next;
  } else {
    shared.free.pop_back();
  }
  ++shared.pages;
  // Should the reference itself find no memory, it gives the page back the same way.
  return {page, [shared = shared_](const PageId* gone) {
            --shared->pages;
            shared->free.push_back(*gone);
            delete gone;
          }};
}

void KvPool::copy_rows(PageId from, int64_t tokens, PageId to) {
  shared_->memory.copy_rows(from, tokens, to);
  if (shared_->followers != nullptr) shared_->followers->copy_rows(from, tokens, to);
}
void KvPool::read(PageId page, std::span<std::byte> out) const { shared_->memory.read(page, out); }
void KvPool::write(PageId page, std::span<const std::byte> content) { shared_->memory.write(page, content); }

}  // namespace glimmer
