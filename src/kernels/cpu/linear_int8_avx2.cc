// Products with activations of 8 bits for AVX2. Definition: kernel_table.h, kInt8.
//
// Without VNNI, products are of 16 bits: weights are words of two columns 2 apart, the even and the odd ones of four
// (a quad), and so are the codes of x.
#include <immintrin.h>

#include "kernels/cpu/avx2.h"

namespace glimmer::kernels::avx2 {
namespace {

#include "kernels/cpu/simd_avx2.inc"

#include "kernels/cpu/scales.inc"

#include "kernels/cpu/weights.inc"

constexpr int kQuads = static_cast<int>(kBlockColumns) / 4;  // of a block
constexpr int kStretchQuads = static_cast<int>(kStretch) / 4;
constexpr int kHalfQuads = kStretchQuads / 2;  // columns that share a scale of x
static_assert(kActivationBlock == kStretch / 2);

// What a layout leaves the same for all its stretches.
struct Int8Rule {
  float lowest = 0;  // code, or value of the table
  float highest = 0;
  float factor_unit = 256;  // A = rint((s * inv) * factor_unit)
  I table_low;              // the bytes of T, in both halves
  I table_high;
};

void set_table(const float* table, Int8Rule& rule) {
  float largest = 0;
  rule.lowest = rule.highest = table[0];
  for (int i = 0; i < 16; ++i) {
    rule.lowest = table[i] < rule.lowest ? table[i] : rule.lowest;
    rule.highest = table[i] > rule.highest ? table[i] : rule.highest;
  }
  largest = rule.highest > -rule.lowest ? rule.highest : -rule.lowest;
  rule.factor_unit = largest * 256.0F;
  uint8_t low[16];
  uint8_t high[16];
  for (int i = 0; i < 16; ++i) {
    const int value = _mm_cvtss_si32(_mm_set_ss(table[i] / largest * 32767.0F));
    low[i] = static_cast<uint8_t>(value);
    high[i] = static_cast<uint8_t>(value >> 8);
  }
  rule.table_low = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low)));
  rule.table_high = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(high)));
}

// ---- codes ----
// words<quad>() gives the words of a quad before the map, map() makes them w8.

I even_bytes(I x) { return _mm256_and_si256(x, _mm256_set1_epi16(255)); }
I odd_bytes(I x) { return _mm256_srli_epi16(x, 8); }

template <int kLow, int kHigh>
struct SmallWords {
  using Codes = IntegerCodes<kLow, kHigh>;
  static Int8Rule rule(const WeightLayout&) {
    Int8Rule rule;
    rule.highest = (1 << (kLow + kHigh)) - 1;
    return rule;
  }
  template <int kQuad>
  [[gnu::always_inline]] static void words(const Int8Rule&, const uint8_t* block, int part, I& even, I& odd) {
    const I codes = Codes::template quad<kQuad>(block, part);
    even = even_bytes(codes);
    odd = odd_bytes(codes);
  }
  static V offset_base(V, V offset) { return offset; }
  [[gnu::always_inline]] static I map(I x, I factor, I addend) {
    return _mm256_srai_epi16(_mm256_add_epi16(_mm256_mullo_epi16(x, factor), addend), 8);
  }
};

struct RoundedMap {
  [[gnu::always_inline]] static I map(I x, I factor, I addend) {
    return _mm256_srai_epi16(_mm256_add_epi16(_mm256_mulhrs_epi16(x, factor), addend), 8);
  }
};

struct ByteWords : RoundedMap {
  using Codes = IntegerCodes<8, 0>;
  static Int8Rule rule(const WeightLayout&) {
    Int8Rule rule;
    rule.highest = 255;
    rule.factor_unit = 32768;
    return rule;
  }
  template <int kQuad>
  [[gnu::always_inline]] static void words(const Int8Rule&, const uint8_t* block, int part, I& even, I& odd) {
    const I codes = _mm256_xor_si256(Codes::template quad<kQuad>(block, part), _mm256_set1_epi8(-128));
    even = _mm256_slli_epi16(codes, 8);
    odd = _mm256_and_si256(codes, _mm256_set1_epi16(static_cast<int16_t>(0xFF00)));
  }
  static V offset_base(V scale, V offset) { return Simd::fma(Simd::broadcast(128.0F), scale, offset); }
};

