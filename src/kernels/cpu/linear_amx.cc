// Products on the tile unit (AMX) for several tokens, and the same sums by AVX-512 where tiles do not pay.
// Definition: kernel_table.h, kInt8 and kBF16.
//
// Tiles: rows of a tile of x are tokens and rows of a tile of weights are lines of a panel, so that both are read as
// they lie; two panels by two tiles of 16 tokens share each load.
#include <immintrin.h>

#include "kernels/cpu/amx.h"
#include "kernels/cpu/avx512.h"

namespace glimmer::kernels::amx {
namespace {

#include "kernels/cpu/int8_panel.inc"

constexpr int64_t kTileTokens = 16;
constexpr int64_t kTileLines = 16;  // 64 columns of bytes, 32 of bf16

// Tiles 0 to 3 hold sums, 4 and 5 x, 6 and 7 weights of two panels.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};
};

class Tiles {
 public:
  ~Tiles() { _tile_release(); }
  // Of x in tiles 4 and 5, and so of the sums of either: only the rows that there are take time.
  void configure(int64_t first_rows, int64_t second_rows) {
    if (first_rows == first_rows_ && second_rows == second_rows_) return;
    first_rows_ = first_rows;
    second_rows_ = second_rows;
    TileConfig config;
    for (int i = 0; i < 8; ++i) config.column_bytes[i] = 64;
    config.rows[0] = config.rows[1] = config.rows[4] = static_cast<uint8_t>(first_rows);
    config.rows[2] = config.rows[3] = config.rows[5] = static_cast<uint8_t>(second_rows);
    config.rows[6] = config.rows[7] = kTileLines;
    asm volatile("" : : "r"(&config) : "memory");  // g++ 12 thinks that only 8 bytes of it are read
    _tile_loadconfig(&config);
  }

 private:
  int64_t first_rows_ = 0;
  int64_t second_rows_ = 0;
};

// g++ 12 does not say that tile loads read memory: what was stored before them must be there.
[[gnu::always_inline]] inline void finish_stores() { asm volatile("" : : : "memory"); }

constexpr int64_t kHalvesOfStretch = kStretch / kActivationBlock;
constexpr int64_t kChunkStretches =
    2;  // of weights that are bytes at a time, so that all stays in the first-level cache
constexpr int64_t kLineBytes = 64;
constexpr int64_t kAheadBytes = 4096;

// Asks for the codes of the next chunk, a few lines at a time while this one is made and multiplied: a core has room
// for 16 lines on their way.
class Fetch {
 public:
  void begin(const uint8_t* const (&from)[2], int panels, int64_t bytes) {
    from_[0] = from[0];
    from_[1] = from[1];
    panels_ = panels;
    lines_ = bytes / kLineBytes;
    at_ = 0;
  }
  // The rest is to be asked for in so many calls.
  void divide(int64_t calls) { a_call_ = (lines_ - at_ + calls - 1) / calls; }
  [[gnu::always_inline]] void operator()() { lines(a_call_); }
  [[gnu::always_inline]] void lines(int64_t count) {
    const int64_t end = at_ + count < lines_ ? at_ + count : lines_;
    for (; at_ < end; ++at_) {
      for (int p = 0; p < panels_; ++p) {
        _mm_prefetch(reinterpret_cast<const char*>(from_[p] + at_ * kLineBytes), _MM_HINT_T0);
      }
    }
  }

