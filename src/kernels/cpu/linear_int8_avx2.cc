// Products with activations of 8 bits for AVX2. Definition: kernel_table.h, kInt8Groups.
//
// A line of codes (16 rows x 4 columns) times 4 codes of x gives sums of two products in 16 bits. They are added up in
// 16 bits for as many lines as cannot overflow, then in 32; with groups of 32 and codes of 4 bits that is a whole
// group.
#include <immintrin.h>

#include <utility>

#include "kernels/activations.h"
#include "kernels/cpu/avx2.h"

namespace glimmer::kernels::avx2 {
namespace {

#include "kernels/cpu/simd_avx2.inc"

#include "kernels/cpu/scales.inc"
#include "kernels/cpu/weights.inc"

constexpr int64_t kBlockQuads = kBlockColumns / 4;
constexpr int64_t kHalfBlocks = kActivationBlock / kBlockColumns;
constexpr int64_t kSumColumns = 16;  // of one of x's sums
constexpr int kMostPieces = static_cast<int>(kStretch / kSumColumns);

// ---- codes ----
// quad<q>() gives columns 4 q .. of a block as bytes; kRun: of how many quads sums fit 16 bits. Signed bytes are made
// unsigned for the product, and x takes their signs.

template <int kLow, int kHigh>
struct UnsignedCodes {
  static constexpr int kLines = kLow + kHigh;
  static constexpr bool kSigned = false;
  static constexpr int kPairLimit = 2 * 127 * ((1 << kLines) - 1);
  static constexpr int kRun = 32767 / kPairLimit >= 8 ? 8 : 32767 / kPairLimit >= 4 ? 4 : 2;
  static constexpr float kBias = 0;
  explicit UnsignedCodes(const WeightLayout&) {}
  template <int kQuad>
  [[gnu::always_inline]] I quad(const uint8_t* block, int part) const {
    return IntegerCodes<kLow, kHigh>::template quad<kQuad>(block, part);
  }
};

// Bytes of 0 to 255, less 128.
struct ByteCodes {
  static constexpr int kLines = 8;
  static constexpr bool kSigned = true;
  static constexpr int kRun = 1;
  static constexpr float kBias = 128;
  explicit ByteCodes(const WeightLayout&) {}
  template <int kQuad>
  [[gnu::always_inline]] I quad(const uint8_t* block, int part) const {
    return _mm256_xor_si256(line_of(block, kQuad, part), _mm256_set1_epi8(static_cast<char>(0x80)));
  }
};

struct TableBytes {
  static constexpr int kLines = 4;
  static constexpr bool kSigned = true;
  static constexpr int kRun = 1;
  static constexpr float kBias = 0;
  I table;
  explicit TableBytes(const WeightLayout& layout) {
    const __m256 unit = _mm256_set1_ps(static_cast<float>(table_unit(layout.table)));
    const I low = _mm256_cvtps_epi32(_mm256_mul_ps(Simd::load(layout.table), unit));
    const I high = _mm256_cvtps_epi32(_mm256_mul_ps(Simd::load(layout.table + 8), unit));
    const __m128i first = _mm_packs_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    const __m128i second = _mm_packs_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    table = _mm256_broadcastsi128_si256(_mm_packs_epi16(first, second));
  }
  template <int kQuad>
  [[gnu::always_inline]] I quad(const uint8_t* block, int part) const {
    return _mm256_shuffle_epi8(table, IntegerCodes<4, 0>::quad<kQuad>(block, part));
  }
};

// What quads of some codes become once they are unpacked: a line each.
template <typename Codes>
struct Unpacked {
  static constexpr int kLines = 8;
  static constexpr bool kSigned = Codes::kSigned;
  static constexpr int kRun = Codes::kRun;
  static constexpr float kBias = Codes::kBias;
  template <int kQuad>
  [[gnu::always_inline]] I quad(const uint8_t* block, int part) const {
    return line_of(block, kQuad, part);
  }
};

// ---- x ----

struct XRows {
  const std::byte* data;
  int64_t row_bytes;
  int64_t columns;  // rounded up to kActivationBlock

