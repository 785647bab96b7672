// Matmuls on the tile unit (AMX) for several tokens, and with the same sums in AVX-512 where tiles do not pay.
// Definition: kernel_table.h, kInt8 and kBF16.
//
// Tiles: rows of a tile of x are tokens and rows of a tile of weights are lines of a panel, so that both load without
// rearranging; two panels by two tiles of 16 tokens share each load.
#include <immintrin.h>

#include "kernels/cpu/x86/amx.h"
#include "kernels/cpu/x86/avx512.h"

namespace glimmer::kernels::amx {
namespace {

#include "kernels/cpu/x86/int8_panel.inc"

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
  // Rows of x in tiles 4 and 5, and so of their sums: a tile product takes time for each configured row only.
  void configure(int64_t first_rows, int64_t second_rows) {
    if (first_rows == first_rows_ && second_rows == second_rows_) return;
    first_rows_ = first_rows;
    second_rows_ = second_rows;
    TileConfig config;
    for (int i = 0; i < 8; ++i) config.column_bytes[i] = 64;
    config.rows[0] = config.rows[1] = config.rows[4] = static_cast<uint8_t>(first_rows);
    config.rows[2] = config.rows[3] = config.rows[5] = static_cast<uint8_t>(second_rows);
    config.rows[6] = config.rows[7] = kTileLines;
    asm volatile("" : : "r"(&config) : "memory");  // g++ 12 believes that only 8 bytes of it are read
    _tile_loadconfig(&config);
  }

 private:
  int64_t first_rows_ = 0;
  int64_t second_rows_ = 0;
};

// g++ 12 does not know that tile loads read memory, so it might move earlier stores behind them.
[[gnu::always_inline]] inline void finish_stores() { asm volatile("" : : : "memory"); }

constexpr int64_t kLineBytes = 64;
constexpr int64_t kAheadBytes = 4096;  // prefetch distance within a panel

inline __mmask16 rows_mask(const WeightMatrix& w, int64_t panel) {
  const int64_t left = w.rows - panel * kPanelRows;
  return left >= kPanelRows ? 0xFFFF : static_cast<__mmask16>((1U << left) - 1);
}

// Rows of y that are far apart are written with non-temporal stores: an ordinary store would first read the line and
// evict another. It pays from rows of 2 KB and 12 tokens on (docs/perf.md).
constexpr int64_t kFarStride = 512;
constexpr int64_t kFarTokens = 12;

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

// ---- kInt8 ----
//
// A unit of work is 32 tokens by two panels by a stretch: 16 tile products. While the tile unit computes them, the
// vector unit accumulates the sums of the unit before. Codes are expanded to bytes before all units of their stretch:
// between tile products that takes several times as long (125 against 42 ps a weight, docs/perf.md), as its loads delay
// the lines that tile loads wait for. Where a stretch has several units, the next codes are prefetched to L2 meanwhile.

constexpr int64_t kStretchBytes = kStretch * kPanelRows;
constexpr int64_t kUnitTokens = 2 * kTileTokens;

// A stretch of two panels as signed bytes.
struct Bytes {
  alignas(64) uint8_t panel[2][kStretchBytes];
  __m512 step[2];
};

// Expands the codes of panels to bytes, pair by pair and stretch by stretch.
template <typename Codes>
class Filler {
 public:
  Filler(const Linear& a, const Int8Rule& rule, int64_t panel_begin, int64_t panel_end)
      : a_(a), rule_(rule), panel_(panel_begin), panel_end_(panel_end) {
    const int64_t stretches = (a.w.columns + kStretch - 1) / kStretch;
    const auto lines = [&](int64_t bytes) { return (bytes + stretches * kLineBytes - 1) / (stretches * kLineBytes); };
    scale_lines_ = lines(a.w.scale_bytes);
    lines_ = lines(a.w.panel_bytes);
    for (int64_t p = 0; p < 2; ++p) {
      ahead_[p] = panel_at(a.w, panel_begin + p);
      ahead_end_[p] = ahead_[p] + a.w.panel_bytes;
      ask<_MM_HINT_T0>(p, kAheadBytes / kLineBytes);
    }
  }