struct TableWords : RoundedMap {
  using Codes = IntegerCodes<4, 0>;
  static Int8Rule rule(const WeightLayout& layout) {
    Int8Rule rule;
    set_table(layout.table, rule);
    return rule;
  }
  template <int kQuad>
  [[gnu::always_inline]] static void words(const Int8Rule& rule, const uint8_t* block, int part, I& even, I& odd) {
    const I codes = Codes::template quad<kQuad>(block, part);
    const I low = _mm256_shuffle_epi8(rule.table_low, codes);
    const I high = _mm256_shuffle_epi8(rule.table_high, codes);
    even = Simd::both(even_bytes(low), _mm256_slli_epi16(high, 8));
    odd = _mm256_blendv_epi8(odd_bytes(low), high, _mm256_set1_epi16(static_cast<int16_t>(0xFF00)));
  }
  static V offset_base(V, V) { return Simd::zero(); }
};

// ---- weights ----

// The map from codes to w8 of a stretch of a panel.
struct StretchMap {
  I factor[Scales::kMost][kParts];  // A, in both words of a row
  I addend[Scales::kMost][kParts];  // B + 128
  V step[kParts];
};

I fixed_point(V x) {
  const I value = _mm256_cvtps_epi32(x);
  return Simd::both(_mm256_slli_epi32(value, 16), Simd::masked(value, 0xFFFF));
}

// The largest weight, NaN if one is.
V largest_weight(const Int8Rule& rule, const Scales& scales, int64_t groups, int part) {
  const V lowest = Simd::broadcast(rule.lowest);
  const V highest = Simd::broadcast(rule.highest);
  const V magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  V largest = Simd::zero();
  V invalid = Simd::zero();
  for (int64_t group = 0; group < groups; ++group) {
    const V scale = Simd::load(scales.scale[group] + part * kW);
    const V offset = Simd::load(scales.offset[group] + part * kW);
    const V low = Simd::fma(scale, lowest, offset);
    const V high = Simd::fma(scale, highest, offset);
    invalid = _mm256_or_ps(invalid, _mm256_cmp_ps(low, high, _CMP_UNORD_Q));
    largest = Simd::max(largest, Simd::max(_mm256_and_ps(low, magnitude), _mm256_and_ps(high, magnitude)));
  }
  return _mm256_or_ps(largest, invalid);
}

template <typename Words>
void prepare_stretch(const WeightMatrix& w, const Int8Rule& rule, const uint8_t* panel, const Stretch& s,
                     StretchMap& map) {
  Scales scales;
  expand_scales(w, panel, s, 1, scales);
  for (int part = 0; part < kParts; ++part) {
    const V largest = largest_weight(rule, scales, s.groups, part);
    const V some = _mm256_cmp_ps(largest, Simd::broadcast(1e-30F), _CMP_NLT_UQ);
    const V most_code = Simd::broadcast(127.0F);
    const V inverse = _mm256_and_ps(some, Simd::div(most_code, largest));
    map.step[part] = _mm256_and_ps(some, Simd::div(largest, most_code));
    for (int64_t group = 0; group < s.groups; ++group) {
      const V scale = Simd::load(scales.scale[group] + part * kW);
      const V base = Words::offset_base(scale, Simd::load(scales.offset[group] + part * kW));
      const V factor = Simd::mul(Simd::mul(scale, inverse), Simd::broadcast(rule.factor_unit));
      const V addend = Simd::mul(Simd::mul(base, inverse), Simd::broadcast(256.0F));
      map.factor[group][part] = fixed_point(factor);
      map.addend[group][part] = _mm256_add_epi16(fixed_point(addend), _mm256_set1_epi16(128));
    }
  }
  // Columns of no group are multiplied by zeros, but are to have been set.
  for (int64_t group = s.groups; group << s.group_shift < s.count + kBlockColumns && group < Scales::kMost; ++group) {
    for (int part = 0; part < kParts; ++part) {
      map.factor[group][part] = _mm256_setzero_si256();
      map.addend[group][part] = _mm256_setzero_si256();
    }
  }
}

// Calls use(quad, even, odd) with the words of the block at `block`, `column` of its stretch.
template <typename Words, int kQuad, typename Use>
[[gnu::always_inline]] inline void each_quad(const Int8Rule& rule, const uint8_t* block, int part, I factor, I addend,
                                             const Use& use) {
  I even;
  I odd;
  Words::template words<kQuad>(rule, block, part, even, odd);
  use(kQuad, Words::map(even, factor, addend), Words::map(odd, factor, addend));
}