  explicit XRows(const Linear& a)
      : data(a.x.data),
        row_bytes(a.x.row_bytes),
        columns((a.w.columns + kActivationBlock - 1) / kActivationBlock * kActivationBlock) {}
  const uint8_t* codes(int64_t t) const { return reinterpret_cast<const uint8_t*>(data + t * row_bytes); }
  const float* scales(int64_t t) const { return reinterpret_cast<const float*>(codes(t) + columns); }
  const float* sums(int64_t t) const { return scales(t) + columns / kActivationBlock; }
};

// Sums of x's codes of each piece of the stretch at column `begin`: of 32 columns, or of 16.
template <int kPieces>
void piece_sums(const XRows& x, int64_t t, int64_t begin, float (&out)[kMostPieces]) {
  const float* sums = x.sums(t) + begin / kSumColumns;
  const int64_t left = (x.columns - begin) / kSumColumns;
  const int64_t count = left < kMostPieces ? left : kMostPieces;
  if constexpr (kPieces == 2) {
    for (int64_t i = 0; i < count; ++i) out[i] = sums[i];
  } else {
    for (int64_t i = 0; i < count / 2; ++i) out[i] = sums[2 * i] + sums[2 * i + 1];
  }
}

// ---- products ----

template <int... kIndex, typename Body>
[[gnu::always_inline]] inline void each(std::integer_sequence<int, kIndex...>, const Body& body) {
  (body.template operator()<kIndex>(), ...);
}

// A stretch of kPanels panels, whose parts are the vectors of a sum.
template <int kPanels>
struct Panels {
  const uint8_t* block[kPanels];
  const Scales* scales[kPanels];
};

template <int kPanels>
using Sums = V[kPanels * kParts];

// Quads kFirst to kFirst + kCount of a block, a piece, folded into `sums` by their scales.
template <int kFirst, int kCount, typename Codes, int kPanels>
[[gnu::always_inline]] inline void add_piece(const Codes& codes, const Panels<kPanels>& w, int64_t group,
                                             const uint8_t* x, float x_sum, Sums<kPanels>& sums) {
  constexpr int kVectors = kPanels * kParts;
  const I ones = _mm256_set1_epi16(1);
  I total[kVectors];
  I run[kVectors];
  each(
      std::make_integer_sequence<int, kCount>(), [&]<int kIndex>() __attribute__((always_inline)) {
        int32_t four;
        __builtin_memcpy(&four, x + 4 * (kFirst + kIndex), sizeof four);
        const I x_codes = _mm256_set1_epi32(four);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          I weights = codes.template quad<kFirst + kIndex>(w.block[v / kParts], v % kParts);
          I signed_codes = x_codes;
          if constexpr (Codes::kSigned) {
            signed_codes = _mm256_sign_epi8(x_codes, weights);
            weights = _mm256_abs_epi8(weights);
          }
          const I products = _mm256_maddubs_epi16(weights, signed_codes);
          run[v] = kIndex % Codes::kRun == 0 ? products : _mm256_add_epi16(run[v], products);
          asm("" : "+x"(run[v]));  // or the compiler makes all products first, and stores them
          if constexpr ((kIndex + 1) % Codes::kRun == 0 || kIndex + 1 == kCount) {
            const I wide = _mm256_madd_epi16(run[v], ones);
            total[v] = kIndex < Codes::kRun ? wide : _mm256_add_epi32(total[v], wide);
          }
        }
      });
  const V sum_of_x = Simd::broadcast(x_sum);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    V dot = Simd::to_float(total[v]);
    if constexpr (Codes::kBias != 0) dot = Simd::fma(Simd::broadcast(Codes::kBias), sum_of_x, dot);
    const Scales& scales = *w.scales[v / kParts];
    sums[v] = Simd::fma(Simd::load(scales.scale[group] + v % kParts * kW), dot, sums[v]);
    sums[v] = Simd::fma(Simd::load(scales.offset[group] + v % kParts * kW), sum_of_x, sums[v]);
  }
}

// kPieces pieces of block number `b` of a stretch.
template <int kPieces, typename Codes, int kPanels>
[[gnu::always_inline]] inline void add_block(const Codes& codes, const Panels<kPanels>& w, int64_t b, int group_shift,
                                             const uint8_t* x, const float* x_sums, Sums<kPanels>& sums) {
  constexpr int kQuads = static_cast<int>(kBlockQuads) / kPieces;
  const int64_t column = b * kBlockColumns;
  add_piece<0, kQuads>(codes, w, column >> group_shift, x, x_sums[b * kPieces], sums);
  if constexpr (kPieces == 2) {
    add_piece<kQuads, kQuads>(codes, w, (column + kSumColumns) >> group_shift, x, x_sums[b * kPieces + 1], sums);
  }
}

