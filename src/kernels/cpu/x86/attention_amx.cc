// Attention over a bf16 KV cache with AMX tiles. Two tiles of 16 queries are processed together.
//
// Scores are computed transposed, S^T = K Q^T: 16 keys as they are in memory are the first operand and 16 queries,
// packed once (attention_avx512_bf16.cc), the second. So the lanes of softmax are queries. exp(score - max) is rounded
// to bf16 and transposed into the first operand of the product with the values. Values are packed into the second
// operand 32 columns at a time, which stay in L1 while all queries are multiplied by them; for a single pair of query
// tiles 32 keys at a time, overlapped with the products of the keys before.
//
// With few queries a block is bound by loading its keys, so the next block's keys are prefetched meanwhile.
//
// Head dimensions that are not whole tiles, and f32 keys, fall back to avx512.
#include <immintrin.h>

#include "kernels/cpu/x86/amx.h"
#include "kernels/cpu/x86/avx512.h"

namespace glimmer::kernels::amx {
namespace {

#include "kernels/cpu/x86/attention_bf16.inc"

constexpr int64_t kSteps = kAttentionBlock / kStep;
constexpr int64_t kMostPairs = 8;    // of query tiles per call, 256 rows; attention_scratch_bytes has room for them
constexpr int64_t kRowsAStep = 5;    // rows of a pair's outputs folded per step; 7 steps but the first cover 32 rows
constexpr int64_t kPairBytes = 320;  // QueryPair
constexpr int64_t kTileFloats = kTile * kTile;
constexpr int64_t kPairScores = 2 * kAttentionBlock * kTile;
// Steps of 32 columns per pass: the 32 keys and two query tiles of a pass (18 KB each) stay in L1.
constexpr int64_t kPassSteps = 9;
// Streams in which keys are read and prefetched, far apart so that their misses are independent. With 8 a block takes
// 31 us, with one 35.5 at best; 16 are as good, 4 or 24 worse (docs/perf.md).
constexpr int64_t kKeyStreams = 8;
// Cache lines of the next block's keys that a step of scores, of softmax and of values prefetches per stream: most of a
// block in all. More, or as many in one stream, would delay the lines that tile loads wait for.
constexpr int kAskedByScores = 1;
constexpr int kAskedBySoftmax = 1;
constexpr int kAskedByValues = 2;
constexpr int64_t kStepsAhead = 2;   // values are packed this long before their products, with one pair of query tiles
constexpr int64_t kPackedSteps = 4;  // size of the ring of packed steps

// All tiles are whole.
void configure_tiles() {
  struct alignas(64) Config {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("" ::: "memory");  // g++ 12 believes that only the first 8 bytes are read
  _tile_loadconfig(&config);
}

// Two query tiles that are processed together.
struct QueryPair {
  RowFactors factors[2];
  int64_t row;
  int64_t keys;  // visible to any of them
};

static_assert(sizeof(QueryPair) <= kPairBytes);

// Prefetches keys to L2, a few lines per call.
class NextKeys {
 public:
  NextKeys(const std::byte* keys, int64_t size_bytes)
      : stream_bytes_(size_bytes / kKeyStreams / 64 * 64),
        at_(keys),
        end_(keys == nullptr ? nullptr : keys + stream_bytes_) {}

  // Prefetches that many lines of each stream.
  [[gnu::always_inline]] void ask(int times) {
    for (; times > 0 && at_ != end_; --times, at_ += 64) {
      for (int64_t stream = 0; stream < kKeyStreams; ++stream) {
        _mm_prefetch(reinterpret_cast<const char*>(at_ + stream * stream_bytes_), _MM_HINT_T1);
      }
    }
  }

 private:
  int64_t stream_bytes_;
  const std::byte* at_;
  const std::byte* end_;
};

// Memory of one call, in its scratch: attention_scratch_bytes.
struct Scratch {
  std::byte* values;         // [steps][2] tiles: 16 pairs of keys x 16 columns
  float* out;                // [2][2 tiles of queries][2] tiles: 16 queries x 16 columns
  float* spare;              // room for the sums of a pair and 32 keys
  QueryPair* pairs;          // [kMostPairs]
  std::byte* probabilities;  // [kMostPairs][2 tiles of queries][steps] tiles: 16 queries x 32 keys
  float* scores;             // [kMostPairs][2 tiles of queries][keys][16 queries]

  explicit Scratch(std::byte* memory)
      : values(memory),
        out(reinterpret_cast<float*>(values + 2 * kSteps * kTileBytes)),
        spare(out + 8 * kTileFloats),
        pairs(reinterpret_cast<QueryPair*>(spare + kPairScores)),
        probabilities(reinterpret_cast<std::byte*>(pairs) + kMostPairs * kPairBytes),
        scores(reinterpret_cast<float*>(probabilities + kMostPairs * 2 * kSteps * kTileBytes)) {}
};

// 32 keys by 32 columns, rows interleaved in pairs: two tiles, the first with columns 0 .. 3, 8 .. 11, 16 .. 19, 24 ..
// 27 (the order in which unpack instructions leave them). Rows from `keys` on are zeros.
void pack_values(const std::byte* v, int64_t stride, int64_t keys, std::byte* values) {
  const auto pack = [&](int64_t pair, __m512i first, __m512i second) {
    _mm512_store_si512(values + pair * 64, _mm512_unpacklo_epi16(first, second));
    _mm512_store_si512(values + pair * 64 + kTileBytes, _mm512_unpackhi_epi16(first, second));
  };
  if (keys >= kStep) {
    for (int64_t pair = 0; pair < kTile; ++pair, v += 2 * stride) {
      pack(pair, _mm512_loadu_si512(v), _mm512_loadu_si512(v + stride));
    }
    return;
  }
  const auto load = [&](int64_t key) {
    return key < keys ? _mm512_loadu_si512(v + key * stride) : _mm512_setzero_si512();
  };
  for (int64_t pair = 0; pair < kTile; ++pair) pack(pair, load(2 * pair), load(2 * pair + 1));
}

// Packs the values of a block's first `keys` keys in the order in which products read them: 32 columns of all keys,
// then the next 32. A packed step stays valid for kRoom steps.
template <uint64_t kRoom>
class PackedValues {
 public:
  PackedValues(const AttentionBlock& a, int64_t keys, std::byte* packed) : a_(a), keys_(keys), packed_(packed) {}

  void pack_next() {
    if (column_ >= a_.v_dim) return;
    pack_values(a_.v + (key_ * a_.v_stride + column_) * 2, a_.v_stride * 2, keys_ - key_, step(count_++));
    key_ += kStep;
    if (key_ < keys_) return;
    key_ = 0;
    column_ += kStep;
  }
  std::byte* step(uint64_t index) const { return packed_ + index % kRoom * (2 * kTileBytes); }

 private:
  const AttentionBlock& a_;
  int64_t keys_;
  std::byte* packed_;
  int64_t key_ = 0;
  int64_t column_ = 0;
  uint64_t count_ = 0;  // of steps packed so far
};

// The scores of a pair for 32 keys, or the part of them from `count` steps of the dimensions. The previous call's sums
// are stored one by one between the first products: storing all at once would stall the tile unit for about 110 cycles
// (docs/perf.md). `done` says where they go, and afterwards where these do.
template <bool kFirst>
void score(const std::byte* k, int64_t stride, const std::byte* q, int64_t next_tile, int64_t count, float* sums,
           float*& done, NextKeys& next) {
  constexpr int64_t kNext = kAttentionBlock * kTile;  // from one tile of queries to the next
  _tile_loadd(6, q, 64);
  _tile_loadd(4, k, stride);
  _tile_stored(0, done, 64);
  if constexpr (kFirst) {
    _tile_zero(0);
  } else {
    _tile_loadd(0, sums, 64);
  }
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(5, k + kTile * stride, stride);
  _tile_stored(1, done + kTileFloats, 64);
  if constexpr (kFirst) {
    _tile_zero(1);
  } else {
    _tile_loadd(1, sums + kTileFloats, 64);
  }
  _tile_dpbf16ps(1, 5, 6);
  _tile_loadd(7, q + next_tile, 64);
  _tile_stored(2, done + kNext, 64);
  if constexpr (kFirst) {
    _tile_zero(2);
  } else {
    _tile_loadd(2, sums + kNext, 64);
  }
  _tile_dpbf16ps(2, 4, 7);
  _tile_stored(3, done + kNext + kTileFloats, 64);
  if constexpr (kFirst) {
    _tile_zero(3);
  } else {
    _tile_loadd(3, sums + kNext + kTileFloats, 64);
  }
  _tile_dpbf16ps(3, 5, 7);
  for (int64_t step = 1; step < count; ++step) {
    k += kStep * 2;
    q += kTileBytes;
    _tile_loadd(6, q, 64);
    _tile_loadd(4, k, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, k + kTile * stride, stride);
    _tile_dpbf16ps(1, 5, 6);
    _tile_loadd(7, q + next_tile, 64);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
    next.ask(kAskedByScores);
  }
  done = sums;
}

// The same for a single query tile, whose sums are stored at once.
template <bool kFirst>
void score_tile(const std::byte* k, int64_t stride, const std::byte* q, int64_t count, float* sums, NextKeys& next) {
  if constexpr (kFirst) {
    _tile_zero(0);
    _tile_zero(1);
  } else {
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + kTileFloats, 64);
  }
  for (int64_t step = 0; step < count; ++step) {
    _tile_loadd(6, q, 64);
    _tile_loadd(4, k, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, k + kTile * stride, stride);
    _tile_dpbf16ps(1, 5, 6);
    k += kStep * 2;
    q += kTileBytes;
    next.ask(kAskedByScores);
  }
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kTileFloats, 64);
}

void store_sums(float* sums) {
  constexpr int64_t kNext = kAttentionBlock * kTile;
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kTileFloats, 64);
  _tile_stored(2, sums + kNext, 64);
  _tile_stored(3, sums + kNext + kTileFloats, 64);
}