  // Of a panel and a stretch, nearly.
  int64_t lines() const { return lines_; }

  // For the next line of both panels.
  [[gnu::always_inline]] void ask_both() {
    ask<_MM_HINT_T1>(0, 1);
    ask<_MM_HINT_T1>(1, 1);
  }

  // Expands the next stretch. `asks`: also prefetches as many later codes, if nothing else does.
  void fill(Bytes& out, bool asks) {
    const int64_t blocks = (a_.w.columns + kBlockColumns - 1) / kBlockColumns;
    const int64_t left = blocks - stretch_ * kStretchBlocks;
    const int64_t count = left < kStretchBlocks ? left : kStretchBlocks;
    const int64_t panels = panel_end_ - panel_ < 2 ? 1 : 2;
    const uint8_t* codes[2];
    for (int64_t p = 0; p < panels; ++p) {
      const uint8_t* base = panel_at(a_.w, panel_ + p);
      if (asks) ask<_MM_HINT_T0>(p, scale_lines_);
      prepare_stretch(a_.w, rule_, base, stretch_, map_[p]);
      out.step[p] = map_[p].step;
      codes[p] = base + a_.w.scale_bytes + stretch_ * kStretchBlocks * Codes::kBytes;
    }
    for (int64_t block = 0; block < count; ++block) {
      const int64_t column = block * kBlockColumns;
      for (int64_t p = 0; p < panels; ++p) {
        if (asks) ask<_MM_HINT_T0>(p, Codes::kBytes / kLineBytes);
        auto& to = reinterpret_cast<__m512i(&)[kBlockLines]>(out.panel[p][column * kPanelRows]);
        const int shift = map_[p].group_shift;
        Codes::lines(rule_, map_[p], column >> shift, (column + 16) >> shift, codes[p] + block * Codes::kBytes, to);
      }
    }
    for (int64_t p = 0; p < panels && count % 2 != 0; ++p) {  // tiles are 64 columns
      auto* to = reinterpret_cast<__m512i*>(out.panel[p]) + count * kBlockLines;
      for (int64_t i = 0; i < kBlockLines; ++i) _mm512_store_si512(to + i, _mm512_setzero_si512());
    }
    if (++stretch_ * kStretch < a_.w.columns) return;
    stretch_ = 0;
    panel_ += 2;
  }

 private:
  // Prefetches lines of panel p of the pair; past its end the next pair's.
  template <auto kHint>  // _MM_HINT_T0: an enumerator for GCC, an int for Clang
  [[gnu::always_inline]] void ask(int64_t p, int64_t lines) {
    for (int64_t i = 0; i < lines; ++i) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead_[p] + i * kLineBytes), kHint);
    }
    ahead_[p] += lines * kLineBytes;
    if (ahead_[p] >= ahead_end_[p]) {
      ahead_[p] += a_.w.panel_bytes;
      ahead_end_[p] += 2 * a_.w.panel_bytes;
    }
  }

  const Linear& a_;
  const Int8Rule& rule_;
  int64_t panel_;
  int64_t panel_end_;
  int64_t stretch_ = 0;
  int64_t scale_lines_;
  int64_t lines_;
  const uint8_t* ahead_[2];
  const uint8_t* ahead_end_[2];
  StretchMap map_[2];
};

// Totals of tokens, padded to whole units, and their scales. Totals are not kept in y, whose rows may be a power of two
// apart and then compete for cache sets; scales are transposed to token order.
constexpr int64_t kTokensAtOnce = 512;  // 64 KB of totals
constexpr int64_t kScales = 32768;      // 128 KB; bounds tokens times blocks of K
struct TokenState {
  alignas(64) float total[kTokensAtOnce][2][kPanelRows];
  alignas(64) float scale[kScales];  // [blocks of K][room]
  int64_t room;
};

// Sums of a unit, their scales, the totals that they are added to, and where results go. A unit of fewer tokens is
// padded with tokens of scale 0.
struct Sums {
  alignas(64) int32_t of[2][2][kTileTokens][kPanelRows] = {};  // by tile of tokens, panel
  const float* scale = nullptr;
  float (*total)[2][kPanelRows] = nullptr;
  __m512 step[2] = {};
  __mmask16 add = 0;        // 0 in the first stretch: `total` is uninitialised
  uint64_t tokens_out = 0;  // of these the totals are done
  int64_t token = 0;
  int64_t panel = 0;
  bool is_pair = false;
};

