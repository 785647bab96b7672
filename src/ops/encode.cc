#include "ops/encode.h"

#include <algorithm>

namespace glimmer {
namespace {

using kernels::kRowsReadAtOnce;

// Values below which starting threads costs more than they save.
constexpr int64_t kGrainValues = 16384;

}  // namespace

int64_t encoded_bytes(kernels::ActivationType type, int64_t columns, int64_t tokens) {
  const int64_t rows = (tokens + kRowsReadAtOnce - 1) / kRowsReadAtOnce * kRowsReadAtOnce;
  return rows * kernels::activation_row_bytes(type, columns);
}

void encode(Context& ctx, std::span<const EncodeCall> calls) {
  int64_t rows = 0;
  int64_t widest = 1;
  for (const EncodeCall& call : calls) {
    rows += call.tokens;
    widest = std::max(widest, call.columns);
  }
  ctx.pool().parallel_for(rows, std::max<int64_t>(1, kGrainValues / widest), [&](int64_t begin, int64_t end, int) {
    for (const EncodeCall& call : calls) {
      const int64_t first = std::max<int64_t>(begin, 0);
      const int64_t last = std::min(end, call.tokens);
      if (first < last) {
        ctx.kernels().encode_activations(call.type, call.x + first * call.x_stride, call.x_stride, last - first,
                                         call.columns, 0, call.columns, call.out + first * call.row_bytes(),
                                         call.row_bytes());
      }
      begin -= call.tokens;
      end -= call.tokens;
    }
  });
}

}  // namespace glimmer
