// The interface of CPU kernels: one function per operation. A table is one implementation: ref, avx2, avx_vnni,
// avx512, avx512_bf16, amx.
//
// Kernels take raw pointers and sizes, do one thread's share, and neither allocate, throw nor log. Strides count
// elements unless they say bytes. Sums run over k in an order that does not depend on the other sizes, so a token's
// result is bit-identical in every batch, range and thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/weight_layout.h"

namespace glimmer::kernels {

// Type of a matmul's left operand. kF32 is exact; the others are faster, at the cost of rounding:
//   kBF16        rounded to nearest even
//   kInt8        quantised, one scale per 256 columns: scale = max |x| / 127, code = x * (127 / max |x|) rounded to
//                nearest even; scale and codes are 0 where max |x| < 1e-30, and scale is NaN where an x is
//   kInt8Groups  the same with one scale per 128 columns, for matmuls with the weights' own codes, group by group
enum class ActivationType : uint8_t { kF32, kBF16, kInt8, kInt8Groups };

inline constexpr int64_t kActivationBlock = 128;  // columns per scale of kInt8Groups; rows are padded to a multiple
// Columns per scale of kInt8. Sums leave the tile unit once per block: 256 halve that cost against 128, and 512 would
// gain 2.5 % at 2,048 tokens but lose 1.5 % at 512 (docs/perf.md), with coarser weights.
inline constexpr int64_t kInt8Block = 256;
inline constexpr int64_t kInt8Pad = 64;  // kInt8 rows are padded to a multiple of this: the columns of one AMX tile

// Encoded rows, `row_bytes` apart. Kp is K rounded up to a multiple of 128:
//   kF32   K floats, no padding
//   kBF16  Kp values, zeros from K on
//   kInt8  K codes, zeros up to a multiple of 64, then for each block a scale (f32), then for each a sum of codes (i32)
//   kInt8Groups  Kp codes (zeros from K on), then Kp / 128 scales (f32), then Kp / 16 sums of codes (f32)
struct EncodedRows {
  ActivationType type = ActivationType::kF32;
  const std::byte* data = nullptr;  // aligned to 64 bytes but for kF32
  int64_t row_bytes = 0;
};
// Stride of consecutive rows: an odd multiple of 64, so that the cache lines of 16 rows do not compete for cache sets.
int64_t activation_row_bytes(ActivationType type, int64_t K);  // not kF32

// Kernels may read rows beyond T up to a multiple of this (an AMX tile), but for kF32. Their contents do not matter.
inline constexpr int64_t kRowsReadAtOnce = 16;

// With x of kInt8, weights are requantised to 8 bits on the fly, on one grid per row and block of columns, so that
// integer sums run over the whole block whatever the group size is. With s, o the scale and offset of a group (o = -s *
// zero point or -s * z where they are not stored; none with a table), and lo, hi the smallest and largest code or table
// value:
//   M    = max over the groups of max(|fma(s, lo, o)|, |fma(s, hi, o)|)
//   step = M * (1 / 127), inv = 127 / M, both 0 where M < 1e-30
// Of kU4 with zero point 8 and no offsets
//   w8   = mulhrs((code - 8) * 2^12 + 1, A),  A = rint((s * inv) * 8)
// and of others
//   w8   = (w16 + 128) >> 8, where w16 is 2^8 w / step in 16 bits (wrapping around, arithmetic shifts):
//     kU2..kU6  w16 = code * A + B,  A = rint((s * inv) * 256), B = rint((o * inv) * 256), or -zero_point * A
//
//     kU8       w16 = mulhrs((code - 128) << 8, A) + B,  A = rint((s * inv) * 32768),
//               B = rint((fma(128, s, o) * inv) * 256)
//
//     kTable4   w16 = mulhrs(T[code], A),  T[i] = rint(table[i] / t * 32767), t = max |table|,
//               A = rint((s * inv) * (t * 256))
//
//   mulhrs(a, b) = (a * b + 2^14) >> 15; rint is to nearest even; all floats are f32.

// y[t][n] = bias[n] + sum over k < K of x[t][k] * w[n][k],  t < T, n in the given panels, K = w.columns.
// Sums are f32 (ref: f64 for kF32), and their order is:
//   kF32   one chain a (t, n) over k, of the decoded weight
//   kBF16  total = 0; for each 32 columns two fma chains from 0, of the even and the odd columns; their sum is added to
//          the total. Subnormal numbers count as 0. As TDPBF16PS. For kBF16 weights only.
//   kInt8  total = 0; for each block total = fma(float(sum of w8 * code) * scale of x, step, total). All tables
//          agree to the bit.
//   kInt8Groups  total = 0; for each 128 columns part = 0, and for each 32 of them (16 where groups are of 16):
//          part = fma(scale, float(sum of w's code * x's code), part), part = fma(offset, float(sum of x's codes),
//          part), with the offset -scale * zero point where none is stored; a table's codes are its values times 1, 2
//          or 4, and its scales that much smaller. Then total = fma(part, scale of x, total), with NaN for an infinite
//          part. All tables agree to the bit.
// The bias is added to the total at the end.
struct Linear {
  EncodedRows x;  // [T, K]
  WeightMatrix w;
  const float* bias = nullptr;  // [N] or null
  float* y = nullptr;           // [T, N], rows y_stride apart
  int64_t y_stride = 0;
  int64_t T = 0;
};

// Types of the KV cache. Attention reads floats; decode_kv dequantises 8-bit codes to bf16 first: code * scale, rounded
// to f32 and then to nearest even. Codes have one f32 scale per kKvGroup columns of a row; the last group may be
// shorter:
//   kInt8     scale = max |x| / 127, code = x * (127 / max |x|) rounded to nearest even
//   kF8E4M3   scale = max |x| / 448, code = x * (448 / max |x|) rounded to nearest even
// Scale and codes are 0 where max |x| < 1e-30; where an x is not finite the scale is NaN.
enum class KvType : uint8_t { kF32, kBF16, kInt8, kF8E4M3 };

// Scales cost 4 / kKvGroup bytes a value (6 % of the codes); finer groups lose less precision but take more memory.
inline constexpr int64_t kKvGroup = 64;

struct KvDecode {
  KvType type = KvType::kInt8;
  const std::byte* codes = nullptr;  // [rows, dim]
  const float* scales = nullptr;     // [rows, groups]
  int64_t rows = 0;
  int64_t dim = 0;
  uint16_t* out = nullptr;  // [rows, dim]
};

// Attention runs over blocks of kAttentionBlock keys, aligned to multiples of it. Blocks are folded in order within a
// span, and spans in order, so that the bits do not depend on how keys are divided among threads (split-KV). A
// larger block would be folded less often, but it is also a page of the KV cache, whose last one is half empty on
// average. Spans of 4,096 keys would gain 2 % at depth 8,192 and cost more partial states elsewhere (docs/perf.md).
inline constexpr int64_t kAttentionBlock = 256;
inline constexpr int64_t kAttentionSpan = 4 * kAttentionBlock;

// Queries of one key head. Row r is head r % heads of token r / heads.
struct AttentionQueries {
  KvType type = KvType::kF32;        // of the keys that they attend to
  const float* q = nullptr;          // [tokens, heads, qk_dim]
  const uint16_t* q_bf16 = nullptr;  // or already rounded to bf16, for tables whose takes_bf16_queries says so
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int64_t heads = 0;
  int64_t rows = 0;
  int64_t qk_dim = 0;
  int64_t v_dim = 0;            // of the values
  std::byte* packed = nullptr;  // out, in a layout private to the table: attention_query_bytes, aligned to 64 bytes
};

// Partial softmax state of some queries over a subset of keys: max = the largest score, sum = sum over the keys of
// exp(score - max), out = sum of exp(score - max) * value. A row that saw no key has sum 0 and out 0.
struct AttentionState {
  float* max = nullptr;  // [rows], padded to a multiple of 32
  float* sum = nullptr;  // the same
  float* out = nullptr;  // [rows, v_dim], rows out_stride apart
  int64_t out_stride = 0;
};

// Attention of `rows` queries over the first `keys` keys of one block, score = scale * q . k. Row r sees the first
// visible[r] of them. With kBF16 a table may round queries and exp(score - max) to bf16.
struct AttentionBlock {
  KvType type = KvType::kF32;
  const std::byte* k = nullptr;  // [keys, qk_dim], rows k_stride values apart; readable up to a whole block
  const std::byte* v = nullptr;  // [keys, v_dim], rows v_stride values apart, readable as k is; may be part of k
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int64_t keys = 0;  // 1 .. kAttentionBlock
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  float scale = 0;
  const std::byte* queries = nullptr;  // packed, `rows` of them
  int64_t rows = 0;
  const int32_t* visible = nullptr;  // [rows], 0 .. keys; zeros from there to a multiple of 32
  bool fold = false;                 // fold the result into the state, or overwrite the state
  AttentionState state;
  std::byte* scratch = nullptr;  // attention_scratch_bytes, aligned to 64 bytes
  // Keys that the next call will read, or null: a hint to prefetch them.
  const std::byte* next_k = nullptr;
};

// Folds `other` into `into`, row by row:
//   m = max(into.max, other.max), a = exp(into.max - m), b = exp(other.max - m)
//   sum = fma(into.sum, a, other.sum * b), out = fma(into.out, a, other.out * b)
struct AttentionFold {
  AttentionState into;
  AttentionState other;
  int64_t rows = 0;
  int64_t v_dim = 0;
};

// Buffer sizes that suffice for every table.
int64_t attention_query_bytes(int64_t rows, int64_t qk_dim);
int64_t attention_scratch_bytes(int64_t qk_dim);

// Rotates `pairs` pairs of one vector: (a, b) -> (a cos - b sin, b cos + a sin). The first halves of the pairs lie
// `step` apart from x on, the second halves the same from x + second_offset on.
struct Rope {
  float* x = nullptr;
  const float* cos = nullptr;  // [pairs]
  const float* sin = nullptr;  // [pairs]
  int64_t pairs = 0;
  int64_t step = 1;
  int64_t second_offset = 0;
};

struct KernelTable {
  std::string_view name;
  std::string_view requires_cpu;  // required CPU features, for display
  bool (*supported)();            // by this processor and operating system