 private:
  const uint8_t* from_[2] = {};
  int panels_ = 0;
  int64_t lines_ = 0;
  int64_t at_ = 0;
  int64_t a_call_ = 0;
};

// Some stretches of two panels as signed bytes.
struct Chunk {
  alignas(64) uint8_t bytes[2][kChunkStretches * kStretch / 4 * kLineBytes];
  __m512 step[2][kChunkStretches];
  int64_t first_stretch;
  int64_t stretches;
  int64_t halves;  // of the chunk
};

template <typename Codes>
void fill_panel(const Linear& a, const Int8Rule& rule, int64_t panel, int slot, Chunk& chunk, Fetch& fetch) {
  const uint8_t* base = panel_at(a.w, panel);
  const int64_t blocks = (a.w.columns + kBlockColumns - 1) / kBlockColumns;
  for (int64_t i = 0; i < chunk.stretches; ++i) {
    const int64_t stretch = chunk.first_stretch + i;
    const int64_t left = blocks - stretch * kStretchBlocks;
    const int64_t here = left < kStretchBlocks ? left : kStretchBlocks;
    StretchMap map;
    prepare_stretch(a.w, rule, base, stretch, map);
    chunk.step[slot][i] = map.step;
    const uint8_t* at = base + a.w.scale_bytes + stretch * kStretchBlocks * Codes::kBytes;
    auto* out = reinterpret_cast<__m512i*>(chunk.bytes[slot]) + i * kStretchBlocks * kBlockLines;
    for (int64_t b = 0; b < here; ++b, at += Codes::kBytes, out += kBlockLines) {
      fetch.lines(1);
      __m512i lines[kBlockLines];
      Codes::lines(rule, map, (b * kBlockColumns) >> map.group_shift, (b * kBlockColumns + 16) >> map.group_shift, at,
                   lines);
      for (int64_t line = 0; line < kBlockLines; ++line) _mm512_store_si512(out + line, lines[line]);
    }
    for (int64_t line = here * kBlockLines; line < kStretchBlocks * kBlockLines; ++line) {
      _mm512_store_si512(out + line - here * kBlockLines, _mm512_setzero_si512());
    }
  }
}

// Sums of two tiles of tokens and two panels over half a stretch, of the tile unit.
struct TileSums {
  alignas(64) int32_t of[2][2][kTileTokens][kPanelRows];  // by tile, panel
};

// What the tokens that go over a chunk together keep, filled up to 4 of them. Totals do not rest in y, whose rows may
// lie a power of two apart, and scales lie here token by token.
constexpr int64_t kTokensAtOnce = 512;
constexpr int64_t kScales = 32768;
struct TokenState {
  alignas(64) float total[kTokensAtOnce][2][kPanelRows];
  alignas(64) float scale[kScales];  // [halves of K][tokens_at_once]
  int64_t tokens_at_once;
};

// Adds sums of half a stretch, scaled, to the totals of tokens, four tokens a call, so that calls fit between the
// instructions of the tile unit: they run beside those only if they are close in the program. Holds copies, which the
// compiler keeps in registers as no store can change them.
template <int kPanels>
class TakeUp {
 public:
  [[gnu::always_inline]] TakeUp(const TokenState& state, const TileSums& sums, const Chunk& chunk, int64_t half,
                                int64_t t, int64_t tokens)
      : tokens_(tokens),
        scale_(state.scale + (chunk.first_stretch * kHalvesOfStretch + half) * state.tokens_at_once + t),
        sums_(&sums),
        total_(const_cast<float (*)[2][kPanelRows]>(state.total + t)),
        first_step_(chunk.step[0][half / kHalvesOfStretch]),
        second_step_(kPanels > 1 ? chunk.step[1][half / kHalvesOfStretch] : _mm512_setzero_ps()) {}

  [[gnu::always_inline]] void four_from(int64_t token) const {
    if (token >= tokens_) return;
    const auto& sums = sums_->of[token / kTileTokens];
#pragma GCC unroll 4
    for (int64_t i = token; i < token + 4; ++i) {
      const __m512 factor = _mm512_set1_ps(scale_[i]);
      take_up(sums[0][i % kTileTokens], factor, first_step_, total_[i][0]);
      if (kPanels > 1) take_up(sums[1][i % kTileTokens], factor, second_step_, total_[i][1]);
    }
  }

 private:
  [[gnu::always_inline]] static void take_up(const int32_t* sum, __m512 factor, __m512 step, float* total) {
    const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(load_line(sum)), factor);
    _mm512_store_ps(total, _mm512_fmadd_ps(value, step, _mm512_load_ps(total)));
  }

  int64_t tokens_;
  const float* scale_;
  const TileSums* sums_;
  float (*total_)[2][kPanelRows];
  __m512 first_step_;
  __m512 second_step_;
};