// A part of 128 columns: infinite ones become NaN.
template <int kPanels>
[[gnu::always_inline]] inline void fold(const Sums<kPanels>& part, float x_scale, Sums<kPanels>& total) {
  const V scale = Simd::broadcast(x_scale);
#pragma GCC unroll 8
  for (int v = 0; v < kPanels * kParts; ++v) {
    total[v] = Simd::fma(Simd::fma(part[v], Simd::zero(), part[v]), scale, total[v]);
  }
}

const uint8_t* panel_at(const WeightMatrix& w, int64_t panel) {
  return reinterpret_cast<const uint8_t*>(w.data + panel * w.panel_bytes);
}

void store_outputs(const Linear& a, int64_t t, int64_t row, V sum) {
  const int64_t left = a.w.rows - row;
  if (left <= 0) return;
  if (left >= kW) {
    if (a.bias != nullptr) sum = Simd::add(sum, Simd::load(a.bias + row));
    return Simd::store(a.y + t * a.y_stride + row, sum);
  }
  if (a.bias != nullptr) sum = Simd::add(sum, Simd::load_first(a.bias + row, left));
  Simd::store_first(a.y + t * a.y_stride + row, sum, left);
}

float scale_factor(const WeightLayout& layout) {
  return layout.codes == WeightCodes::kTable4 ? 1.0F / static_cast<float>(table_unit(layout.table)) : 1.0F;
}

// ---- one token ----
// Codes go from memory to the product in registers.

constexpr int kStreams = 2;  // that a thread reads side by side
constexpr int64_t kAheadBytes = 2048;

[[gnu::always_inline]] inline void prefetch_lines(const uint8_t* at, int64_t lines) {
  for (int64_t i = 0; i < lines; ++i) __builtin_prefetch(at + kAheadBytes + i * kLineBytes);
}

// Panels panel, panel + step, .. take turns block by block, so that memory is asked evenly.
template <typename Codes, int kPieces, int kPanels>
void one_token_panels(const Linear& a, int64_t panel, int64_t step) {
  const Codes codes(a.w.layout);
  const XRows x(a);
  const float factor = scale_factor(a.w.layout);
  Scales scales[kPanels];
  Panels<kPanels> w;
  Sums<kPanels> total;
  const uint8_t* base[kPanels];
  for (int p = 0; p < kPanels; ++p) {
    base[p] = panel_at(a.w, panel + p * step);
    w.block[p] = base[p] + a.w.scale_bytes;
    w.scales[p] = &scales[p];
    for (int part = 0; part < kParts; ++part) total[p * kParts + part] = Simd::zero();
  }
  for (int64_t begin = 0; begin < a.w.columns; begin += kStretch) {
    const Stretch s = stretch_at(a.w, begin);
    float x_sums[kMostPieces];
    piece_sums<kPieces>(x, 0, begin, x_sums);
    for (int p = 0; p < kPanels; ++p) expand_scales(a.w, base[p], s, factor, scales[p]);
    const int64_t blocks = (s.count + kBlockColumns - 1) / kBlockColumns;
    for (int64_t first = 0; first < blocks; first += kHalfBlocks) {
      const int64_t end = first + kHalfBlocks < blocks ? first + kHalfBlocks : blocks;
      Sums<kPanels> part;
      for (V& sum : part) sum = Simd::zero();
      for (int64_t b = first; b < end; ++b) {
        for (int p = 0; p < kPanels; ++p) prefetch_lines(w.block[p], Codes::kLines);
        add_block<kPieces>(codes, w, b, s.group_shift, x.codes(0) + begin + b * kBlockColumns, x_sums, part);
        for (int p = 0; p < kPanels; ++p) w.block[p] += Codes::kLines * kLineBytes;
      }
      fold<kPanels>(part, x.scales(0)[begin / kActivationBlock + first / kHalfBlocks], total);
    }
  }
  for (int v = 0; v < kPanels * kParts; ++v) {
    store_outputs(a, 0, (panel + v / kParts * step) * kPanelRows + v % kParts * kW, total[v]);
  }
}

// Each stream runs through panels that follow each other in memory.
template <typename Codes, int kPieces>
void one_token(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  const int64_t step = (panel_end - panel_begin) / kStreams;
  for (int64_t i = 0; i < step; ++i) one_token_panels<Codes, kPieces, kStreams>(a, panel_begin + i, step);
  const int64_t panel = panel_begin + kStreams * step;
  if (panel < panel_end) one_token_panels<Codes, kPieces, 1>(a, panel, 1);
}

