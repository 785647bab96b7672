#include "engine/runner.h"

namespace glimmer {

KvCache Runner::make_cache(KvType type) {
  const int64_t pages = (config().max_position_embeddings + KvPool::kPageTokens - 1) / KvPool::kPageTokens;
  return KvCache(make_pool(type, pages));
}

ConstTensorView Runner::run(std::span<const int32_t> tokens, KvCache& kv, int64_t logits_rows) {
  const SequenceTokens sequence{.tokens = tokens, .kv = &kv, .logits_rows = logits_rows};
  run(std::span(&sequence, 1));
  return logits();
}

}  // namespace glimmer