  // The activation type with which linear is fastest for such weights. linear accepts this type and kF32.
  ActivationType (*fast_activations)(const WeightLayout& layout);
  // Encodes columns [begin, end) of T rows into rows of `out`; begin is a multiple of 256, and so is end unless it is
  // K. Not for kF32.
  void (*encode_activations)(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                             int64_t end, std::byte* out, int64_t row_bytes);
  void (*linear)(const Linear& args, int64_t panel_begin, int64_t panel_end);
  // out[i] = row row_begin + i of the weights as f32, rows out_stride apart
  void (*decode_rows)(const WeightMatrix& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride);
  void (*decode_kv)(const KvDecode& args);
  // Whether attention_queries rounds to bf16, and so accepts queries that round_queries has rounded.
  bool (*takes_bf16_queries)(KvType type, int64_t qk_dim, int64_t v_dim);
  // Rounds rows of `columns` values to bf16, with non-temporal stores. columns and out_stride are multiples of 32, out
  // is aligned to 64 bytes. Null in tables that accept no bf16 queries.
  void (*round_queries)(const float* x, int64_t x_stride, int64_t rows, int64_t columns, uint16_t* out,
                        int64_t out_stride);
  void (*attention_queries)(const AttentionQueries& args);
  void (*attention_block)(const AttentionBlock& args);
  void (*attention_fold)(const AttentionFold& args);
  // out[i] = weight[i] * x[i] / sqrt(mean(x^2) + eps), i < n; out may be x
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out);
  // out[i] = silu(gate[i]) * up[i]; out may be either input
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* out);
  // out[i] = sum over the rows, in their order from 0, of weights[r] * rows[r][i], i < n; out may be one of the rows
  void (*weighted_sum)(const float* const* rows, const float* weights, int64_t count, int64_t n, float* out);
  void (*rope)(const Rope& args);
};

// Every table in this build, slowest first: "ref" and those of the target architecture.
std::span<const KernelTable* const> all_tables();

// The fastest table that this processor supports, or the one named. Throws kUsage for an unknown name (listing the
// known), and kUnsupported for one that this processor cannot run.
const KernelTable& best_table();
const KernelTable& table_by_name(std::string_view name);

}  // namespace glimmer::kernels