// ---- several tokens ----
// A stretch of two panels is unpacked once, 8 KiB that stay in the first-level cache, and a block of tokens passes by.

constexpr int64_t kBlockTokens = 64;

template <int kPanels>
struct Block {
  alignas(64) uint8_t bytes[kPanels][kStretch * kPanelRows];
  Scales scales[kPanels];
  alignas(64) float total[kBlockTokens][kPanels * kPanelRows];
};

template <typename Codes>
void unpack(const WeightMatrix& w, const uint8_t* panel, const Stretch& s, uint8_t* bytes) {
  const Codes codes(w.layout);
  const uint8_t* block = panel + w.scale_bytes + s.begin / kBlockColumns * Codes::kLines * kLineBytes;
  for (int64_t column = 0; column < s.count; column += kBlockColumns, block += Codes::kLines * kLineBytes) {
    prefetch_lines(block, Codes::kLines);
    each(
        std::make_integer_sequence<int, static_cast<int>(kBlockQuads)>(), [&]<int kQuad>() __attribute__((
                                                                              always_inline)) {
          for (int part = 0; part < kParts; ++part) {
            _mm256_store_si256(reinterpret_cast<__m256i*>(bytes + kQuad * kLineBytes + part * 4 * kW),
                               codes.template quad<kQuad>(block, part));
          }
        });
    bytes += kBlockQuads * kLineBytes;
  }
}

template <typename Codes, int kPieces, int kPanels>
void add_stretch(const XRows& x, int64_t t, const Stretch& s, const Block<kPanels>& block, float* total) {
  const Unpacked<Codes> codes;
  float x_sums[kMostPieces];
  piece_sums<kPieces>(x, t, s.begin, x_sums);
  Panels<kPanels> w;
  for (int p = 0; p < kPanels; ++p) {
    w.block[p] = block.bytes[p];
    w.scales[p] = &block.scales[p];
  }
  Sums<kPanels> sums;
#pragma GCC unroll 8
  for (int v = 0; v < kPanels * kParts; ++v) sums[v] = Simd::load(total + v * kW);
  const int64_t blocks = (s.count + kBlockColumns - 1) / kBlockColumns;
  for (int64_t first = 0; first < blocks; first += kHalfBlocks) {
    const int64_t end = first + kHalfBlocks < blocks ? first + kHalfBlocks : blocks;
    Sums<kPanels> part;
    for (V& sum : part) sum = Simd::zero();
    for (int64_t b = first; b < end; ++b) {
      add_block<kPieces>(codes, w, b, s.group_shift, x.codes(t) + s.begin + b * kBlockColumns, x_sums, part);
      for (int p = 0; p < kPanels; ++p) w.block[p] += kBlockQuads * kLineBytes;
    }
    fold<kPanels>(part, x.scales(t)[s.begin / kActivationBlock + first / kHalfBlocks], sums);
  }
#pragma GCC unroll 8
  for (int v = 0; v < kPanels * kParts; ++v) Simd::store(total + v * kW, sums[v]);
}

template <typename Codes, int kPieces, int kPanels>
void some_tokens(const Linear& a, int64_t panel, int64_t t0, int64_t tokens) {
  const XRows x(a);
  const float factor = scale_factor(a.w.layout);
  Block<kPanels> block;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int v = 0; v < kPanels * kParts; ++v) Simd::store(block.total[t] + v * kW, Simd::zero());
  }
  for (int64_t begin = 0; begin < a.w.columns; begin += kStretch) {
    const Stretch s = stretch_at(a.w, begin);
    for (int p = 0; p < kPanels; ++p) {
      expand_scales(a.w, panel_at(a.w, panel + p), s, factor, block.scales[p]);
      unpack<Codes>(a.w, panel_at(a.w, panel + p), s, block.bytes[p]);
    }
    for (int64_t t = 0; t < tokens; ++t) {
      add_stretch<Codes, kPieces, kPanels>(x, t0 + t, s, block, block.total[t]);
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int v = 0; v < kPanels * kParts; ++v) {
      store_outputs(a, t0 + t, panel * kPanelRows + v * kW, Simd::load(block.total[t] + v * kW));
    }
  }
}

