// Matmuls with int8 activations for AVX-512 with VNNI. Definition: kernel_table.h, kInt8.
//
// Weights are unsigned bytes, w8 + 128, as VNNI requires; adding -128 times the sum of x's codes corrects for it.
#include <immintrin.h>

#include "kernels/cpu/x86/avx512.h"
#include "kernels/cpu/x86/supported.h"

namespace glimmer::kernels::avx512 {
namespace {

#include "kernels/cpu/x86/int8_panel.inc"

// Four products a lane. The barrier keeps g++ 12 from moving sums between registers and memory.
inline void add_products(__m512i& sum, __m512i weights, __m512i codes) {
  sum = _mm512_dpbusd_epi32(sum, weights, codes);
  asm("" : "+v"(sum));
}

inline __m512i four_codes(const uint8_t* at) {
  int32_t codes;
  __builtin_memcpy(&codes, at, sizeof codes);
  return _mm512_set1_epi32(codes);
}

inline int64_t blocks_from(const WeightMatrix& w, int64_t stretch) {
  const int64_t left = (w.columns + kBlockColumns - 1) / kBlockColumns - stretch * kStretchBlocks;
  return left < kStretchBlocks ? left : kStretchBlocks;
}

void store_panel(const Linear& a, int64_t panel, int64_t t, __m512 total) {
  const int64_t n = panel * kPanelRows;
  const int64_t rows = a.w.rows - n < kPanelRows ? a.w.rows - n : kPanelRows;
  const auto mask = static_cast<__mmask16>((1U << rows) - 1);
  if (a.bias != nullptr) total = _mm512_add_ps(total, _mm512_maskz_loadu_ps(mask, a.bias + n));
  _mm512_mask_storeu_ps(a.y + t * a.y_stride + n, mask, total);
}

// The lines of a block as unsigned bytes.
template <typename Codes>
[[gnu::always_inline]] inline void unsigned_lines(const Int8Rule& rule, const StretchMap& map, int64_t block,
                                                  const uint8_t* at, __m512i (&out)[kBlockLines]) {
  const int64_t column = block * kBlockColumns;
  Codes::lines(rule, map, column >> map.group_shift, (column + 16) >> map.group_shift, at, out);
  if (!Codes::kSigned) return;
  for (__m512i& line : out) line = _mm512_xor_si512(line, _mm512_set1_epi8(static_cast<char>(0x80)));
}

void prefetch(const uint8_t* at, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(at + i), _MM_HINT_T0);
}

// One to three tokens: codes are expanded in registers. Panels panel, panel + step, .. take turns block by block, so
// that memory is read evenly; each prefetches ahead, on into the following panel, since hardware prefetchers stop at
// page ends.
template <typename Codes, int kTokens, int kPanels>
void few_tokens_panels(const Linear& a, const Int8Rule& rule, int64_t panel, int64_t step, int64_t ahead_bytes) {
  const Int8Rows x(a);
  const uint8_t* codes[kTokens];
  for (int t = 0; t < kTokens; ++t) codes[t] = x.codes(t);
  StretchMap map[kPanels];
  __m512 total[kPanels][kTokens];
  const uint8_t* base[kPanels];
  for (int p = 0; p < kPanels; ++p) {
    for (__m512& of_token : total[p]) of_token = _mm512_setzero_ps();
    base[p] = panel_at(a.w, panel + p * step);
  }
  const int64_t stretches = (a.w.columns + kStretch - 1) / kStretch;
  const int64_t scale_bytes = a.w.scale_bytes / stretches;  // of a stretch, nearly
  for (int64_t stretch = 0; stretch < stretches; ++stretch) {
    const int64_t blocks = blocks_from(a.w, stretch);
    for (int p = 0; p < kPanels; ++p) {
      prefetch(base[p] + stretch * scale_bytes + ahead_bytes, scale_bytes);
      prepare_stretch(a.w, rule, base[p], stretch, map[p]);
    }
    __m512i sum[kPanels][kTokens];
    for (int t = 0; t < kTokens; ++t) {
      for (int p = 0; p < kPanels; ++p) sum[p][t] = _mm512_set1_epi32(-128 * x.sums(t)[stretch]);
    }
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t column = (stretch * kStretchBlocks + block) * kBlockColumns;
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) {
        const uint8_t* at = base[p] + a.w.scale_bytes + (stretch * kStretchBlocks + block) * Codes::kBytes;
        prefetch(at + ahead_bytes, Codes::kBytes);
        __m512i lines[kBlockLines];
        unsigned_lines<Codes>(rule, map[p], block, at, lines);
#pragma GCC unroll 8
        for (int i = 0; i < kBlockLines; ++i) {
#pragma GCC unroll 3
          for (int t = 0; t < kTokens; ++t) {
            sum[p][t] = _mm512_dpbusd_epi32(sum[p][t], lines[i], four_codes(codes[t] + column + 4 * i));
          }
        }
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      const __m512 scale = _mm512_set1_ps(x.scales(t)[stretch]);
      for (int p = 0; p < kPanels; ++p) {
        const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[p][t]), scale);
        total[p][t] = _mm512_fmadd_ps(value, map[p].step, total[p][t]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int p = 0; p < kPanels; ++p) store_panel(a, panel + p * step, t, total[p][t]);
  }
}