// Half a stretch. What `between` does while the last products run is spread among them: by then the sums of the half
// before are stored.
template <int kTiles, int kPanels, typename Between>
[[gnu::always_inline]] inline void multiply_half(const uint8_t* x, int64_t row_bytes,
                                                 const uint8_t* const (&weights)[2], TileSums& sums,
                                                 const Between& between) {
  finish_stores();
  const uint8_t* x1 = x + kTileTokens * row_bytes;
  _tile_zero(0);
  if (kPanels > 1) _tile_zero(1);
  if (kTiles > 1) _tile_zero(2);
  if (kTiles > 1 && kPanels > 1) _tile_zero(3);
  _tile_loadd(4, x, row_bytes);
  _tile_loadd(6, weights[0], kLineBytes);
  _tile_dpbssd(0, 4, 6);
  if (kPanels > 1) {
    _tile_loadd(7, weights[1], kLineBytes);
    _tile_dpbssd(1, 4, 7);
  }
  if (kTiles > 1) {
    _tile_loadd(5, x1, row_bytes);
    _tile_dpbssd(2, 5, 6);
    if (kPanels > 1) _tile_dpbssd(3, 5, 7);
  }
  _tile_loadd(4, x + 64, row_bytes);
  _tile_loadd(6, weights[0] + kTileLines * kLineBytes, kLineBytes);
  _tile_dpbssd(0, 4, 6);
  between(0);
  if (kPanels > 1) {
    _tile_loadd(7, weights[1] + kTileLines * kLineBytes, kLineBytes);
    _tile_dpbssd(1, 4, 7);
  }
  between(1);
  if (kTiles > 1) {
    _tile_loadd(5, x1 + 64, row_bytes);
    _tile_dpbssd(2, 5, 6);
  }
  between(2);
  if (kTiles > 1 && kPanels > 1) _tile_dpbssd(3, 5, 7);
  between(3);
  _tile_stored(0, sums.of[0][0], kLineBytes);
  if (kPanels > 1) _tile_stored(1, sums.of[0][1], kLineBytes);
  if (kTiles > 1) _tile_stored(2, sums.of[1][0], kLineBytes);
  if (kTiles > 1 && kPanels > 1) _tile_stored(3, sums.of[1][1], kLineBytes);
}

inline __mmask16 rows_mask(const WeightMatrix& w, int64_t panel) {
  const int64_t left = w.rows - panel * kPanelRows;
  return left >= kPanelRows ? 0xFFFF : static_cast<__mmask16>((1U << left) - 1);
}

// Rows of y that lie pages apart are written past the caches: a line of each would be read first, and push out another.
constexpr int64_t kFarStride = 1024;
constexpr int64_t kFarTokens = 32;

inline void store_total(const Linear& a, int64_t panel, int64_t token, const float* from) {
  const int64_t n = panel * kPanelRows;
  const __mmask16 mask = rows_mask(a.w, panel);
  __m512 total = _mm512_load_ps(from);
  if (a.bias != nullptr) total = _mm512_add_ps(total, _mm512_maskz_loadu_ps(mask, a.bias + n));
  float* to = a.y + token * a.y_stride + n;
  const bool whole_line = mask == 0xFFFF && reinterpret_cast<uintptr_t>(to) % kLineBytes == 0;
  if (whole_line && a.y_stride >= kFarStride && a.T >= kFarTokens) {
    _mm512_stream_ps(to, total);
  } else {
    _mm512_mask_storeu_ps(to, mask, total);
  }
}

// Tokens [t, t + tokens) of the state, at most 32, over a chunk of `kPanels` panels. Sums of a half are taken up while
// the tile unit works on the next.
template <int kTiles, int kPanels>
void multiply_chunk(const Int8Rows& x, int64_t first_token, int64_t t, int64_t tokens, const Chunk& chunk,
                    TokenState& state, Fetch& fetch) {
  constexpr int64_t kFours = kTiles * kTileTokens / 4;
  TileSums sums;
  const uint8_t* from = x.codes(first_token + t) + chunk.first_stretch * kStretch;
  const auto multiply = [&](int64_t half, const auto& between) __attribute__((always_inline)) {
    const int64_t at = half * kActivationBlock;
    const uint8_t* const weights[2] = {chunk.bytes[0] + at / 4 * kLineBytes, chunk.bytes[1] + at / 4 * kLineBytes};
    multiply_half<kTiles, kPanels>(from + at, x.row_bytes, weights, sums, between);
    fetch();
  };
  multiply(0, [](int64_t) {});
  for (int64_t half = 1; half < chunk.halves; ++half) {
    const TakeUp<kPanels> before(state, sums, chunk, half - 1, t, tokens);
    multiply(
        half, [&](int64_t quarter) __attribute__((always_inline)) {
          for (int64_t i = quarter * kFours / 4; i < (quarter + 1) * kFours / 4; ++i) before.four_from(4 * i);
        });
  }
  const TakeUp<kPanels> last(state, sums, chunk, chunk.halves - 1, t, tokens);
  for (int64_t i = 0; i < kFours; ++i) last.four_from(4 * i);
}