// Scores of `tiles` query tiles. 32 keys stay in L1 while all queries attend to them; with one pair of tiles, the
// queries stay there for all keys.
template <bool kFirst>
void score_pass(const AttentionBlock& a, const std::byte* queries, int64_t tiles, int64_t step, int64_t count,
                const Scratch& s, NextKeys& next) {
  asm volatile("" : : : "memory");  // g++ 12 does not know that tile loads read memory
  const int64_t stride = a.k_stride * 2;
  const int64_t tile_bytes = a.qk_dim / kStep * kTileBytes;
  float* done = s.spare;
  for (int64_t key = 0; key < a.keys; key += kStep) {
    const std::byte* k = a.k + key * stride + step * kStep * 2;
    for (int64_t tile = 0; tile < tiles; tile += 2) {
      if (s.pairs[tile / 2].keys <= key) continue;
      const std::byte* q = queries + tile * tile_bytes + step * kTileBytes;
      float* sums = s.scores + tile / 2 * kPairScores + key * kTile;
      if (tile + 1 < tiles) {
        score<kFirst>(k, stride, q, tile_bytes, count, sums, done, next);
      } else {
        if (done != s.spare) store_sums(done);
        done = s.spare;
        score_tile<kFirst>(k, stride, q, count, sums, next);
      }
    }
  }
  if (done != s.spare) store_sums(done);
}