// Each stream runs through consecutive panels in memory. How many: cpu_weight_streams().
template <typename Codes, int kTokens>
void few_tokens(const Linear& a, const Int8Rule& rule, int64_t panel_begin, int64_t panel_end) {
  const WeightStreams streams = cpu_weight_streams();
  int64_t panel = panel_begin;
  if (streams.count == 2) {
    const int64_t step = (panel_end - panel_begin) / 2;
    for (; panel < panel_begin + step; ++panel) {
      few_tokens_panels<Codes, kTokens, 2>(a, rule, panel, step, streams.ahead_bytes);
    }
    panel += step;
  }
  for (; panel < panel_end; ++panel) few_tokens_panels<Codes, kTokens, 1>(a, rule, panel, 1, streams.ahead_bytes);
}

// ---- several tokens ----
// A stretch of two panels is expanded to bytes once, 8 KiB that stay in L1 while tiles of tokens are multiplied by it.

constexpr int kTilePanels = 2;
constexpr int kTileTokens = 12;  // by two panels these are 24 sums: with the weights and a token's codes 27 registers
constexpr int64_t kTokensAtOnce = 264;  // whole tiles, and at least the 256 tokens of a task in ops/cpu
constexpr int64_t kAheadBytes = 2048;   // prefetch distance of codes

struct StretchBytes {
  alignas(64) __m512i line[kStretchBlocks * kBlockLines][kTilePanels];
  __m512 step[kTilePanels];
  int64_t lines;
};

// kTokens tokens from `token` on over a stretch of kPanels panels.
template <int kTokens, int kPanels>
void multiply_tile(const Int8Rows& x, int64_t token, int64_t stretch, const StretchBytes& bytes,
                   __m512 (*total)[kTilePanels]) {
  __m512i sum[kTokens][kPanels];
#pragma GCC unroll 12
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sum[t][p] = _mm512_set1_epi32(-128 * x.sums(token + t)[stretch]);
  }
  const uint8_t* codes = x.codes(token) + stretch * kStretch;
  const int64_t row_bytes = x.row_bytes;
  const int64_t lines = bytes.lines;
  for (int64_t line = 0; line < lines; ++line, codes += 4) {
    __m512i weights[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) weights[p] = bytes.line[line][p];
    const uint8_t* at = codes;
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t, at += row_bytes) {
      const __m512i four = four_codes(at);
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) add_products(sum[t][p], weights[p], four);
    }
  }
#pragma GCC unroll 12
  for (int t = 0; t < kTokens; ++t) {
    const __m512 scale = _mm512_set1_ps(x.scales(token + t)[stretch]);
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t][p]), scale);
      total[t][p] = _mm512_fmadd_ps(value, bytes.step[p], total[t][p]);
    }
  }
}

// Calls multiply_tile<tokens, kPanels>.
template <int kPanels, int kTokens = kTileTokens>
void multiply_tile_of(int64_t tokens, const Int8Rows& x, int64_t token, int64_t stretch, const StretchBytes& bytes,
                      __m512 (*total)[kTilePanels]) {
  if (tokens == kTokens) return multiply_tile<kTokens, kPanels>(x, token, stretch, bytes, total);
  if constexpr (kTokens > 1) multiply_tile_of<kPanels, kTokens - 1>(tokens, x, token, stretch, bytes, total);
}

