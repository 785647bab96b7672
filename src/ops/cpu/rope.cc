#include "ops/cpu/rope.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/cpu/op_bodies.h"

namespace glimmer::cpu {
namespace {

void rotate_tokens(const Pass& ctx, const RotateCall& call, int64_t begin, int64_t end) {
  const RopeTable& table = call.rope.table;
  const int64_t pairs = table.rotary_dim / 2;
  const bool interleaved = table.pairing == RopePairing::kInterleaved;
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t h = 0; h < call.rope.heads; ++h) {
      float* x = call.rope.x + t * call.rope.token_stride + h * call.rope.head_stride;
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

void rotate_here(const Pass& ctx, const RotateCall& call) { rotate_tokens(ctx, call, 0, call.rope.tokens); }

void rotate(Pass& ctx, const RotateCall& call) {
  // Pairs per task: below that, handing out work costs more than it saves. Not tuned finely.
  constexpr int64_t kGrainPairs = 4096;
  const int64_t pairs = call.rope.table.rotary_dim / 2;
  const int64_t grain = std::max<int64_t>(1, kGrainPairs / std::max<int64_t>(1, call.rope.heads * pairs));
  ctx.pool().parallel_for(call.rope.tokens, grain,
                          [&](int64_t begin, int64_t end, int) { rotate_tokens(ctx, call, begin, end); });
}

void rope(Context& context, const RopeCall& call) {
  Pass ctx(context);
  rotate(ctx, {.rope = call});
}

void fill_rope(Context&, const FillRopeCall& call) {
  float* cos = call.cos;
  float* sin = call.sin;
  for (const int32_t at : call.positions) {
    const auto position = static_cast<float>(at);
    for (const float frequency : call.inv_freq) {
      const float angle = position * frequency;
      *cos++ = std::cos(angle) * call.attention_factor;
      *sin++ = std::sin(angle) * call.attention_factor;
    }
  }
}

}  // namespace glimmer::cpu
