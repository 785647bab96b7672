// The whole backend interface: one function an operation. A table is one implementation: ref, avx2, avx_vnni,
// avx512, avx512_bf16, amx.
//
// Kernels take raw pointers and sizes, work on what one thread was given, allocate nothing, throw nothing and log
// nothing. Strides count elements unless they say bytes. Sums run over k in an order that does not depend on the other
// sizes, so a token's result is the same, bit for bit, whatever batch, range or thread it is computed in.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/weight_layout.h"

namespace glimmer::kernels {

// What a product reads on its left side. kF32 is exact; the others are faster and lose what rounding takes:
//   kBF16  rounded to nearest even
//   kInt8  integers of 8 bits: for each 256 columns scale = max |x| / 127, code = x * (127 / max |x|) rounded to
//   nearest
//          even; scale and codes are 0 where max |x| < 1e-30, and scale is NaN where an x is
//   kInt8Groups  the same with a scale for each 128 columns, for products with weights' own codes, group by group
enum class ActivationType : uint8_t { kF32, kBF16, kInt8, kInt8Groups };

inline constexpr int64_t kActivationBlock = 128;
inline constexpr int64_t kInt8Block = 256;  // of kInt8
inline constexpr int64_t kInt8Pad = 64;     // its last block is filled up to a multiple of this only

// Rows in such a type, each `row_bytes` long, K columns rounded up to a multiple of 128, Kp:
//   kF32   K floats; nothing is filled up
//   kBF16  Kp values, zeros from K on
//   kInt8  K codes, zeros up to a multiple of 64, then for each block a scale (f32), then for each a sum of codes (i32)
//   kInt8Groups  Kp codes (zeros from K on), then Kp / 128 scales (f32), then Kp / 16 sums of codes (f32)
struct Activations {
  ActivationType type = ActivationType::kF32;
  const std::byte* data = nullptr;  // aligned to 64 bytes but for kF32
  int64_t row_bytes = 0;
};
// Of rows one after the other, an odd multiple of 64 so that the lines of 16 rows do not compete for cache sets.
int64_t activation_row_bytes(ActivationType type, int64_t K);  // not kF32

// Kernels may read rows beyond T up to a multiple of this, if the type is not kF32. What they hold does not matter.
inline constexpr int64_t kRowsReadAtOnce = 16;

// Where x is kInt8, weights are taken to 8 bits on the way, on one grid for each row and block of columns, so that
// integer sums run over the block whatever the groups are. With s, o the scale and offset of a group (o = -s * zero
// point or -s * z where they are not stored; none with a table), and the smallest and largest code or table value lo,
// hi:
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
  Activations x;  // [T, K]
  WeightMatrix w;
  const float* bias = nullptr;  // [N] or null
  float* y = nullptr;           // [T, N], rows y_stride apart
  int64_t y_stride = 0;
  int64_t T = 0;
};

// Keys and values in memory. Attention takes floats; of codes decode_kv makes bf16 first: code * scale, rounded to f32
// and then to nearest even. Codes have an f32 scale for each kKvGroup columns of a row, the last group may be shorter:
//   kInt8     scale = max |x| / 127, code = x * (127 / max |x|) rounded to nearest even
//   kF8E4M3   scale = max |x| / 448, code = x * (448 / max |x|) rounded to nearest even
// Scale and codes are 0 where max |x| < 1e-30; where an x is not finite the scale is NaN.
enum class KvType : uint8_t { kF32, kBF16, kInt8, kF8E4M3 };

inline constexpr int64_t kKvGroup = 64;

struct KvDecode {
  KvType type = KvType::kInt8;
  const std::byte* codes = nullptr;  // [rows, dim]
  const float* scales = nullptr;     // [rows, groups]
  int64_t rows = 0;
  int64_t dim = 0;
  uint16_t* out = nullptr;  // [rows, dim]
};

// Attention runs over blocks of this many keys, at positions that are multiples of it whoever computes them. Blocks are
// folded in their order within a span, and spans in theirs, so that it does not show how the work was divided.
inline constexpr int64_t kAttentionBlock = 256;
inline constexpr int64_t kAttentionSpan = 4 * kAttentionBlock;

// Queries of one key head. Row r is head r % heads of token r / heads.
struct AttentionQueries {
  KvType type = KvType::kF32;        // of the keys that they will meet
  const float* q = nullptr;          // [tokens, heads, qk_dim]
  const uint16_t* q_bf16 = nullptr;  // if not null, the same rounded to bf16: for tables that takes_bf16_queries
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int64_t heads = 0;
  int64_t rows = 0;
  int64_t qk_dim = 0;
  int64_t v_dim = 0;            // of the values that they will meet
  std::byte* packed = nullptr;  // out, in an order of the table's own: attention_query_bytes, aligned to 64 bytes
};

// What queries gathered from some keys: max = the largest score, sum = sum over the keys of exp(score - max), out = the
// same sum of exp(score - max) * value. A row that saw none has sum 0 and out 0.
struct AttentionState {
  float* max = nullptr;  // [rows], and room for as many as make it a multiple of 32
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
  bool fold = false;                 // whether the result is folded into the state, or is the state
  AttentionState state;
  std::byte* scratch = nullptr;  // attention_scratch_bytes, aligned to 64 bytes
  // Keys that the next call reads, or null: a table may begin to fetch them.
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

// For all tables.
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
  std::string_view requires_cpu;  // what the processor must have, for people
  bool (*supported)();            // by this processor and operating system

  // The type that linear takes fastest for such weights; kF32 always works, and what this returns.
  ActivationType (*fast_activations)(const WeightLayout& layout);
  // Columns [begin, end) of T rows, begin a multiple of 256 and end too or K, into rows of `out`. Not kF32.
  void (*encode_activations)(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                             int64_t end, std::byte* out, int64_t row_bytes);
  void (*linear)(const Linear& args, int64_t panel_begin, int64_t panel_end);
  // out[i] = row row_begin + i of the weights as f32, rows out_stride apart
  void (*decode_rows)(const WeightMatrix& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride);
  void (*decode_kv)(const KvDecode& args);
  // Whether attention_queries rounds to bf16, and so takes what round_queries rounded before.
  bool (*takes_bf16_queries)(KvType type, int64_t qk_dim, int64_t v_dim);
  // Rows of `columns` values to bf16, past the caches. columns and out_stride are multiples of 32, out aligned to 64
  // bytes. Null in tables that take none.
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

// Every table in this build, slowest first: "ref" and those of the processor family it was built for.
std::span<const KernelTable* const> all_tables();

// The fastest that this processor supports, or the one named. Throws kUsage for an unknown name (listing the known),
// and kUnsupported for one that this processor lacks.
const KernelTable& best_table();
const KernelTable& table_by_name(std::string_view name);

}  // namespace glimmer::kernels