// Adds sums to totals, two tokens per call, so that calls fit between tile instructions: the processor overlaps them
// only if they are close in the instruction stream. Holds copies, which the compiler can keep in registers as no store
// may alias them.
class TakeUp {
 public:
  [[gnu::always_inline]] TakeUp(const Linear& a, const Sums& sums)
      : a_(a),
        sums_(sums),
        of_(sums.of),
        scale_(sums.scale),
        total_(sums.total),
        tokens_out_(sums.tokens_out),
        add_(sums.add),
        first_step_(sums.step[0]),
        second_step_(sums.step[1]) {}

  [[gnu::always_inline]] void two_tokens(uint64_t t) const {
#pragma GCC unroll 2
    for (uint64_t i = t; i < t + 2; ++i) {
      const __m512 factor = _mm512_set1_ps(scale_[i]);
      take_up(of_[i / kTileTokens][0][i % kTileTokens], factor, first_step_, total_[i][0]);
      take_up(of_[i / kTileTokens][1][i % kTileTokens], factor, second_step_, total_[i][1]);
    }
    if (t < tokens_out_) put_out(a_, sums_, t);
  }

  [[gnu::always_inline]] void all() const {
    for (uint64_t t = 0; t < kUnitTokens; t += 2) two_tokens(t);
  }

 private:
  [[gnu::always_inline]] void take_up(const int32_t* sum, __m512 factor, __m512 step, float* total) const {
    const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(load_line(sum)), factor);
    _mm512_store_ps(total, _mm512_fmadd_ps(value, step, _mm512_maskz_load_ps(add_, total)));
  }

  // Totals t and t + 1, to y.
  [[gnu::noinline]] static void put_out(const Linear& a, const Sums& sums, uint64_t t) {
    for (uint64_t i = t; i < t + 2 && i < sums.tokens_out; ++i) {
      const int64_t token = sums.token + static_cast<int64_t>(i);
      store_total(a, sums.panel, token, sums.total[i][0]);
      if (sums.is_pair) store_total(a, sums.panel + 1, token, sums.total[i][1]);
    }
  }

  const Linear& a_;
  const Sums& sums_;
  const int32_t (*of_)[2][kTileTokens][kPanelRows];
  const float* scale_;
  float (*total_)[2][kPanelRows];
  uint64_t tokens_out_;
  __mmask16 add_;
  __m512 first_step_;
  __m512 second_step_;
};

// `steps` of 64 columns. Calls meanwhile(i) for i < 4 * steps, one after each tile product.
template <int kTiles, typename Meanwhile>
[[gnu::always_inline]] inline void multiply_tiles(const uint8_t* x, int64_t row_bytes, const uint8_t* first,
                                                  const uint8_t* second, int64_t steps, const Meanwhile& meanwhile) {
  finish_stores();
  _tile_zero(0);
  _tile_zero(1);
  if (kTiles > 1) _tile_zero(2);
  if (kTiles > 1) _tile_zero(3);
#pragma GCC unroll 4
  for (int64_t i = 0; i < steps; ++i) {
    _tile_loadd(4, x + 64 * i, row_bytes);
    _tile_loadd(6, first + i * kTileLines * kLineBytes, kLineBytes);
    _tile_dpbssd(0, 4, 6);
    meanwhile(4 * i);
    _tile_loadd(7, second + i * kTileLines * kLineBytes, kLineBytes);
    _tile_dpbssd(1, 4, 7);
    meanwhile(4 * i + 1);
    if (kTiles > 1) {
      _tile_loadd(5, x + kTileTokens * row_bytes + 64 * i, row_bytes);
      _tile_dpbssd(2, 5, 6);
    }
    meanwhile(4 * i + 2);
    if (kTiles > 1) _tile_dpbssd(3, 5, 7);
    meanwhile(4 * i + 3);
  }
}

