// Attention over a bf16 KV cache with VDPBF16PS, which multiplies two pairs of bf16 per lane and adds both products to
// the lane's sum. Two tiles of 16 queries are processed together.
//
// A lane of scores is a query: two tiles of queries, packed once as pairs of columns, by twelve keys, whose pairs
// are broadcast from memory. Every score is one chain over the columns. A lane of outputs is a column: rows of
// two keys are interleaved on the way, and pairs of exp(score - max), rounded to bf16, are broadcast. Every output is
// one chain over the keys.
//
// Head dimensions that are not whole vectors, and f32 keys, fall back to avx512.
#include <immintrin.h>

#include "kernels/cpu/x86/avx512.h"
#include "kernels/cpu/x86/avx512_bf16.h"

namespace glimmer::kernels::avx512_bf16 {
namespace {

#include "kernels/cpu/x86/attention_bf16.inc"

constexpr int kTiles = 2;       // of queries, at once
constexpr int kScoreKeys = 12;  // by two tiles these are 24 sums: with the queries and a key 27 registers
constexpr int kOutRows = 8;     // by two vectors of columns
constexpr int64_t kPairs = kAttentionBlock / 2;

// 32 values to bf16.
__m512i to_bf16(const float* x) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
}

// Memory of one call, in its scratch: attention_scratch_bytes.
struct Scratch {
  float (*scores)[kAttentionBlock][kTile];  // [kTiles]
  int32_t (*powers)[kPairs][kTile];         // [kTiles]: exp(score - max) of two keys

  explicit Scratch(std::byte* memory)
      : scores(reinterpret_cast<float (*)[kAttentionBlock][kTile]>(memory)),
        powers(reinterpret_cast<int32_t (*)[kPairs][kTile]>(scores + kTiles)) {}
};

// Two products per lane. The barrier keeps g++ 12 from moving sums between registers and memory.
[[gnu::always_inline]] inline void add_products(__m512& sum, __m512i a, __m512i b) {
  sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  asm("" : "+v"(sum));
}

[[gnu::always_inline]] inline __m512i broadcast_pair(const void* at) {
  int32_t pair;
  __builtin_memcpy(&pair, at, sizeof pair);
  return _mm512_set1_epi32(pair);
}

// kQueries tiles by kKeys keys. Keys at `next`, unless null, are prefetched to L2 meanwhile.
template <int kQueries, int kKeys>
void score_tile(const std::byte* k, int64_t row_bytes, const std::byte* next, const std::byte* queries, int64_t qk_dim,
                float (*scores)[kAttentionBlock][kTile], int64_t key) {
  const int64_t tile_bytes = qk_dim / kStep * kTileBytes;
  __m512 sum[kKeys][kQueries];
#pragma GCC unroll 12
  for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 2
    for (int t = 0; t < kQueries; ++t) sum[i][t] = _mm512_setzero_ps();
  }
  const int64_t next_lines = next == nullptr ? 0 : kKeys * row_bytes / 64;
  for (int64_t pair = 0; pair < qk_dim / 2; ++pair, k += 4, queries += kTile * 4) {
    if (pair < next_lines) _mm_prefetch(reinterpret_cast<const char*>(next + 64 * pair), _MM_HINT_T1);
    __m512i q[kQueries];
#pragma GCC unroll 2
    for (int t = 0; t < kQueries; ++t) q[t] = _mm512_load_si512(queries + t * tile_bytes);
    const std::byte* at = k;
#pragma GCC unroll 12
    for (int i = 0; i < kKeys; ++i, at += row_bytes) {
      const __m512i of_key = broadcast_pair(at);
#pragma GCC unroll 2
      for (int t = 0; t < kQueries; ++t) add_products(sum[i][t], of_key, q[t]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 2
    for (int t = 0; t < kQueries; ++t) _mm512_store_ps(scores[t][key + i], sum[i][t]);
  }
}

// Calls score_tile<kQueries, count>.
template <int kQueries, int kKeys = kScoreKeys>
void score_tile_of(int64_t count, const std::byte* k, int64_t row_bytes, const std::byte* next,
                   const std::byte* queries, int64_t qk_dim, float (*scores)[kAttentionBlock][kTile], int64_t key) {
  if (count == kKeys) return score_tile<kQueries, kKeys>(k, row_bytes, next, queries, qk_dim, scores, key);
  if constexpr (kKeys > 1) {
    score_tile_of<kQueries, kKeys - 1>(count, k, row_bytes, next, queries, qk_dim, scores, key);
  }
}

template <int kQueries>
void score_keys(const AttentionBlock& a, int64_t keys, const std::byte* queries, const Scratch& s) {
  const std::byte* next_k = a.rows <= kFewRows && queries == a.queries ? a.next_k : nullptr;
  const int64_t row_bytes = a.k_stride * 2;
  const int64_t tiles = (keys + kScoreKeys - 1) / kScoreKeys;
  for (int64_t i = 0, key = 0; i < tiles; ++i) {
    const int64_t end = keys * (i + 1) / tiles;  // all tiles are nearly as large
    const std::byte* next = next_k == nullptr ? nullptr : next_k + key * row_bytes;
    score_tile_of<kQueries>(end - key, a.k + key * row_bytes, row_bytes, next, queries, a.qk_dim, s.scores, key);
    key = end;
  }
}

// Outputs of kRows rows from row r of a tile on, in 32 columns. `powers` are theirs.
template <int kRows>
void weigh_values(const AttentionBlock& a, int64_t keys, int64_t row, int64_t r, int64_t column,
                  const int32_t (*powers)[kTile], const RowFactors& factors) {
  __m512 low[kRows];
  __m512 high[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) low[i] = high[i] = _mm512_setzero_ps();
  const int64_t stride = a.v_stride * 2;
  const std::byte* v = a.v + column * 2;
  const auto add_pair = [&](int64_t pair, __m512i first, __m512i second) __attribute__((always_inline)) {
    const __m512i values_low = _mm512_unpacklo_epi16(first, second);
    const __m512i values_high = _mm512_unpackhi_epi16(first, second);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512i power = broadcast_pair(powers[pair] + r + i);
      add_products(low[i], power, values_low);
      add_products(high[i], power, values_high);
    }
  };
  int64_t pair = 0;
  for (; 2 * pair + 2 <= keys; ++pair, v += 2 * stride) {
    add_pair(pair, _mm512_loadu_si512(v), _mm512_loadu_si512(v + stride));
  }
  if (2 * pair < keys) add_pair(pair, _mm512_loadu_si512(v), _mm512_setzero_si512());
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    if (row + r + i < a.rows) put_out(a, factors, row + r + i, r + i, column, low[i], high[i]);
  }
}

