#include "ops/attention.h"

#include <algorithm>

namespace glimmer {
namespace {

// Rows of queries that share one pass over the keys. A row is a (token, head) pair; rows of one task share a key head.
constexpr int64_t kRowsPerTask = 16;

// One task: tokens [first, first + tokens) and the query heads [head, head + heads), all of key head kv_head.
struct Tile {
  int64_t first = 0;
  int64_t tokens = 0;
  int64_t head = 0;
  int64_t heads = 0;
  int64_t kv_head = 0;
};

// Scores, softmax, weighted sum for one query head (tokens as rows) or, for one token, for all heads of the tile as
// rows.
void attend_rows(Context& ctx, const AttentionCall& a, const Tile& tile, float* scores) {
  const bool rows_are_heads = tile.tokens == 1;
  const int64_t rows = rows_are_heads ? tile.heads : tile.tokens;
  const int64_t first_count = a.past_tokens + tile.first + 1;
  const int64_t most = first_count + tile.tokens - 1;
  const auto at = [&](auto* base, int64_t token_stride, int64_t head_stride) {
    return base + tile.first * token_stride + tile.head * head_stride;
  };
  ctx.kernels().linear({.x = at(a.q, a.q_token_stride, a.q_head_stride),
                        .x_stride = rows_are_heads ? a.q_head_stride : a.q_token_stride,
                        .w = {.columns = a.qk_dim,
                              .codes = reinterpret_cast<const std::byte*>(a.k + tile.kv_head * a.k_head_stride),
                              .code_row_bytes = a.k_token_stride * static_cast<int64_t>(sizeof(float))},
                        .y = scores,
                        .y_stride = most,
                        .T = rows},
                       0, most);
  for (int64_t row = 0; row < rows; ++row) {
    ctx.kernels().softmax(scores + row * most, a.scale, rows_are_heads ? most : first_count + row);
  }
  ctx.kernels().weighted_sum({.p = scores,
                              .p_stride = most,
                              .v = a.v + tile.kv_head * a.v_head_stride,
                              .v_stride = a.v_token_stride,
                              .y = at(a.out, a.out_token_stride, a.out_head_stride),
                              .y_stride = rows_are_heads ? a.out_head_stride : a.out_token_stride,
                              .T = rows,
                              .D = a.v_dim,
                              .first_count = first_count,
                              .rows_a_step = rows_are_heads ? rows : 1});
}

}  // namespace

void attention(Context& ctx, const AttentionCall& a) {
  GLIMMER_CHECK(a.kv_heads > 0 && a.heads % a.kv_heads == 0, "{} heads, {} kv heads", a.heads, a.kv_heads);
  const int64_t group = a.heads / a.kv_heads;
  // A single token fills its rows with the heads that share a key; more tokens fill them with tokens, head by head.
  const int64_t heads_per_tile = a.tokens == 1 ? std::min(group, kRowsPerTask) : 1;
  const int64_t head_tiles = (group + heads_per_tile - 1) / heads_per_tile;
  const int64_t token_tiles = (a.tokens + kRowsPerTask - 1) / kRowsPerTask;
  const int64_t tasks = token_tiles * a.kv_heads * head_tiles;
  ctx.reserve_scratch(kRowsPerTask * (a.past_tokens + a.tokens));
  ctx.pool().parallel_for(tasks, 1, [&](int64_t task, int64_t, int worker) {
    // The last tokens have the most keys: they go first, so that no thread starts a long task at the end.
    const int64_t token_tile = token_tiles - 1 - task / (a.kv_heads * head_tiles);
    const int64_t kv_head = task / head_tiles % a.kv_heads;
    const int64_t in_group = task % head_tiles * heads_per_tile;
    Tile tile;
    tile.first = token_tile * kRowsPerTask;
    tile.tokens = std::min(kRowsPerTask, a.tokens - tile.first);
    tile.kv_head = kv_head;
    tile.head = kv_head * group + in_group;
    tile.heads = std::min(heads_per_tile, group - in_group);
    attend_rows(ctx, a, tile, ctx.scratch(worker));
  });
}

}  // namespace glimmer
