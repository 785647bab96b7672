#include "quant/ggml_block.h"

#include <algorithm>

namespace glimmer {

float mean_square(const float* x, int64_t count, float factor) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += x[i] * x[i];
  return factor * sum / static_cast<float>(count);
}

BlockValues without_void_importance(BlockValues block, int64_t columns) {
  const bool counts = std::any_of(block.importance, block.importance + columns, [](float value) { return value > 0; });
  if (!counts) block.importance = nullptr;
  return block;
}

}  // namespace glimmer