template <typename Words, typename Use>
[[gnu::always_inline]] inline void block_words(const Int8Rule& rule, const StretchMap& map, const uint8_t* block,
                                               int64_t column, int group_shift, int part, const Use& use) {
  const int64_t first = column >> group_shift;
  const int64_t second = (column + 16) >> group_shift;
  const I first_factor = map.factor[first][part];
  const I first_addend = map.addend[first][part];
  each_quad<Words, 0>(rule, block, part, first_factor, first_addend, use);
  each_quad<Words, 1>(rule, block, part, first_factor, first_addend, use);
  each_quad<Words, 2>(rule, block, part, first_factor, first_addend, use);
  each_quad<Words, 3>(rule, block, part, first_factor, first_addend, use);
  const I second_factor = map.factor[second][part];
  const I second_addend = map.addend[second][part];
  each_quad<Words, 4>(rule, block, part, second_factor, second_addend, use);
  each_quad<Words, 5>(rule, block, part, second_factor, second_addend, use);
  each_quad<Words, 6>(rule, block, part, second_factor, second_addend, use);
  each_quad<Words, 7>(rule, block, part, second_factor, second_addend, use);
}

// ---- activations ----

// The rows of kernel_table.h, and a stretch of one as words.
struct Int8Rows {
  const std::byte* data;
  int64_t row_bytes;
  int64_t padded;  // columns

  explicit Int8Rows(const Linear& a)
      : data(a.x.data),
        row_bytes(a.x.row_bytes),
        padded((a.w.columns + kActivationBlock - 1) / kActivationBlock * kActivationBlock) {}
  const uint8_t* codes(int64_t t) const { return reinterpret_cast<const uint8_t*>(data + t * row_bytes); }
  const float* scales(int64_t t) const { return reinterpret_cast<const float*>(codes(t) + padded); }
};

struct TokenWords {
  alignas(32) int32_t even[kStretchQuads];
  alignas(32) int32_t odd[kStretchQuads];
};

void widen_token(const Int8Rows& x, int64_t t, int64_t begin, TokenWords& out) {
  const int64_t count = x.padded - begin < kStretch ? x.padded - begin : kStretch;
  for (int64_t i = 0; i < count; i += 32) {
    const I codes = Simd::load_bits(x.codes(t) + begin + i);
    const I even = _mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 8);
    _mm256_store_si256(reinterpret_cast<I*>(out.even + i / 4), even);
    _mm256_store_si256(reinterpret_cast<I*>(out.odd + i / 4), _mm256_srai_epi16(codes, 8));
  }
}

// ---- products ----

const uint8_t* panel_at(const WeightMatrix& w, int64_t panel) {
  return reinterpret_cast<const uint8_t*>(w.data + panel * w.panel_bytes);
}

void store_outputs(const Linear& a, int64_t t, int64_t row, V sum) {
  const int64_t left = a.w.rows - row;
  if (left <= 0) return;
  const int64_t lanes = left < kW ? left : kW;
  if (a.bias != nullptr) sum = Simd::add(sum, Simd::load_first(a.bias + row, lanes));
  Simd::store_first(a.y + t * a.y_stride + row, sum, lanes);
}

template <typename Words>
constexpr int64_t kBlockBytes = Words::Codes::kLines* kLineBytes;

template <typename Words>
void prefetch_block(const uint8_t* block) {
  for (int64_t i = 0; i < kBlockBytes<Words>; i += kLineBytes) __builtin_prefetch(block + i + kPrefetchBytes);
}

// One token: weights go from their codes to the product in registers. Streams are as in linear.inc.
constexpr int kStreams = 4;