template <typename Codes, int kPanels>
void fill_bytes(const Linear& a, const Int8Rule& rule, int64_t panel, int64_t stretch, StretchBytes& out) {
  const int64_t blocks = blocks_from(a.w, stretch);
  out.lines = blocks * kBlockLines;
  for (int p = 0; p < kPanels; ++p) {
    const uint8_t* base = panel_at(a.w, panel + p);
    const uint8_t* at = base + a.w.scale_bytes + stretch * kStretchBlocks * Codes::kBytes;
    StretchMap map;
    prepare_stretch(a.w, rule, base, stretch, map);
    out.step[p] = map.step;
    for (int64_t b = 0; b < blocks; ++b, at += Codes::kBytes) {
      prefetch(at + kAheadBytes, Codes::kBytes);
      __m512i block[kBlockLines];
      unsigned_lines<Codes>(rule, map, b, at, block);
      for (int i = 0; i < kBlockLines; ++i) out.line[b * kBlockLines + i][p] = block[i];
    }
  }
}

// At most kTokensAtOnce tokens.
template <typename Codes, int kPanels>
void some_tokens(const Linear& a, const Int8Rule& rule, int64_t panel, int64_t token, int64_t tokens) {
  const Int8Rows x(a);
  StretchBytes bytes;
  __m512 total[kTokensAtOnce][kTilePanels];
  for (int64_t t = 0; t < tokens; ++t) {
    for (int p = 0; p < kPanels; ++p) total[t][p] = _mm512_setzero_ps();
  }
  const int64_t tiles = (tokens + kTileTokens - 1) / kTileTokens;
  for (int64_t stretch = 0; stretch < x.blocks; ++stretch) {
    fill_bytes<Codes, kPanels>(a, rule, panel, stretch, bytes);
    for (int64_t i = 0, first = 0; i < tiles; ++i) {
      const int64_t end = tokens * (i + 1) / tiles;  // all tiles are nearly as large
      multiply_tile_of<kPanels>(end - first, x, token + first, stretch, bytes, total + first);
      first = end;
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int p = 0; p < kPanels; ++p) store_panel(a, panel + p, token + t, total[t][p]);
  }
}

template <typename Codes>
void multiply(const Linear& a, const Int8Rule& rule, int64_t panel_begin, int64_t panel_end) {
  if (a.T == 1) return few_tokens<Codes, 1>(a, rule, panel_begin, panel_end);
  if (a.T == 2) return few_tokens<Codes, 2>(a, rule, panel_begin, panel_end);
  if (a.T == 3) return few_tokens<Codes, 3>(a, rule, panel_begin, panel_end);
  for (int64_t panel = panel_begin; panel < panel_end; panel += kTilePanels) {
    for (int64_t t = 0; t < a.T; t += kTokensAtOnce) {
      const int64_t tokens = a.T - t < kTokensAtOnce ? a.T - t : kTokensAtOnce;
      if (panel + 1 < panel_end) {
        some_tokens<Codes, kTilePanels>(a, rule, panel, t, tokens);
      } else {
        some_tokens<Codes, 1>(a, rule, panel, t, tokens);
      }
    }
  }
}

inline __m512 load_columns(const float* x, int64_t columns) {
  const __mmask16 mask = columns >= 16 ? 0xFFFF : columns <= 0 ? 0 : static_cast<__mmask16>((1U << columns) - 1);
  return _mm512_maskz_loadu_ps(mask, x);
}

// Rows mostly come from memory, in sequence.
constexpr int64_t kAheadFloats = 512;

// The bytes of 64 integers, saturated to -128 .. 127.
inline __m512i signed_bytes(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i lanes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));  // 4 of each a lane
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, lanes);
}

