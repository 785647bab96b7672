#include "ops/rope.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace glimmer {

void fill_rope(std::span<const float> inv_freq, float attention_factor, int64_t first_position, int64_t tokens,
               float* cos, float* sin) {
  for (int64_t t = 0; t < tokens; ++t) {
    const auto position = static_cast<float>(first_position + t);
    for (const float frequency : inv_freq) {
      const float angle = position * frequency;
      *cos++ = std::cos(angle) * attention_factor;
      *sin++ = std::sin(angle) * attention_factor;
    }
  }
}

namespace {

void rotate(const Context& ctx, const RopeTable& table, const RopeCall& call, int64_t begin, int64_t end) {
  const int64_t pairs = table.rotary_dim / 2;
  const bool interleaved = table.pairing == RopePairing::kInterleaved;
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t h = 0; h < call.heads; ++h) {
      float* x = call.x + t * call.token_stride + h * call.head_stride;
      if (call.out != nullptr) {
        float* out = call.out + t * call.out_token_stride + h * call.out_head_stride;
        x = static_cast<float*>(std::memcpy(out, x, static_cast<size_t>(2 * pairs) * sizeof(float)));
      }
      ctx.kernels().rope({.x = x,
                          .cos = table.cos + t * pairs,
                          .sin = table.sin + t * pairs,
                          .pairs = pairs,
                          .step = interleaved ? 2 : 1,
                          .second_offset = interleaved ? 1 : pairs});
    }
  }
}

}  // namespace

void rope_here(const Context& ctx, const RopeTable& table, const RopeCall& call) {
  rotate(ctx, table, call, 0, call.tokens);
}

void rope(Context& ctx, const RopeTable& table, const RopeCall& call) {
  const int64_t pairs = table.rotary_dim / 2;
  const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, call.heads * pairs));
  ctx.pool().parallel_for(call.tokens, grain,
                          [&](int64_t begin, int64_t end, int) { rotate(ctx, table, call, begin, end); });
}

}  // namespace glimmer
