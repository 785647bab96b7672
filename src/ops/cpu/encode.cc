#include "ops/cpu/encode.h"

#include <algorithm>

namespace glimmer::cpu {
namespace {

using kernels::kRowsReadAtOnce;

// Values per task: below that, handing out work costs more than it saves. Not tuned finely.
constexpr int64_t kGrainValues = 16384;

}  // namespace

int64_t encoded_bytes(kernels::ActivationType type, int64_t columns, int64_t tokens) {
  const int64_t rows = (tokens + kRowsReadAtOnce - 1) / kRowsReadAtOnce * kRowsReadAtOnce;
  return rows * kernels::activation_row_bytes(type, columns);
}

void encode(Pass& ctx, std::span<const EncodeCall> calls) {
  int64_t most_tokens = 0;
  int64_t values = 0;
  for (const EncodeCall& call : calls) {
    most_tokens = std::max(most_tokens, call.tokens);
    values += call.tokens * call.columns;
  }
  if (values == 0) return;
  // Token by token, since the calls may be parts of one row, such as heads: memory is then read in its order.
  const int64_t grain = std::max<int64_t>(1, kGrainValues * most_tokens / values);
  ctx.pool().parallel_for(most_tokens, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (const EncodeCall& call : calls) {
        if (t >= call.tokens) continue;
        ctx.kernels().encode_activations(call.type, call.x + t * call.x_stride, call.x_stride, 1, call.columns, 0,
                                         call.columns, call.out + t * call.row_bytes(), call.row_bytes());
      }
    }
  });
}

}  // namespace glimmer::cpu
