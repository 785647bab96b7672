#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>

namespace glimmer {

KvCache::KvCache(const ModelConfig& config)
    : row_values_(config.kv_values_per_token_and_layer()), layers_(static_cast<size_t>(config.num_hidden_layers)) {}

void KvCache::reserve(int64_t tokens) {
  if (tokens <= capacity_tokens_) return;
  const int64_t capacity = std::max({tokens, capacity_tokens_ * 2, int64_t{256}});
  const auto row_bytes = static_cast<size_t>(row_values_) * sizeof(float);
  for (Buffer& layer : layers_) {
    Buffer grown(static_cast<size_t>(capacity) * row_bytes);
    if (size_tokens_ > 0)
      std::memcpy(grown.as<float>(), layer.as<float>(), static_cast<size_t>(size_tokens_) * row_bytes);
    layer = std::move(grown);
  }
  capacity_tokens_ = capacity;
}

}  // namespace glimmer