// Outputs in scratch that are not yet folded into the state; they are folded beside the next products.
class PendingOut {
 public:
  explicit PendingOut(const AttentionBlock& a) : a_(a) {}

  // Tiles [query tile][column tile], for 32 columns of the state.
  void set(const QueryPair& pair, int tiles, int64_t column, const float* out) {
    pair_ = &pair;
    column_ = column;
    tile_ = out;
    const int64_t left = a_.rows - pair.row;
    rows_ = left < tiles * kTile ? left : tiles * kTile;
    next_ = 0;
  }
  void finish(int64_t count) {
    const int64_t end = rows_ - next_ < count ? rows_ : next_ + count;
    for (; next_ < end; ++next_) finish_row(next_);
  }
  void finish_all() { finish(rows_); }

 private:
  void finish_row(int64_t r) const {
    const float* from = tile_ + r / kTile * 2 * kTileFloats + r % kTile * kTile;
    put_out(a_, pair_->factors[r / kTile], pair_->row + r, r % kTile, column_, _mm512_load_ps(from),
            _mm512_load_ps(from + kTileFloats));
  }

  const AttentionBlock& a_;
  const QueryPair* pair_ = nullptr;
  const float* tile_ = nullptr;
  int64_t column_ = 0;
  int64_t rows_ = 0;
  int64_t next_ = 0;
};