template <int kPanels>
void multiply_tokens(const Int8Rows& x, int64_t first_token, int64_t count, const Chunk& chunk, Tiles& tiles,
                     TokenState& state, Fetch& fetch) {
  for (int64_t t = 0; t < count; t += 2 * kTileTokens) {
    const int64_t tokens = count - t < 2 * kTileTokens ? count - t : 2 * kTileTokens;
    if (tokens > kTileTokens) {
      tiles.configure(kTileTokens, tokens - kTileTokens);
      multiply_chunk<2, kPanels>(x, first_token, t, tokens, chunk, state, fetch);
    } else {
      tiles.configure(tokens, 1);
      multiply_chunk<1, kPanels>(x, first_token, t, tokens, chunk, state, fetch);
    }
  }
}

// The codes that follow a chunk: of the same panels, or with the scales of the two panels after them. That may be
// beyond the matrix, where fetching does nothing.
template <typename Codes>
void next_codes(const Linear& a, int64_t panel, int panels, const Chunk& chunk, Fetch& fetch) {
  const int64_t next = (chunk.first_stretch + chunk.stretches) * kStretch;
  const bool same = next < a.w.columns;
  const int64_t codes = kChunkStretches * kStretchBlocks * Codes::kBytes;
  const int64_t begin = same ? a.w.scale_bytes + next / kBlockColumns * Codes::kBytes : panels * a.w.panel_bytes;
  const int64_t bytes = same ? codes : a.w.scale_bytes + codes;
  const uint8_t* const from[2] = {panel_at(a.w, panel) + begin, panel_at(a.w, panel) + a.w.panel_bytes + begin};
  fetch.begin(from, panels, bytes);
}

// One or two panels for up to state.tokens_at_once tokens.
template <WeightCodes kCodes>
void multiply_panels(const Linear& a, const Int8Rule& rule, int64_t panel, int panels, int64_t token, int64_t tokens,
                     Tiles& tiles, TokenState& state) {
  const Int8Rows x(a);
  const int64_t stretches = (a.w.columns + kStretch - 1) / kStretch;
  for (int64_t t = 0; t < tokens; ++t) {
    _mm512_store_ps(state.total[t][0], _mm512_setzero_ps());
    _mm512_store_ps(state.total[t][1], _mm512_setzero_ps());
  }
  Chunk chunk;
  Fetch fetch;
  for (int64_t stretch = 0; stretch < stretches; stretch += kChunkStretches) {
    chunk.first_stretch = stretch;
    chunk.stretches = stretches - stretch < kChunkStretches ? stretches - stretch : kChunkStretches;
    const int64_t columns = x.columns - stretch * kStretch;
    constexpr int64_t kMost = kChunkStretches * kHalvesOfStretch;
    chunk.halves = columns < kMost * kActivationBlock ? columns / kActivationBlock : kMost;
    next_codes<BlockCodes<kCodes>>(a, panel, panels, chunk, fetch);
    for (int p = 0; p < panels; ++p) fill_panel<BlockCodes<kCodes>>(a, rule, panel + p, p, chunk, fetch);
    fetch.divide((tokens + 2 * kTileTokens - 1) / (2 * kTileTokens) * chunk.halves);
    if (panels == 2) {
      multiply_tokens<2>(x, token, tokens, chunk, tiles, state, fetch);
    } else {
      multiply_tokens<1>(x, token, tokens, chunk, tiles, state, fetch);
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int p = 0; p < panels; ++p) store_total(a, panel + p, token + t, state.total[t][p]);
  }
}

void take_scales(const Int8Rows& x, int64_t token, int64_t tokens, TokenState& state) {
  for (int64_t half = 0; half < x.columns / kActivationBlock; ++half) {
    float* to = state.scale + half * state.tokens_at_once;
    for (int64_t t = 0; t < tokens; ++t) to[t] = x.scales(token + t)[half];
    for (int64_t t = tokens; t % 4 != 0; ++t) to[t] = 0;
  }
}

