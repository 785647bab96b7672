#include "ops/elementwise.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ops/cpu/device.h"
#include "ops/cpu/linear.h"
#include "ops/cpu/op_bodies.h"

namespace glimmer::cpu {
namespace {

// Values per task: below that, handing out work costs more than it saves. Not tuned finely.
constexpr int64_t kGrainValues = 16384;

int64_t rows_per_task(int64_t row_values) {
  return std::max<int64_t>(1, kGrainValues / std::max<int64_t>(1, row_values));
}

}  // namespace

void embed(Context& context, const EmbedCall& call) {
  Pass ctx(context);
  const int64_t hidden_size = call.embed_tokens->columns;
  float* out = call.hidden.as<float>();
  ctx.pool().parallel_for(call.hidden.shape[0], rows_per_task(hidden_size), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const int32_t id = call.tokens[static_cast<size_t>(t)];
      decode_rows(ctx, *call.embed_tokens, id, id + 1, out + t * hidden_size);
    }
  });
}

void gather_rows(Context& context, const GatherRowsCall& call) {
  Pass ctx(context);
  const int64_t columns = call.x.shape[1];
  const auto count = static_cast<int64_t>(call.rows.size());
  ctx.pool().parallel_for(count, rows_per_task(columns), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(call.out.as<float>() + i * columns, call.x.as<float>() + call.rows[static_cast<size_t>(i)] * columns,
                  static_cast<size_t>(columns) * sizeof(float));
    }
  });
}

void rms_norm(Context& context, const RmsNormCall& call) {
  Pass ctx(context);
  ctx.pool().parallel_for(call.tokens, rows_per_task(call.size * call.per_token), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < call.per_token; ++i) {
        ctx.kernels().rms_norm(call.x + t * call.x_token_stride + i * call.size, call.weight,
                               static_cast<float>(call.eps), call.size,
                               call.out + t * call.out_token_stride + i * call.size);
      }
    }
  });
}

void add(Context& context, const AddCall& call) {
  Pass ctx(context);
  ctx.pool().parallel_for(call.x.shape.element_count(), kGrainValues, [&](int64_t begin, int64_t end, int) {
    float* sum = call.hidden.as<float>() + begin;
    const std::array<const float*, 2> rows = {sum, call.x.as<float>() + begin};
    constexpr std::array kWeights = {1.0F, 1.0F};
    ctx.kernels().weighted_sum(rows.data(), kWeights.data(), 2, end - begin, sum);
  });
}

}  // namespace glimmer::cpu