template <int kTiles>
[[gnu::always_inline]] inline void store_tiles(Sums& sums) {
  _tile_stored(0, sums.of[0][0], kLineBytes);
  _tile_stored(1, sums.of[0][1], kLineBytes);
  if (kTiles > 1) _tile_stored(2, sums.of[1][0], kLineBytes);
  if (kTiles > 1) _tile_stored(3, sums.of[1][1], kLineBytes);
}

// `asks`: how many prefetches are issued meanwhile.
template <int kTiles, typename Codes>
[[gnu::always_inline]] inline void multiply_unit(const Linear& a, const uint8_t* x, const uint8_t* first,
                                                 const uint8_t* second, int64_t steps, Sums& sums,
                                                 Filler<Codes>& filler, int64_t asks) {
  constexpr int64_t kSteps = kStretch / kInt8Pad;
  const int64_t row_bytes = a.x.row_bytes;
  const TakeUp before(a, sums);
  if (steps == kSteps) {
    multiply_tiles<kTiles>(
        x, row_bytes, first, second, kSteps, [&](int64_t i) __attribute__((always_inline)) {
          before.two_tokens(static_cast<uint64_t>(2 * i));
          if (i % 2 != 0) return;
          for (int64_t n = i / 2; n < asks; n += 2 * kSteps) filler.ask_both();
        });
  } else {
    before.all();
    multiply_tiles<kTiles>(x, row_bytes, first, second, steps, [](int64_t) {});
    for (int64_t n = 0; n < asks; ++n) filler.ask_both();
  }
  store_tiles<kTiles>(sums);
}

// `tokens` tokens from `token` on, whose scales are in `state`, over one stretch of one or two panels.
struct Part {
  int64_t token;
  int64_t tokens;
  int64_t stretch;
  int64_t panel;
  bool is_pair;
};

template <typename Codes>
void multiply_stretch(const Linear& a, const Part& part, const Bytes& bytes, TokenState& state, Sums& sums,
                      Filler<Codes>& filler, int64_t asks) {
  const Int8Rows x(a);
  const int64_t columns = x.columns - part.stretch * kStretch;
  const int64_t steps = (columns < kStretch ? columns : kStretch) / kInt8Pad;
  const bool is_last = part.stretch + 1 == x.blocks;
  const int64_t second = part.is_pair ? 1 : 0;
  for (int64_t t = 0; t < part.tokens; t += kUnitTokens) {
    const uint8_t* from = x.codes(part.token + t) + part.stretch * kStretch;
    const int64_t left = part.tokens - t;
    if (left > kTileTokens) {
      multiply_unit<2>(a, from, bytes.panel[0], bytes.panel[second], steps, sums, filler, asks);
    } else {
      multiply_unit<1>(a, from, bytes.panel[0], bytes.panel[second], steps, sums, filler, asks);
    }
    sums.scale = state.scale + part.stretch * state.room + t;
    sums.total = state.total + t;
    sums.step[0] = bytes.step[0];
    sums.step[1] = bytes.step[second];
    sums.add = part.stretch == 0 ? 0 : 0xFFFF;
    sums.tokens_out = !is_last ? 0 : static_cast<uint64_t>(left < kUnitTokens ? left : kUnitTokens);
    sums.token = part.token + t;
    sums.panel = part.panel;
    sums.is_pair = part.is_pair;
  }
}

void take_scales(const Int8Rows& x, int64_t token, int64_t tokens, TokenState& state) {
  // Prefetch distance: each token's scales are at the end of its row, a cache miss each.
  constexpr int64_t kAheadTokens = 16;
  for (int64_t t = 0; t < tokens; ++t) {
    _mm_prefetch(reinterpret_cast<const char*>(x.scales(token + t + kAheadTokens)), _MM_HINT_T0);
    const float* from = x.scales(token + t);
    for (int64_t block = 0; block < x.blocks; ++block) state.scale[block * state.room + t] = from[block];
  }
  for (int64_t t = tokens; t % kUnitTokens != 0; ++t) {
    for (int64_t block = 0; block < x.blocks; ++block) state.scale[block * state.room + t] = 0;
  }
}