template <typename Codes, int kPieces>
void multiply(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  if (a.T == 1) return one_token<Codes, kPieces>(a, panel_begin, panel_end);
  for (int64_t t = 0; t < a.T; t += kBlockTokens) {
    const int64_t tokens = a.T - t < kBlockTokens ? a.T - t : kBlockTokens;
    int64_t panel = panel_begin;
    for (; panel + 2 <= panel_end; panel += 2) some_tokens<Codes, kPieces, 2>(a, panel, t, tokens);
    if (panel < panel_end) some_tokens<Codes, kPieces, 1>(a, panel, t, tokens);
  }
}

template <typename Codes>
void multiply(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  if (a.w.layout.group == kSumColumns) return multiply<Codes, 2>(a, panel_begin, panel_end);
  multiply<Codes, 1>(a, panel_begin, panel_end);
}

// ---- encoding ----

float largest_magnitude(const float* x, int64_t columns, bool& finite) {
  const V magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  const V infinity = Simd::broadcast(__builtin_inff());
  V most = Simd::zero();
  V good = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  for (int64_t i = 0; i < columns; i += kW) {
    const V value = columns - i >= kW ? Simd::load(x + i) : Simd::load_first(x + i, columns - i);
    const V size = _mm256_and_ps(value, magnitude);
    good = _mm256_and_ps(good, _mm256_cmp_ps(size, infinity, _CMP_LT_OQ));
    most = Simd::max(size, most);
  }
  finite = _mm256_movemask_ps(good) == 0xFF;
  return Simd::max_lane(most);
}

// 16 codes and their sum.
float encode_sixteen(const float* x, int64_t columns, float inverse, uint8_t* codes) {
  I words[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t left = columns - i * kW;
    const V value = left >= kW ? Simd::load(x + i * kW) : left > 0 ? Simd::load_first(x + i * kW, left) : Simd::zero();
    words[i] = _mm256_cvtps_epi32(Simd::mul(value, Simd::broadcast(inverse)));
  }
  const I packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(words[0], words[1]), _MM_SHUFFLE(3, 1, 2, 0));
  const __m128i low = _mm256_castsi256_si128(packed);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm_packs_epi16(low, _mm256_extracti128_si256(packed, 1)));
  return Simd::sum(Simd::to_float(_mm256_add_epi32(words[0], words[1])));
}

void encode_block(const float* x, int64_t columns, uint8_t* codes, float* scale, float* sums) {
  bool finite;
  const float largest = largest_magnitude(x, columns, finite);
  const bool some = finite && !(largest < 1e-30F);
  *scale = !finite ? __builtin_nanf("") : some ? largest / 127.0F : 0.0F;
  for (int64_t i = 0; i < kActivationBlock; i += kSumColumns) {
    sums[i / kSumColumns] = encode_sixteen(x + i, some ? columns - i : 0, some ? 127.0F / largest : 0.0F, codes + i);
  }
}

}  // namespace

void encode_int8_groups(const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin, int64_t end,
                        std::byte* out, int64_t row_bytes) {
  const int64_t padded = (K + kActivationBlock - 1) / kActivationBlock * kActivationBlock;
  for (int64_t t = 0; t < T; ++t) {
    auto* codes = reinterpret_cast<uint8_t*>(out + t * row_bytes);
    auto* scales = reinterpret_cast<float*>(codes + padded);
    float* sums = scales + padded / kActivationBlock;
    for (int64_t k = begin; k < end; k += kActivationBlock) {
      encode_block(x + t * x_stride + k, end - k < kActivationBlock ? end - k : kActivationBlock, codes + k,
                   scales + k / kActivationBlock, sums + k / kSumColumns);
    }
  }
}

void linear_int8_groups(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  switch (a.w.layout.codes) {
    case WeightCodes::kU2:
      return multiply<UnsignedCodes<2, 0>>(a, panel_begin, panel_end);
    case WeightCodes::kU3:
      return multiply<UnsignedCodes<2, 1>>(a, panel_begin, panel_end);
    case WeightCodes::kU4:
      return multiply<UnsignedCodes<4, 0>>(a, panel_begin, panel_end);
    case WeightCodes::kU5:
      return multiply<UnsignedCodes<4, 1>>(a, panel_begin, panel_end);
    case WeightCodes::kU6:
      return multiply<UnsignedCodes<4, 2>>(a, panel_begin, panel_end);
    case WeightCodes::kU8:
      return multiply<ByteCodes>(a, panel_begin, panel_end);
    case WeightCodes::kTable4:
      return multiply<TableBytes>(a, panel_begin, panel_end);
    default:
      __builtin_unreachable();
  }
}

}  // namespace glimmer::kernels::avx2