template <typename Words>
void add_stretch(const Linear& a, const Int8Rule& rule, const uint8_t* panel, const Stretch& s, const TokenWords& x,
                 const float* x_scales, V (&totals)[kParts]) {
  StretchMap map;
  prepare_stretch<Words>(a.w, rule, panel, s, map);
  const uint8_t* blocks = panel + a.w.scale_bytes + s.begin / kBlockColumns * kBlockBytes<Words>;
  V inner[kParts];
  for (int64_t begin = 0; begin < s.count; begin += kActivationBlock) {
    const int64_t end = begin + kActivationBlock < s.count ? begin + kActivationBlock : s.count;
    I sums[kParts];
    for (int part = 0; part < kParts; ++part) sums[part] = _mm256_setzero_si256();
    for (int64_t column = begin; column < end; column += kBlockColumns) {
      const uint8_t* block = blocks + column / kBlockColumns * kBlockBytes<Words>;
      prefetch_block<Words>(block);
#pragma GCC unroll 2
      for (int part = 0; part < kParts; ++part) {
        const auto add = [&](int quad, I even, I odd) __attribute__((always_inline)) {
          const I x_even = _mm256_set1_epi32(x.even[column / 4 + quad]);
          const I x_odd = _mm256_set1_epi32(x.odd[column / 4 + quad]);
          sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(even, x_even));
          sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(odd, x_odd));
        };
        block_words<Words>(rule, map, block, column, s.group_shift, part, add);
      }
    }
    const V scale = Simd::broadcast(x_scales[begin / kActivationBlock]);
    for (int part = 0; part < kParts; ++part) {
      const V sum = Simd::to_float(sums[part]);
      inner[part] = begin == 0 ? Simd::mul(sum, scale) : Simd::fma(sum, scale, inner[part]);
    }
  }
  for (int part = 0; part < kParts; ++part) totals[part] = Simd::fma(inner[part], map.step[part], totals[part]);
}

// Panels panel, panel + step, ..
template <typename Words>
void one_token_panels(const Linear& a, const Int8Rule& rule, int64_t panel, int64_t step, int count) {
  const Int8Rows x(a);
  V totals[kStreams][kParts];
  for (int i = 0; i < count; ++i) {
    for (int part = 0; part < kParts; ++part) totals[i][part] = Simd::zero();
  }
  TokenWords words;
  for (int64_t begin = 0; begin < a.w.columns; begin += kStretch) {
    const Stretch s = stretch_at(a.w, begin);
    widen_token(x, 0, begin, words);
    for (int i = 0; i < count; ++i) {
      add_stretch<Words>(a, rule, panel_at(a.w, panel + i * step), s, words, x.scales(0) + begin / kActivationBlock,
                         totals[i]);
    }
  }
  for (int i = 0; i < count; ++i) {
    for (int part = 0; part < kParts; ++part) {
      store_outputs(a, 0, (panel + i * step) * kPanelRows + part * kW, totals[i][part]);
    }
  }
}

template <typename Words>
void one_token(const Linear& a, const Int8Rule& rule, int64_t panel_begin, int64_t panel_end) {
  const int64_t step = (panel_end - panel_begin) / kStreams;
  for (int64_t i = 0; i < step; ++i) one_token_panels<Words>(a, rule, panel_begin + i, step, kStreams);
  const int64_t rest = panel_begin + kStreams * step;
  if (rest < panel_end) one_token_panels<Words>(a, rule, rest, 1, static_cast<int>(panel_end - rest));
}

// Several tokens: a stretch of two panels becomes words once, 16 KiB, and a block of tokens passes over them.
constexpr int64_t kBlockTokens = 64;
constexpr int kTileTokens = 4;
constexpr int kPanels = 2;

struct PanelWords {
  I even[kStretchQuads][kParts];
  I odd[kStretchQuads][kParts];
  V step[kParts];
  V totals[kBlockTokens][kParts];
};

struct Block {
  PanelWords panels[kPanels];
  TokenWords tokens[kBlockTokens];
};

template <typename Words>
void panel_words(const WeightMatrix& w, const Int8Rule& rule, const uint8_t* panel, const Stretch& s, PanelWords& out) {
  StretchMap map;
  prepare_stretch<Words>(w, rule, panel, s, map);
  for (int part = 0; part < kParts; ++part) out.step[part] = map.step[part];
  const uint8_t* block = panel + w.scale_bytes + s.begin / kBlockColumns * kBlockBytes<Words>;
  for (int64_t column = 0; column < s.count; column += kBlockColumns, block += kBlockBytes<Words>) {
    prefetch_block<Words>(block);
    for (int part = 0; part < kParts; ++part) {
      const auto put = [&](int quad, I even, I odd) __attribute__((always_inline)) {
        out.even[column / 4 + quad][part] = even;
        out.odd[column / 4 + quad][part] = odd;
      };
      block_words<Words>(rule, map, block, column, s.group_shift, part, put);
    }
  }
}