// `tokens` tokens from `token` on, whose scales are in `state`.
template <typename Codes>
void multiply_panels(const Linear& a, const Int8Rule& rule, int64_t panel_begin, int64_t panel_end, int64_t token,
                     int64_t tokens, Bytes& bytes, TokenState& state) {
  const Int8Rows x(a);
  Filler<Codes> filler(a, rule, panel_begin, panel_end);
  const int64_t units = (tokens + kUnitTokens - 1) / kUnitTokens;
  const int64_t asks = units == 1 ? 0 : (filler.lines() + units - 1) / units;
  Sums sums;  // empty at first: totals accumulated from it are overwritten before they are read
  sums.scale = state.scale;
  sums.total = state.total;
  for (int64_t panel = panel_begin; panel < panel_end; panel += 2) {
    for (int64_t stretch = 0; stretch < x.blocks; ++stretch) {
      filler.fill(bytes, asks == 0);
      multiply_stretch(
          a, {.token = token, .tokens = tokens, .stretch = stretch, .panel = panel, .is_pair = panel_end - panel > 1},
          bytes, state, sums, filler, asks);
    }
  }
  TakeUp(a, sums).all();
}

template <typename Codes>
void linear_int8(const Linear& a, const Int8Rule& rule, int64_t panel_begin, int64_t panel_end) {
  const Int8Rows x(a);
  Tiles tiles;
  tiles.configure(kTileTokens, kTileTokens);
  TokenState state;
  Bytes bytes;
  const int64_t room = kScales / x.blocks / kUnitTokens * kUnitTokens;
  const int64_t most = room < kTokensAtOnce ? room : kTokensAtOnce;
  state.room = a.T < most ? (a.T + kUnitTokens - 1) / kUnitTokens * kUnitTokens : most;
  for (int64_t t = 0; t < a.T; t += most) {
    const int64_t tokens = a.T - t < most ? a.T - t : most;
    take_scales(x, t, tokens, state);
    multiply_panels<Codes>(a, rule, panel_begin, panel_end, t, tokens, bytes, state);
  }
  _mm_sfence();
}

// ---- bf16 ----

// Flushes subnormal numbers to 0 while it exists, as the tile unit does.
class FlushSubnormals {
 public:
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
};

constexpr int kPanelsAtOnce = 4;  // independent sums, to hide the latency of the multiply-add
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

// With fewer tokens the AVX-512 kernel is faster: tiles would be mostly empty,
// and expanded codes stay in registers (batch 2: 33.2 to 39.2 tok/s, docs/perf.md).
constexpr int64_t kLeastTokens = 4;
// Wider rows would leave no room in TokenState for the scales of one unit of tokens.
constexpr int64_t kMostColumns = kScales / kUnitTokens * kInt8Block;

}  // namespace

ActivationType fast_activations(const WeightLayout& layout) {
  if (layout.codes == WeightCodes::kBF16 && layout.scales == WeightScales::kNone) return ActivationType::kBF16;
  return avx512::fast_activations(layout);
}

void linear(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  if (a.x.type == ActivationType::kF32) return avx512::linear_f32(a, panel_begin, panel_end);
  if (a.x.type == ActivationType::kBF16) return linear_bf16(a, panel_begin, panel_end);
  if (a.T < kLeastTokens || a.w.columns > kMostColumns) return avx512::linear_int8(a, panel_begin, panel_end);
  const Int8Rule rule = int8_rule(a.w.layout, Int8Sign::kSigned);
  if (rule.is_centred4) return linear_int8<CentredCodes4>(a, rule, panel_begin, panel_end);
  switch (a.w.layout.codes) {
    case WeightCodes::kU2:
      return linear_int8<BlockCodes<WeightCodes::kU2>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU3:
      return linear_int8<BlockCodes<WeightCodes::kU3>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU4:
      return linear_int8<BlockCodes<WeightCodes::kU4>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU5:
      return linear_int8<BlockCodes<WeightCodes::kU5>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU6:
      return linear_int8<BlockCodes<WeightCodes::kU6>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU8:
      return linear_int8<BlockCodes<WeightCodes::kU8>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kTable4:
      return linear_int8<BlockCodes<WeightCodes::kTable4>>(a, rule, panel_begin, panel_end);
    default:
      __builtin_unreachable();
  }
}

}  // namespace glimmer::kernels::amx