// Query tiles from row `row` on; 32 columns of all values stay in L1 meanwhile.
void weigh_tiles(const AttentionBlock& a, int64_t keys, int64_t row, int64_t tiles, const Scratch& s,
                 const RowFactors* factors) {
  for (int64_t column = 0; column < a.v_dim; column += kStep) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = row + tile * kTile;
      const int64_t rows = a.rows - first < kTile ? a.rows - first : kTile;
      for (int64_t r = 0; r < rows;) {
        if (rows - r > kOutRows / 2) {
          weigh_values<kOutRows>(a, keys, first, r, column, s.powers[tile], factors[tile]);
          r += kOutRows;
        } else {
          weigh_values<kOutRows / 2>(a, keys, first, r, column, s.powers[tile], factors[tile]);
          r += kOutRows / 2;
        }
      }
    }
  }
}

// The kTiles tiles from row `row` on.
void attend(const AttentionBlock& a, int64_t row, const Scratch& s) {
  const int64_t left = (a.rows - row + kTile - 1) / kTile;
  const int64_t tiles = left < kTiles ? left : kTiles;
  int64_t keys = 0;
  for (int64_t i = row; i < row + tiles * kTile; ++i) keys = a.visible[i] > keys ? a.visible[i] : keys;
  if (keys == 0 && a.fold) return;
  const std::byte* queries = a.queries + row * a.qk_dim * 2;
  if (tiles == kTiles) {
    score_keys<kTiles>(a, keys, queries, s);
  } else {
    score_keys<1>(a, keys, queries, s);
  }
  RowFactors factors[kTiles];
  for (int64_t tile = 0; tile < tiles; ++tile) {
    finish_scores(
        a, keys, row + tile * kTile, s.scores[tile][0],
        factors[tile], [&](int64_t key, const __m512i* pairs) __attribute__((always_inline)) {
          for (int64_t i = 0; i < kStep / 2; ++i) {
            _mm512_store_si512(s.powers[tile][key / 2 + i], pairs[i]);
          }
        });
  }
  weigh_tiles(a, keys, row, tiles, s, factors);
}

}  // namespace

bool takes_bf16_queries(KvType type, int64_t qk_dim, int64_t v_dim) { return takes(type, qk_dim, v_dim); }

void round_queries(const float* x, int64_t x_stride, int64_t rows, int64_t columns, uint16_t* out, int64_t out_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; i += kStep) {
      _mm512_stream_si512(reinterpret_cast<__m512i*>(out + r * out_stride + i), to_bf16(x + r * x_stride + i));
    }
  }
  _mm_sfence();
}

// Tiles of 16 queries; in each, for every 32 columns, 16 pairs of columns x 16 queries: a tile for AMX too.
void attention_queries(const AttentionQueries& a) {
  if (!takes(a.type, a.qk_dim, a.v_dim)) return avx512::attention_queries(a);
  std::byte* packed = a.packed;
  for (int64_t row = 0; row < a.rows; row += kTile) {
    for (int64_t column = 0; column < a.qk_dim; column += kStep) {
      __m512i rows[kTile];
      for (int64_t r = 0; r < kTile; ++r) {
        const int64_t at = (row + r) / a.heads * a.token_stride + (row + r) % a.heads * a.head_stride + column;
        if (row + r >= a.rows) {
          rows[r] = _mm512_setzero_si512();
        } else if (a.q_bf16 != nullptr) {
          rows[r] = _mm512_loadu_si512(a.q_bf16 + at);
        } else {
          rows[r] = to_bf16(a.q + at);
        }
      }
      transpose(rows);
      for (int64_t pair = 0; pair < kTile; ++pair) _mm512_store_si512(packed + pair * 64, rows[pair]);
      packed += kTileBytes;
    }
  }
}

void attention_block(const AttentionBlock& a) {
  if (!takes(a.type, a.qk_dim, a.v_dim)) return avx512::attention_block(a);
  const Scratch scratch(a.scratch);
  for (int64_t row = 0; row < a.rows; row += kTiles * kTile) attend(a, row, scratch);
}

}  // namespace glimmer::kernels::avx512_bf16