// Multiplies a pair's probabilities by 32 columns, whose packed values are values(step). As in score, the previous
// call's sums are stored meanwhile, to `done`. beside(step) runs after each step, for work that overlaps with the tile
// unit.
template <int kQueryTiles, typename Values, typename Beside>
[[gnu::always_inline]] inline void weigh_values(const std::byte* p, int64_t steps, float* done, int done_tiles,
                                                const Values& values, const Beside& beside) {
  const std::byte* v = values(0);
  _tile_loadd(4, p, 64);
  _tile_loadd(6, v, 64);
  _tile_stored(0, done, 64);
  _tile_zero(0);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, v + kTileBytes, 64);
  _tile_stored(1, done + kTileFloats, 64);
  _tile_zero(1);
  _tile_dpbf16ps(1, 4, 7);
  if (done_tiles == 2) {
    _tile_stored(2, done + 2 * kTileFloats, 64);
    _tile_stored(3, done + 3 * kTileFloats, 64);
  }
  if constexpr (kQueryTiles == 2) {
    _tile_loadd(5, p + kSteps * kTileBytes, 64);
    _tile_zero(2);
    _tile_dpbf16ps(2, 5, 6);
    _tile_zero(3);
    _tile_dpbf16ps(3, 5, 7);
  }
  beside(0);
  for (int64_t step = 1; step < steps; ++step) {
    p += kTileBytes;
    v = values(step);
    _tile_loadd(4, p, 64);
    _tile_loadd(6, v, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, v + kTileBytes, 64);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kQueryTiles == 2) {
      _tile_loadd(5, p + kSteps * kTileBytes, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    beside(step);
  }
}

// Number of keys visible to any query of each pair.
void describe(const AttentionBlock& a, int64_t first, int64_t tiles, QueryPair* pairs) {
  for (int64_t tile = 0; tile < tiles; tile += 2) {
    QueryPair& pair = pairs[tile / 2];
    pair.row = first + tile * kTile;
    pair.keys = 0;
    for (int64_t i = pair.row; i < pair.row + 2 * kTile; ++i) {
      pair.keys = a.visible[i] > pair.keys ? a.visible[i] : pair.keys;
    }
  }
}

void store_products(float* done, int tiles) {
  _tile_stored(0, done, 64);
  _tile_stored(1, done + kTileFloats, 64);
  if (tiles < 2) return;
  _tile_stored(2, done + 2 * kTileFloats, 64);
  _tile_stored(3, done + 3 * kTileFloats, 64);
}