template <WeightCodes kCodes>
void linear_int8(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  const Int8Rule rule = int8_rule(a.w.layout, Int8Sign::kSigned);
  const Int8Rows x(a);
  Tiles tiles;
  TokenState state;
  const int64_t room = kScales / (x.columns / kActivationBlock) / kTileTokens * kTileTokens;
  const int64_t most = room < kTokensAtOnce ? room : kTokensAtOnce;
  state.tokens_at_once = a.T < most ? (a.T + 3) / 4 * 4 : most;
  for (int64_t t = 0; t < a.T; t += most) {
    const int64_t tokens = a.T - t < most ? a.T - t : most;
    take_scales(x, t, tokens, state);
    for (int64_t panel = panel_begin; panel < panel_end; panel += 2) {
      multiply_panels<kCodes>(a, rule, panel, panel_end - panel < 2 ? 1 : 2, t, tokens, tiles, state);
    }
  }
  _mm_sfence();
}

// ---- bf16 ----

// Subnormal numbers count as 0 while it lives, as they do on the tile unit.
class FlushSubnormals {
 public:
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
};

constexpr int kPanelsAtOnce = 4;
constexpr int64_t kPairLines = kBlockColumns / 2;

// One token: the sums that TDPBF16PS makes, by fused multiply-adds.
void one_token_bf16(const Linear& a, int64_t panel, int64_t panels) {
  const auto* x = reinterpret_cast<const uint8_t*>(a.x.data);
  const int64_t blocks = (a.w.columns + kBlockColumns - 1) / kBlockColumns;
  const uint8_t* at[kPanelsAtOnce];
  __m512 total[kPanelsAtOnce];
  for (int p = 0; p < kPanelsAtOnce; ++p) {
    at[p] = panel_at(a.w, panel + (p < panels ? p : 0)) + a.w.scale_bytes;
    total[p] = _mm512_setzero_ps();
  }
  const __m512i high = _mm512_set1_epi32(static_cast<int32_t>(0xFFFF0000));
  {
    const FlushSubnormals flush;
    for (int64_t block = 0; block < blocks; ++block) {
      __m512 even[kPanelsAtOnce];
      __m512 odd[kPanelsAtOnce];
      for (int p = 0; p < kPanelsAtOnce; ++p) even[p] = odd[p] = _mm512_setzero_ps();
#pragma GCC unroll 4
      for (int64_t i = 0; i < kPairLines; ++i) {
        int32_t pair;
        __builtin_memcpy(&pair, x + (block * kPairLines + i) * 4, sizeof pair);
        const __m512i pairs = _mm512_set1_epi32(pair);
        const __m512 x_even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
        const __m512 x_odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, high));
        for (int p = 0; p < kPanelsAtOnce; ++p) {
          const uint8_t* line = at[p] + (block * kPairLines + i) * kLineBytes;
          _mm_prefetch(reinterpret_cast<const char*>(line + kAheadBytes), _MM_HINT_T0);
          const __m512i w = load_line(line);
          even[p] = _mm512_fmadd_ps(x_even, _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), even[p]);
          odd[p] = _mm512_fmadd_ps(x_odd, _mm512_castsi512_ps(_mm512_and_si512(w, high)), odd[p]);
        }
      }
      for (int p = 0; p < kPanelsAtOnce; ++p) total[p] = _mm512_add_ps(total[p], _mm512_add_ps(even[p], odd[p]));
    }
  }
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t n = (panel + p) * kPanelRows;
    const __mmask16 mask = rows_mask(a.w, panel + p);
    if (a.bias != nullptr) total[p] = _mm512_add_ps(total[p], _mm512_maskz_loadu_ps(mask, a.bias + n));
    _mm512_mask_storeu_ps(a.y + n, mask, total[p]);
  }
}

