// What all tables agree on for attention.
#include <algorithm>

#include "kernels/kernel_table.h"

namespace glimmer::kernels {
namespace {

constexpr int64_t kRows = 32;  // query rows are padded to a multiple of it: two tiles of 16
constexpr int64_t kLine = 64;

int64_t rounded_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

}  // namespace

int64_t attention_query_bytes(int64_t rows, int64_t qk_dim) {
  return rounded_up(rows, kRows) * qk_dim * static_cast<int64_t>(sizeof(float));
}

int64_t attention_scratch_bytes(int64_t qk_dim) {
  constexpr int64_t kScoreTiles = 4;  // attention.inc: f32 [tiles, keys, 16] and [6, qk_dim]
  constexpr int64_t kScoreKeys = 6;
  const int64_t in_floats = (kScoreTiles * kAttentionBlock * 16 + kScoreKeys * qk_dim) * 4;
  // attention_avx512_bf16.cc needs no more than that: scores of two such tiles, and their powers of bf16.
  // attention_amx.cc: values, out and spare; and of its kMostPairs pairs of query tiles factors, probabilities and
  // scores
  constexpr int64_t kMostPairs = 8;
  const int64_t in_tiles = (16 + 8 + 32) * 1024 + kMostPairs * (320 + kAttentionBlock * kRows * (2 + 4));
  return rounded_up(std::max(in_floats, in_tiles), kLine);
}

}  // namespace glimmer::kernels