// One pair: no step of values is reused, so each is packed beside the products of the steps before.
template <int kQueryTiles>
void weigh_pair(const AttentionBlock& a, const Scratch& s, NextKeys& next) {
  const QueryPair& pair = s.pairs[0];
  const int64_t steps = (pair.keys + kStep - 1) / kStep;
  const int64_t rows_a_step = steps > 1 ? (2 * kTile + steps - 2) / (steps - 1) : 0;
  PackedValues<kPackedSteps> packed(a, pair.keys, s.values);
  for (int64_t i = 0; i < kStepsAhead; ++i) packed.pack_next();
  asm volatile("" : : : "memory");  // the same as in score_pass
  PendingOut pending(a);
  float* out = s.out;
  float* done = s.spare;
  uint64_t first_step = 0;
  for (int64_t column = 0; column < a.v_dim; column += kStep) {
    if (column > 0) pending.set(pair, kQueryTiles, column - kStep, done);
    weigh_values<kQueryTiles>(
        s.probabilities, steps, done, kQueryTiles,
        [&](int64_t step) { return packed.step(first_step + static_cast<uint64_t>(step)); },
        [&](int64_t step) {
          packed.pack_next();
          asm volatile("" : : : "memory");
          if (step > 0) pending.finish(rows_a_step);
          next.ask(kAskedByValues);
        });
    pending.finish_all();
    first_step += static_cast<uint64_t>(steps);
    done = out;
    out = out == s.out ? s.out + 4 * kTileFloats : s.out;
  }
  store_products(done, kQueryTiles);
  pending.set(pair, kQueryTiles, a.v_dim - kStep, done);
  pending.finish_all();
}

void weigh_pairs(const AttentionBlock& a, int64_t tiles, const Scratch& s, NextKeys& next) {
  PackedValues<kSteps> packed(a, a.keys, s.values);
  const int64_t block_steps = (a.keys + kStep - 1) / kStep;
  PendingOut pending(a);
  float* out = s.out;
  float* next_out = s.out + 4 * kTileFloats;
  float* done = s.spare;
  const QueryPair* done_pair = nullptr;
  int64_t done_column = 0;
  int done_tiles = 0;
  uint64_t first_step = 0;
  const auto values = [&](int64_t step) { return packed.step(first_step + static_cast<uint64_t>(step)); };
  const auto beside = [&](int64_t step) {
    if (step > 0) pending.finish(kRowsAStep);
    next.ask(kAskedByValues);
  };
  for (int64_t column = 0; column < a.v_dim; column += kStep, first_step += static_cast<uint64_t>(block_steps)) {
    for (int64_t step = 0; step < block_steps; ++step) packed.pack_next();
    asm volatile("" : : : "memory");
    for (int64_t tile = 0; tile < tiles; tile += 2) {
      const QueryPair& pair = s.pairs[tile / 2];
      if (pair.keys == 0 && a.fold) continue;
      const std::byte* probabilities = s.probabilities + tile * kSteps * kTileBytes;
      const int64_t steps = (pair.keys + kStep - 1) / kStep;
      const int count = tile + 1 < tiles ? 2 : 1;
      if (done_pair != nullptr) pending.set(*done_pair, done_tiles, done_column, done);
      if (count == 2) {
        weigh_values<2>(probabilities, steps, done, done_tiles, values, beside);
      } else {
        weigh_values<1>(probabilities, steps, done, done_tiles, values, beside);
      }
      pending.finish_all();
      done_pair = &pair;
      done_column = column;
      done_tiles = count;
      done = out;
      out = next_out;
      next_out = done;
    }
  }
  if (done_pair == nullptr) return;
  store_products(done, done_tiles);
  pending.set(*done_pair, done_tiles, done_column, done);
  pending.finish_all();
}

