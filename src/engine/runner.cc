#include "engine/runner.h"

namespace glimmer {

ConstTensorView Runner::run(std::span<const int32_t> tokens, KvCache& kv, int64_t logits_rows) {
  const SequenceTokens sequence{.tokens = tokens, .kv = &kv, .logits_rows = logits_rows};
  run(std::span(&sequence, 1));
  return logits();
}

}  // namespace glimmer