// kTokens tokens over quads [begin, end), as floats.
template <int kTokens>
[[gnu::always_inline]] inline void tile_half(const PanelWords& w, const TokenWords* x, int64_t begin, int64_t end,
                                             V (&out)[kTokens][kParts]) {
  I sums[kTokens][kParts];
#pragma GCC unroll 4
  for (int i = 0; i < kTokens; ++i) {
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part) sums[i][part] = _mm256_setzero_si256();
  }
  for (int64_t quad = begin; quad < end; ++quad) {
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i) {
      const I even = _mm256_set1_epi32(x[i].even[quad]);
      const I odd = _mm256_set1_epi32(x[i].odd[quad]);
#pragma GCC unroll 2
      for (int part = 0; part < kParts; ++part) {
        sums[i][part] = _mm256_add_epi32(sums[i][part], _mm256_madd_epi16(even, w.even[quad][part]));
        sums[i][part] = _mm256_add_epi32(sums[i][part], _mm256_madd_epi16(odd, w.odd[quad][part]));
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kTokens; ++i) {
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part) out[i][part] = Simd::to_float(sums[i][part]);
  }
}

// Adds a stretch of `quads` quads to the totals of kTokens tokens, `token` of the block and token t of all.
template <int kTokens>
void tile(Block& block, PanelWords& w, const Int8Rows& x, int64_t token, int64_t t, int64_t begin, int64_t quads) {
  const TokenWords* words = block.tokens + token;
  const int64_t half = begin / kActivationBlock;
  V inner[kTokens][kParts];
  tile_half<kTokens>(w, words, 0, quads < kHalfQuads ? quads : kHalfQuads, inner);
  for (int i = 0; i < kTokens; ++i) {
    const V scale = Simd::broadcast(x.scales(t + i)[half]);
    for (int part = 0; part < kParts; ++part) inner[i][part] = Simd::mul(inner[i][part], scale);
  }
  if (quads > kHalfQuads) {
    V second[kTokens][kParts];
    tile_half<kTokens>(w, words, kHalfQuads, quads, second);
    for (int i = 0; i < kTokens; ++i) {
      const V scale = Simd::broadcast(x.scales(t + i)[half + 1]);
      for (int part = 0; part < kParts; ++part) inner[i][part] = Simd::fma(second[i][part], scale, inner[i][part]);
    }
  }
  for (int i = 0; i < kTokens; ++i) {
    for (int part = 0; part < kParts; ++part) {
      V& total = w.totals[token + i][part];
      total = Simd::fma(inner[i][part], w.step[part], total);
    }
  }
}

void tiles(Block& block, PanelWords& w, const Int8Rows& x, int64_t t, int64_t tokens, int64_t begin, int64_t quads) {
  int64_t i = 0;
  for (; i + kTileTokens <= tokens; i += kTileTokens) tile<kTileTokens>(block, w, x, i, t + i, begin, quads);
  if (tokens - i == 3) return tile<3>(block, w, x, i, t + i, begin, quads);
  if (tokens - i == 2) return tile<2>(block, w, x, i, t + i, begin, quads);
  if (tokens - i == 1) return tile<1>(block, w, x, i, t + i, begin, quads);
}

template <typename Words>
void linear_block(const Linear& a, const Int8Rule& rule, Block& block, int64_t t, int64_t tokens, int64_t panel,
                  int64_t panels) {
  const Int8Rows x(a);
  for (int64_t p = 0; p < panels; ++p) {
    for (int64_t i = 0; i < tokens; ++i) {
      for (int part = 0; part < kParts; ++part) block.panels[p].totals[i][part] = Simd::zero();
    }
  }
  for (int64_t begin = 0; begin < a.w.columns; begin += kStretch) {
    const Stretch s = stretch_at(a.w, begin);
    const int64_t quads = (s.count + kBlockColumns - 1) / kBlockColumns * kQuads;
    for (int64_t i = 0; i < tokens; ++i) widen_token(x, t + i, begin, block.tokens[i]);
    for (int64_t p = 0; p < panels; ++p) {
      panel_words<Words>(a.w, rule, panel_at(a.w, panel + p), s, block.panels[p]);
      tiles(block, block.panels[p], x, t, tokens, begin, quads);
    }
  }
  for (int64_t p = 0; p < panels; ++p) {
    for (int64_t i = 0; i < tokens; ++i) {
      for (int part = 0; part < kParts; ++part) {
        store_outputs(a, t + i, (panel + p) * kPanelRows + part * kW, block.panels[p].totals[i][part]);
      }
    }
  }
}