// Rows [first, first + 2 * kTile * kMostPairs) of the queries.
void attend(const AttentionBlock& a, int64_t first, const Scratch& s, NextKeys& next) {
  const int64_t left = (a.rows - first + kTile - 1) / kTile;
  const int64_t tiles = left < 2 * kMostPairs ? left : 2 * kMostPairs;
  describe(a, first, tiles, s.pairs);
  const std::byte* queries = a.queries + first * a.qk_dim * 2;
  const int64_t steps = a.qk_dim / kStep;
  const int64_t passes = (steps + kPassSteps - 1) / kPassSteps;
  for (int64_t pass = 0; pass < passes; ++pass) {
    const int64_t step = steps * pass / passes;
    const int64_t count = steps * (pass + 1) / passes - step;
    if (pass == 0) {
      score_pass<true>(a, queries, tiles, step, count, s, next);
    } else {
      score_pass<false>(a, queries, tiles, step, count, s, next);
    }
  }
  for (int64_t tile = 0; tile < tiles; ++tile) {
    QueryPair& pair = s.pairs[tile / 2];
    if (pair.keys == 0 && a.fold) continue;
    std::byte* probabilities = s.probabilities + tile * kSteps * kTileBytes;
    if (pair.keys == 0) {  // weigh_values takes at least one step
      for (int64_t i = 0; i < kTile; ++i) _mm512_store_si512(probabilities + i * 64, _mm512_setzero_si512());
    }
    finish_scores(
        a, pair.keys, first + tile * kTile, s.scores + tile * kAttentionBlock * kTile,
        pair.factors[tile % 2], [&](int64_t key, __m512i * pairs) __attribute__((always_inline)) {
          transpose(pairs);
          std::byte* to = probabilities + key / kStep * kTileBytes;
          for (int64_t q = 0; q < kTile; ++q) _mm512_store_si512(to + q * 64, pairs[q]);
          next.ask(kAskedBySoftmax);
        });
  }
  if (tiles > 2 || s.pairs[0].keys == 0) {
    weigh_pairs(a, tiles, s, next);
  } else if (tiles == 2) {
    weigh_pair<2>(a, s, next);
  } else {
    weigh_pair<1>(a, s, next);
  }
}

}  // namespace

// Loads keys, and values that follow them, into L2, beginning with what NextKeys prefetched. Tile loads read 16 rows
// side by side, which is slow from memory.
void read_keys(const std::byte* keys, int64_t size_bytes) {
  constexpr int64_t kAhead = 512;
  const int64_t stream_bytes = size_bytes / kKeyStreams / 64 * 64;
  __m512i all = _mm512_setzero_si512();
  for (int64_t i = 0; i < stream_bytes; i += 64) {
    for (int64_t stream = 0; stream < kKeyStreams; ++stream) {
      const std::byte* at = keys + stream * stream_bytes + i;
      _mm_prefetch(reinterpret_cast<const char*>(at + kAhead), _MM_HINT_T0);
      all = _mm512_or_si512(all, _mm512_loadu_si512(at));
    }
  }
  asm volatile("" : : "v"(all));  // so that it is read
}

// Prefetches to L2 what is about to be written.
void ask_for_state(const AttentionBlock& a) {
  for (int64_t d = 0; d < a.v_dim; d += kTile) {
    for (int64_t row = 0; row < a.rows; ++row) __builtin_prefetch(a.state.out + row * a.state.out_stride + d, 1, 2);
  }
}

void attention_block(const AttentionBlock& a) {
  if (!takes(a.type, a.qk_dim, a.v_dim)) return avx512::attention_block(a);
  configure_tiles();
  const bool few = a.rows <= kFewRows;
  int64_t block_bytes = kAttentionBlock * a.k_stride * 2;
  const int64_t value_bytes = a.v_stride * 2;
  const bool values_follow = a.v == a.k + block_bytes;
  if (values_follow) block_bytes += kAttentionBlock * value_bytes;
  if (few) {
    if (!a.fold) ask_for_state(a);
    if (a.keys == kAttentionBlock) {
      read_keys(a.k, block_bytes);
    } else {
      read_keys(a.k, a.keys * a.k_stride * 2);
      if (values_follow) read_keys(a.v, a.keys * value_bytes);
    }
  }
  const Scratch scratch(a.scratch);
  NextKeys next(few ? a.next_k : nullptr, block_bytes);
  for (int64_t row = 0; row < a.rows; row += 2 * kTile * kMostPairs) attend(a, row, scratch, next);
}

}  // namespace glimmer::kernels::amx