template <int kTiles, int kPanels>
void multiply_bf16(const Linear& a, int64_t panel, int64_t token, int64_t tokens) {
  const auto* x0 = reinterpret_cast<const uint8_t*>(a.x.data) + token * a.x.row_bytes;
  const auto* x1 = x0 + kTileTokens * a.x.row_bytes;
  const uint8_t* w0 = panel_at(a.w, panel) + a.w.scale_bytes;
  const uint8_t* w1 = w0 + a.w.panel_bytes;
  finish_stores();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int64_t blocks = (a.w.columns + kBlockColumns - 1) / kBlockColumns;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t at = block * kTileLines * kLineBytes;
    if (kTiles == 1) {
      for (int64_t i = 0; i < kTileLines; ++i) {
        _mm_prefetch(reinterpret_cast<const char*>(w0 + at + i * kLineBytes + kAheadBytes), _MM_HINT_T0);
        if (kPanels > 1) {
          _mm_prefetch(reinterpret_cast<const char*>(w1 + at + i * kLineBytes + kAheadBytes), _MM_HINT_T0);
        }
      }
    }
    _tile_loadd(4, x0 + block * 64, a.x.row_bytes);
    _tile_loadd(6, w0 + at, kLineBytes);
    _tile_dpbf16ps(0, 4, 6);
    if (kPanels > 1) {
      _tile_loadd(7, w1 + at, kLineBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (kTiles > 1) {
      _tile_loadd(5, x1 + block * 64, a.x.row_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if (kPanels > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  alignas(64) float total[4][kTileTokens][kPanelRows];
  _tile_stored(0, total[0], kLineBytes);
  _tile_stored(1, total[1], kLineBytes);
  _tile_stored(2, total[2], kLineBytes);
  _tile_stored(3, total[3], kLineBytes);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int p = 0; p < kPanels; ++p) {
      store_total(a, panel + p, token + t, total[t / kTileTokens * 2 + p][t % kTileTokens]);
    }
  }
}

template <int kPanels>
void panels_bf16(const Linear& a, int64_t panel, Tiles& tiles) {
  for (int64_t token = 0; token < a.T; token += 2 * kTileTokens) {
    const int64_t left = a.T - token;
    const int64_t tokens = left < 2 * kTileTokens ? left : 2 * kTileTokens;
    const int64_t second = tokens > kTileTokens ? tokens - kTileTokens : 1;
    tiles.configure(tokens < kTileTokens ? tokens : kTileTokens, second);
    if (tokens > kTileTokens) {
      multiply_bf16<2, kPanels>(a, panel, token, tokens);
    } else {
      multiply_bf16<1, kPanels>(a, panel, token, tokens);
    }
  }
}

void linear_bf16(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  if (a.T == 1) {
    for (int64_t panel = panel_begin; panel < panel_end; panel += kPanelsAtOnce) {
      const int64_t left = panel_end - panel;
      one_token_bf16(a, panel, left < kPanelsAtOnce ? left : kPanelsAtOnce);
    }
    return;
  }
  Tiles tiles;
  int64_t panel = panel_begin;
  for (; panel + 2 <= panel_end; panel += 2) panels_bf16<2>(a, panel, tiles);
  if (panel < panel_end) panels_bf16<1>(a, panel, tiles);
  _mm_sfence();
}

// Fewer tokens than this are faster without tiles.
constexpr int64_t kLeastTokens = 4;
// More would leave no room for the scales of a tile of tokens.
constexpr int64_t kMostColumns = kScales / kTileTokens * kActivationBlock;

}  // namespace

ActivationType fast_activations(const WeightLayout& layout) {
  if (layout.codes == WeightCodes::kBF16 && layout.scales == WeightScales::kNone) return ActivationType::kBF16;
  return avx512::fast_activations(layout);
}

void linear(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  if (a.x.type == ActivationType::kF32) return avx512::linear_f32(a, panel_begin, panel_end);
  if (a.x.type == ActivationType::kBF16) return linear_bf16(a, panel_begin, panel_end);
  if (a.T < kLeastTokens || a.w.columns > kMostColumns) return avx512::linear_int8(a, panel_begin, panel_end);
  switch (a.w.layout.codes) {
    case WeightCodes::kU2:
      return linear_int8<WeightCodes::kU2>(a, panel_begin, panel_end);
    case WeightCodes::kU3:
      return linear_int8<WeightCodes::kU3>(a, panel_begin, panel_end);
    case WeightCodes::kU4:
      return linear_int8<WeightCodes::kU4>(a, panel_begin, panel_end);
    case WeightCodes::kU5:
      return linear_int8<WeightCodes::kU5>(a, panel_begin, panel_end);
    case WeightCodes::kU6:
      return linear_int8<WeightCodes::kU6>(a, panel_begin, panel_end);
    case WeightCodes::kU8:
      return linear_int8<WeightCodes::kU8>(a, panel_begin, panel_end);
    case WeightCodes::kTable4:
      return linear_int8<WeightCodes::kTable4>(a, panel_begin, panel_end);
    default:
      __builtin_unreachable();
  }
}

}  // namespace glimmer::kernels::amx