template <typename Words>
void multiply(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  const Int8Rule rule = Words::rule(a.w.layout);
  if (a.T == 1) return one_token<Words>(a, rule, panel_begin, panel_end);
  Block block;
  for (int64_t t = 0; t < a.T; t += kBlockTokens) {
    const int64_t tokens = a.T - t < kBlockTokens ? a.T - t : kBlockTokens;
    for (int64_t panel = panel_begin; panel < panel_end; panel += kPanels) {
      const int64_t panels = panel_end - panel < kPanels ? panel_end - panel : kPanels;
      linear_block<Words>(a, rule, block, t, tokens, panel, panels);
    }
  }
}

// ---- encoding ----

// As the reference, whatever is not finite makes the scale NaN and the codes 0.
void encode_block(const float* x, int64_t columns, uint8_t* codes, float* scale, int32_t* sum) {
  constexpr int kVectors = static_cast<int>(kActivationBlock / kW);
  const V magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  const V infinity = Simd::broadcast(__builtin_inff());
  V values[kVectors];
  V most = Simd::zero();
  V invalid = Simd::zero();
  for (int i = 0; i < kVectors; ++i) {
    const int64_t left = columns - i * kW;
    values[i] = left >= kW ? Simd::load(x + i * kW) : left > 0 ? Simd::load_first(x + i * kW, left) : Simd::zero();
    const V absolute = _mm256_and_ps(values[i], magnitude);
    invalid = _mm256_or_ps(invalid, _mm256_cmp_ps(absolute, infinity, _CMP_NLT_UQ));
    most = Simd::max(most, absolute);
  }
  const bool is_invalid = _mm256_movemask_ps(invalid) != 0;
  const float largest = Simd::max_lane(most);
  const bool some = !is_invalid && !(largest < 1e-30F);
  *scale = is_invalid ? __builtin_nanf("") : some ? largest / 127.0F : 0.0F;
  const V inverse = Simd::broadcast(some ? 127.0F / largest : 0.0F);
  I total = _mm256_setzero_si256();
  for (int i = 0; i < kVectors; i += 4) {
    I code[4];
    for (int j = 0; j < 4; ++j) {
      code[j] = is_invalid ? _mm256_setzero_si256() : _mm256_cvtps_epi32(Simd::mul(values[i + j], inverse));
      total = _mm256_add_epi32(total, code[j]);
    }
    const I packed = _mm256_packs_epi16(_mm256_packs_epi32(code[0], code[1]), _mm256_packs_epi32(code[2], code[3]));
    const I in_order = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<I*>(codes + i * kW), in_order);
  }
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
  *sum = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, _MM_SHUFFLE(2, 3, 0, 1))));
}

}  // namespace

void encode_activations(ActivationType, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes) {
  const int64_t blocks = (K + kActivationBlock - 1) / kActivationBlock;
  for (int64_t t = 0; t < T; ++t) {
    auto* codes = reinterpret_cast<uint8_t*>(out + t * row_bytes);
    auto* scales = reinterpret_cast<float*>(codes + blocks * kActivationBlock);
    auto* sums = reinterpret_cast<int32_t*>(scales + blocks);
    for (int64_t k = begin; k < end; k += kActivationBlock) {
      const int64_t block = k / kActivationBlock;
      encode_block(x + t * x_stride + k, end - k, codes + k, scales + block, sums + block);
    }
  }
}

void linear_int8(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  switch (a.w.layout.codes) {
    case WeightCodes::kU2:
      return multiply<SmallWords<2, 0>>(a, panel_begin, panel_end);
    case WeightCodes::kU3:
      return multiply<SmallWords<2, 1>>(a, panel_begin, panel_end);
    case WeightCodes::kU4:
      return multiply<SmallWords<4, 0>>(a, panel_begin, panel_end);
    case WeightCodes::kU5:
      return multiply<SmallWords<4, 1>>(a, panel_begin, panel_end);
    case WeightCodes::kU6:
      return multiply<SmallWords<4, 2>>(a, panel_begin, panel_end);
    case WeightCodes::kU8:
      return multiply<ByteWords>(a, panel_begin, panel_end);
    case WeightCodes::kTable4:
      return multiply<TableWords>(a, panel_begin, panel_end);
    default:
      __builtin_unreachable();
  }
}

}  // namespace glimmer::kernels::avx2
