#include "model/kv_pool.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace glimmer {

namespace {

// Small KV pages are allocated in slabs of this size, so that they too are on huge pages.
constexpr int64_t kSlabBytes = static_cast<int64_t>(2 * kMappedBufferBytes);

}  // namespace

struct KvPool::Shared {
  int64_t pages = 0;  // that are referred to
  std::vector<Buffer> slabs;
  std::vector<std::byte*> free;
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

KvPool::KvPool(const ModelConfig& config, KvType type, int64_t max_pages)
    : layout_(kv_layout_of(config, type)),
      layers_(config.num_hidden_layers),
      max_pages_(max_pages),
      shared_(std::make_shared<Shared>()) {}

int64_t KvPool::pages() const { return shared_->pages; }

KvPageRef KvPool::allocate() {
  if (shared_->pages >= max_pages_) {
    fail(ErrorCode::kLimit, "all {} pages of keys and values are in use ({} tokens each)", max_pages_, kPageTokens);
  }
  if (shared_->free.empty()) add_slab();
  auto* const page = new KvPage(shared_->free.back());
  shared_->free.pop_back();
  ++shared_->pages;
  // Should the reference itself find no memory, it gives the page back the same way.
  return {page, [shared = shared_](KvPage* gone) {
            --shared->pages;
            shared->free.push_back(gone->data());
            delete gone;
          }};
}

void KvPool::add_slab() {
  const int64_t count = std::clamp<int64_t>(kSlabBytes / page_bytes(), 1, max_pages_ - shared_->pages);
  Buffer slab(static_cast<size_t>(count * page_bytes()));
  shared_->free.reserve(static_cast<size_t>(shared_->pages + count));  // giving back must not throw
  shared_->slabs.push_back(std::move(slab));
  for (int64_t i = count - 1; i >= 0; --i) {
    shared_->free.push_back(shared_->slabs.back().as<std::byte>() + i * page_bytes());
  }
}

void KvPool::copy_rows(const KvPage& from, int64_t tokens, KvPage& to) const {
  GLIMMER_CHECK(tokens >= 0 && tokens <= kPageTokens, "{} tokens", tokens);
  const auto copy = [&](int64_t offset, int64_t row_bytes) {
    std::memcpy(to.data() + offset, from.data() + offset, static_cast<size_t>(tokens * row_bytes));
  };
  const int64_t value_bytes = layout_.value_bytes();
  for (int64_t head = 0; head < layers_ * layout_.kv_heads; ++head) {
    const int64_t at = head * layout_.head_bytes();
    copy(at, layout_.qk_dim * value_bytes);
    if (!layout_.values_in_keys) copy(at + layout_.v_offset_bytes(), layout_.v_dim * value_bytes);
    copy(at + layout_.k_scales_offset_bytes(), layout_.k_groups() * 4);
    copy(at + layout_.v_scales_offset_bytes(), layout_.v_groups() * 4);
  }
}

}  // namespace glimmer
