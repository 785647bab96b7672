#include "model/kv_cache.h"

namespace glimmer {
namespace {

KvLayout layout_of(const ModelConfig& c, KvType type) {
  if (c.attention == AttentionKind::kMla) {
    return {.type = type,
            .kv_heads = 1,
            .qk_dim = c.kv_lora_rank + c.qk_rope_head_dim,
            .v_dim = c.kv_lora_rank,
            .values_in_keys = true};
  }
  return {.type = type, .kv_heads = c.num_key_value_heads, .qk_dim = c.head_dim, .v_dim = c.head_dim};
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, KvType type)
    : layout_(layout_of(config, type)), layers_(config.num_hidden_layers) {}

int64_t KvCache::bytes_per_token(const ModelConfig& config, KvType type) {
  return layout_of(config, type).block_bytes() / kernels::kAttentionBlock * config.num_hidden_layers;
}

KvBlocks KvCache::layer(int64_t layer) const {
  return {.layout = layout_, .blocks = blocks_.data(), .offset_bytes = layer * layout_.block_bytes()};
}

void KvCache::reserve(int64_t tokens) {
  while (static_cast<int64_t>(blocks_.size()) * kernels::kAttentionBlock < tokens) {
    Buffer block(static_cast<size_t>(layers_ * layout_.block_bytes()));
    blocks_.reserve(blocks_.size() + 1);
    buffers_.push_back(std::move(block));
    blocks_.push_back(buffers_.back().as<std::byte>());
  }
}

}  // namespace glimmer