// Encodes a block of up to 256 columns, padded; kWhole: of exactly 256.
template <bool kWhole>
void encode_block(const float* x, int64_t columns, uint8_t* codes, float* scale, int32_t* sum) {
  const int64_t vectors = kWhole ? kInt8Block / 16 : (columns + kInt8Pad - 1) / kInt8Pad * (kInt8Pad / 16);
  const auto load = [&](int64_t i) {
    return kWhole ? _mm512_loadu_ps(x + 16 * i) : load_columns(x + 16 * i, columns - 16 * i);
  };
  // As integers, floats without their signs are in order, and NaN is above infinity.
  __m512i most = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int64_t i = 0; i < vectors; ++i) {
    _mm_prefetch(reinterpret_cast<const char*>(x + 16 * i + kAheadFloats), _MM_HINT_T0);
    most = _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(load(i))));
  }
  const auto bits = static_cast<uint32_t>(_mm512_reduce_max_epu32(most));
  float largest;
  __builtin_memcpy(&largest, &bits, sizeof largest);
  const bool some = !(largest < 1e-30F);
  *scale = some ? largest / 127.0F : 0.0F;
  const __m512 inverse = _mm512_set1_ps(some ? 127.0F / largest : 0.0F);
  __m512i total = _mm512_setzero_si512();
#pragma GCC unroll 4
  for (int64_t i = 0; i < vectors; i += 4) {
    const auto code = [&](int64_t n) { return _mm512_cvtps_epi32(_mm512_mul_ps(load(i + n), inverse)); };
    const __m512i line = signed_bytes(code(0), code(1), code(2), code(3));
    total = _mm512_dpbusd_epi32(total, _mm512_set1_epi8(1), line);
    _mm512_storeu_si512(codes + 16 * i, line);
  }
  *sum = _mm512_reduce_add_epi32(total);
}

// To nearest even; NaN stays NaN.
__m256i to_bf16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, is_nan, quiet), 16));
}

void encode_int8(const float* x, int64_t K, int64_t begin, int64_t end, uint8_t* row) {
  const int64_t padded = (K + kInt8Pad - 1) / kInt8Pad * kInt8Pad;
  const int64_t blocks = (K + kInt8Block - 1) / kInt8Block;
  auto* scales = reinterpret_cast<float*>(row + padded);
  auto* sums = reinterpret_cast<int32_t*>(scales + blocks);
  for (int64_t k = begin; k < end; k += kInt8Block) {
    const int64_t columns = end - k < kInt8Block ? end - k : kInt8Block;
    if (columns == kInt8Block) {
      encode_block<true>(x + k, columns, row + k, scales + k / kInt8Block, sums + k / kInt8Block);
    } else {
      encode_block<false>(x + k, columns, row + k, scales + k / kInt8Block, sums + k / kInt8Block);
    }
  }
}

void encode_bf16(const float* x, int64_t begin, int64_t end, uint8_t* row) {
  for (int64_t k = begin; k < end || k % kActivationBlock != 0; k += 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + 2 * k), to_bf16(load_columns(x + k, end - k)));
  }
}

}  // namespace

void encode_activations(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes) {
  for (int64_t t = 0; t < T; ++t) {
    auto* row = reinterpret_cast<uint8_t*>(out + t * row_bytes);
    if (type == ActivationType::kInt8) {
      encode_int8(x + t * x_stride, K, begin, end, row);
    } else {
      encode_bf16(x + t * x_stride, begin, end, row);
    }
  }
}

void linear_int8(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  const Int8Rule rule = int8_rule(a.w.layout, Int8Sign::kUnsigned);
  if (rule.is_centred4) return multiply<CentredCodes4>(a, rule, panel_begin, panel_end);
  switch (a.w.layout.codes) {
    case WeightCodes::kU2:
      return multiply<BlockCodes<WeightCodes::kU2>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU3:
      return multiply<BlockCodes<WeightCodes::kU3>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU4:
      return multiply<BlockCodes<WeightCodes::kU4>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU5:
      return multiply<BlockCodes<WeightCodes::kU5>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU6:
      return multiply<BlockCodes<WeightCodes::kU6>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kU8:
      return multiply<BlockCodes<WeightCodes::kU8>>(a, rule, panel_begin, panel_end);
    case WeightCodes::kTable4:
      return multiply<BlockCodes<WeightCodes::kTable4>>(a, rule, panel_begin, panel_end);
    default:
      __builtin_unreachable();
  }
}

}  // namespace glimmer::kernels::avx512
