#include "kernels/ref/linear.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/activations.h"
#include "tensor/dtype.h"
#include "tensor/weight_matrix.h"

namespace glimmer::kernels::ref {
namespace {

constexpr int64_t kBlock = kActivationBlock;
constexpr int64_t kSumColumns = 16;  // of a sum of codes in kInt8Groups

int64_t block_count(int64_t K) { return (K + kBlock - 1) / kBlock; }
int64_t int8_block_count(int64_t K) { return (K + kInt8Block - 1) / kInt8Block; }
int64_t int8_padded(int64_t K) { return (K + kInt8Pad - 1) / kInt8Pad * kInt8Pad; }

void encode_bf16(const float* x, int64_t begin, int64_t end, std::byte* row) {
  for (int64_t i = begin; i < block_count(end) * kBlock; ++i) {
    const uint16_t bits = i < end ? f32_to_bf16(x[i]) : 0;
    std::memcpy(row + 2 * i, &bits, sizeof bits);
  }
}

// Returns the scale. It is NaN, and the codes 0, if the block is not finite: so
// is then all that it is multiplied with.
float encode_int8_block(const float* x, int64_t count, int64_t padded, int8_t* codes) {
  std::fill_n(codes, padded, int8_t{0});
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(x[i])) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::abs(x[i]));
  }
  if (largest < 1e-30F) return 0;
  const float inverse = 127.0F / largest;
  for (int64_t i = 0; i < count; ++i) codes[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
  return largest / 127.0F;
}

void encode_int8(const float* x, int64_t K, int64_t begin, int64_t end, std::byte* row) {
  auto* codes = reinterpret_cast<int8_t*>(row);
  auto* scales = reinterpret_cast<float*>(row + int8_padded(K));
  auto* sums = reinterpret_cast<int32_t*>(scales + int8_block_count(K));
  for (int64_t column = begin; column < end; column += kInt8Block) {
    const int64_t count = std::min(kInt8Block, end - column);
    scales[column / kInt8Block] = encode_int8_block(x + column, count, int8_padded(count), codes + column);
    sums[column / kInt8Block] = std::accumulate(codes + column, codes + column + count, 0);
  }
}

void encode_int8_groups(const float* x, int64_t K, int64_t begin, int64_t end, std::byte* row) {
  const int64_t blocks = block_count(K);
  auto* codes = reinterpret_cast<int8_t*>(row);
  auto* scales = reinterpret_cast<float*>(row + blocks * kBlock);
  auto* sums = scales + blocks;
  for (int64_t column = begin; column < end; column += kBlock) {
    scales[column / kBlock] = encode_int8_block(x + column, std::min(kBlock, end - column), kBlock, codes + column);
    for (int64_t i = column; i < column + kBlock; i += kSumColumns) {
      sums[i / kSumColumns] = static_cast<float>(std::accumulate(codes + i, codes + i + kSumColumns, 0));
    }
  }
}

// Rows of weights are widened a part at a time, for some tokens at once: a
// kernel allocates nothing.
constexpr int64_t kColumns = 1024;
constexpr int64_t kTokens = 16;

using TokenSums = std::array<double, kTokens>;

// ---- kF32 ----

void dot_f32(const Linear& a, int64_t n, int64_t t_begin, int64_t tokens, float* out) {
  std::array<float, kColumns> weights;
  TokenSums sums = {};
  for (int64_t k0 = 0; k0 < a.w.columns; k0 += kColumns) {
    const int64_t k1 = std::min(k0 + kColumns, a.w.columns);
    decode_weight_columns(a.w, n, k0, k1, weights.data());
    for (int64_t t = 0; t < tokens; ++t) {
      const auto* x = reinterpret_cast<const float*>(a.x.data + (t_begin + t) * a.x.row_bytes);
      for (int64_t k = k0; k < k1; ++k) sums[t] += static_cast<double>(x[k]) * weights[k - k0];
    }
  }
  for (int64_t t = 0; t < tokens; ++t) out[t] = static_cast<float>(sums[t]);
}

// ---- kBF16 ----

// A tile's arithmetic has no subnormal numbers.
float flush(float value) { return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value; }

float bf16_at(const std::byte* row, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, row + 2 * i, sizeof bits);
  return flush(bf16_to_f32(bits));
}

void dot_bf16(const Linear& a, int64_t n, int64_t t_begin, int64_t tokens, float* out) {
  std::array<float, kColumns> weights;
  std::fill_n(out, tokens, 0.0F);
  for (int64_t k0 = 0; k0 < a.w.columns; k0 += kColumns) {
    const int64_t k1 = std::min(k0 + kColumns, a.w.columns);
    decode_weight_columns(a.w, n, k0, k1, weights.data());
    for (int64_t k = k0; k < k1; ++k) weights[k - k0] = flush(weights[k - k0]);
    for (int64_t t = 0; t < tokens; ++t) {
      const std::byte* x = a.x.data + (t_begin + t) * a.x.row_bytes;
      for (int64_t block = k0; block < k1; block += kBlockColumns) {
        std::array<float, 2> chains = {};
        for (int64_t k = block; k < std::min(block + kBlockColumns, k1); ++k) {
          float& chain = chains[k % 2];
          chain = flush(std::fma(bf16_at(x, k), weights[k - k0], chain));
        }
        out[t] = flush(out[t] + flush(chains[0] + chains[1]));
      }
    }
  }
}

// ---- kInt8 ----

// rint; 0 for what takes a scale that is not finite.
int rounded(float x) { return std::isfinite(x) ? static_cast<int>(std::nearbyint(x)) : 0; }

int16_t wrapped(int x) { return static_cast<int16_t>(x); }

int16_t mulhrs(int a, int b) { return wrapped((a * b + (1 << 14)) >> 15); }

// Weights taken to 8 bits.
class Int8Weights {
 public:
  explicit Int8Weights(const WeightMatrix& w)
      : w_(w),
        codes_(w),
        is_centred4_(w.layout.codes == WeightCodes::kU4 && w.layout.offsets == WeightOffsets::kZeroPoint &&
                     w.layout.zero_point == 8) {
    // Without scales, values are the codes.
    codes_.layout.scales = WeightScales::kNone;
    if (w.layout.codes != WeightCodes::kTable4) {
      highest_ = static_cast<float>((1 << weight_code_bits(w.layout.codes)) - 1);
      return;
    }
    codes_.layout.codes = WeightCodes::kU4;
    const float* table = w.layout.table;
    lowest_ = *std::min_element(table, table + 16);
    highest_ = *std::max_element(table, table + 16);
    table_largest_ = std::max(std::abs(lowest_), std::abs(highest_));
    for (int i = 0; i < 16; ++i) table_[i] = rounded(table[i] / table_largest_ * 32767.0F);
  }

  // Of columns [begin, end) of a row, a block. Returns their step.
  float block(int64_t row, int64_t begin, int64_t end, int8_t* out) const {
    const float largest = largest_weight(row, begin, end);
    const bool is_zero = largest < 1e-30F;
    const float inverse = is_zero ? 0 : 127.0F / largest;
    std::array<float, kInt8Block> codes;
    decode_weight_columns(codes_, row, begin, end, codes.data());
    for_groups(begin, end, [&](int64_t from, int64_t to) {
      float scale = 0;
      float offset = 0;
      weight_scale(w_, row, from / w_.layout.group, &scale, &offset);
      for (int64_t i = from; i < to; ++i) {
        out[i - begin] = to_8_bits(static_cast<int>(codes[i - begin]), scale, offset, inverse);
      }
    });
    return is_zero ? 0 : largest * (1.0F / 127.0F);
  }

 private:
  // Calls visit(from, to) for the columns of each group.
  template <typename Visit>
  void for_groups(int64_t begin, int64_t end, const Visit& visit) const {
    const int64_t group = w_.layout.group;
    for (int64_t from = begin; from < end;) {
      const int64_t to = std::min((from / group + 1) * group, end);
      visit(from, to);
      from = to;
    }
  }

  // NaN if a scale is.
  float largest_weight(int64_t row, int64_t begin, int64_t end) const {
    float largest = 0;
    for_groups(begin, end, [&](int64_t from, int64_t) {
      float scale = 0;
      float offset = 0;
      weight_scale(w_, row, from / w_.layout.group, &scale, &offset);
      for (const float code : {lowest_, highest_}) {
        const float magnitude = std::abs(std::fma(scale, code, offset));
        if (!(magnitude <= largest)) largest = std::isnan(largest) ? largest : magnitude;
      }
    });
    return largest;
  }

  int8_t to_8_bits(int code, float scale, float offset, float inverse) const {
    if (is_centred4_) {
      const int factor = wrapped(rounded(scale * inverse * 8.0F));
      return static_cast<int8_t>(mulhrs((code - 8) * 4096 + 1, factor));
    }
    return static_cast<int8_t>(wrapped(to_16_bits(code, scale, offset, inverse) + 128) >> 8);
  }

  int16_t to_16_bits(int code, float scale, float offset, float inverse) const {
    const float factor = scale * inverse;
    switch (w_.layout.codes) {
      case WeightCodes::kTable4:
        return mulhrs(table_[static_cast<size_t>(code)], wrapped(rounded(factor * (table_largest_ * 256.0F))));
      case WeightCodes::kU8: {
        const int base = rounded(std::fma(128.0F, scale, offset) * inverse * 256.0F);
        return wrapped(mulhrs((code - 128) * 256, wrapped(rounded(factor * 32768.0F))) + base);
      }
      default: {
        const int to_fixed = rounded(factor * 256.0F);
        const int base = w_.layout.offsets == WeightOffsets::kZeroPoint
                             ? -static_cast<int>(w_.layout.zero_point) * to_fixed
                             : rounded(offset * inverse * 256.0F);
        return wrapped(code * to_fixed + base);
      }
    }
  }

  const WeightMatrix& w_;
  WeightMatrix codes_;
  bool is_centred4_;
  float lowest_ = 0;  // code, or value of the table
  float highest_ = 0;
  float table_largest_ = 0;
  std::array<int, 16> table_ = {};
};

void dot_int8(const Linear& a, int64_t n, int64_t t_begin, int64_t tokens, float* out) {
  const Int8Weights weights(a.w);
  const int64_t K = a.w.columns;
  std::fill_n(out, tokens, 0.0F);
  for (int64_t begin = 0; begin < K; begin += kInt8Block) {
    const int64_t end = std::min(begin + kInt8Block, K);
    std::array<int8_t, kInt8Block> w;
    const float step = weights.block(n, begin, end, w.data());
    for (int64_t t = 0; t < tokens; ++t) {
      const std::byte* row = a.x.data + (t_begin + t) * a.x.row_bytes;
      const auto* x = reinterpret_cast<const int8_t*>(row) + begin;
      const auto* scales = reinterpret_cast<const float*>(row + int8_padded(K));
      const auto sum = static_cast<float>(std::inner_product(x, x + (end - begin), w.begin(), 0));
      out[t] = std::fma(sum * scales[begin / kInt8Block], step, out[t]);
    }
  }
}

// ---- kInt8Groups ----

void dot_int8_groups(const Linear& a, int64_t n, int64_t t_begin, int64_t tokens, float* out) {
  const int64_t K = a.w.columns;
  const int64_t piece = a.w.layout.group == kSumColumns ? kSumColumns : 2 * kSumColumns;
  const bool is_table = a.w.layout.codes == WeightCodes::kTable4;
  const auto unit = static_cast<float>(is_table ? table_unit(a.w.layout.table) : 1);
  WeightMatrix codes = a.w;
  codes.layout.scales = WeightScales::kNone;  // values are codes, or the table's
  for (int64_t t = 0; t < tokens; ++t) {
    const std::byte* row = a.x.data + (t_begin + t) * a.x.row_bytes;
    const auto* x = reinterpret_cast<const int8_t*>(row);
    const auto* x_scales = reinterpret_cast<const float*>(row + block_count(K) * kBlock);
    out[t] = 0;
    for (int64_t begin = 0; begin < K; begin += kBlock) {
      float part = 0;
      const int64_t end = std::min(begin + kBlock, K);
      for (int64_t from = begin; from < end; from += piece) {
        const int64_t to = std::min(from + piece, end);
        std::array<float, 2 * kSumColumns> w;
        decode_weight_columns(codes, n, from, to, w.data());
        float scale = 0;
        float offset = 0;
        weight_scale(a.w, n, from / a.w.layout.group, &scale, &offset);
        int dot = 0;
        for (int64_t k = from; k < to; ++k) dot += static_cast<int>(w[k - from] * unit) * x[k];
        part = std::fma(scale / unit, static_cast<float>(dot), part);
        part = std::fma(offset, static_cast<float>(std::accumulate(x + from, x + to, 0)), part);
      }
      out[t] = std::fma(std::fma(part, 0.0F, part), x_scales[begin / kBlock], out[t]);
    }
  }
}

}  // namespace

ActivationType fast_activations(const WeightLayout& layout) {
  return has_int8_weights(layout) ? ActivationType::kInt8 : ActivationType::kF32;
}

void encode_activations(ActivationType type, const float* x, int64_t x_stride, int64_t T, int64_t K, int64_t begin,
                        int64_t end, std::byte* out, int64_t row_bytes) {
  for (int64_t t = 0; t < T; ++t) {
    const float* from = x + t * x_stride;
    std::byte* row = out + t * row_bytes;
    if (type == ActivationType::kBF16) encode_bf16(from, begin, end, row);
    if (type == ActivationType::kInt8) encode_int8(from, K, begin, end, row);
    if (type == ActivationType::kInt8Groups) encode_int8_groups(from, K, begin, end, row);
  }
}

void linear(const Linear& a, int64_t panel_begin, int64_t panel_end) {
  const int64_t n_end = std::min(panel_end * kPanelRows, a.w.rows);
  for (int64_t n = panel_begin * kPanelRows; n < n_end; ++n) {
    for (int64_t t0 = 0; t0 < a.T; t0 += kTokens) {
      const int64_t tokens = std::min(kTokens, a.T - t0);
      std::array<float, kTokens> sums;
      if (a.x.type == ActivationType::kF32) dot_f32(a, n, t0, tokens, sums.data());
      if (a.x.type == ActivationType::kBF16) dot_bf16(a, n, t0, tokens, sums.data());
      if (a.x.type == ActivationType::kInt8) dot_int8(a, n, t0, tokens, sums.data());
      if (a.x.type == ActivationType::kInt8Groups) dot_int8_groups(a, n, t0, tokens, sums.data());
      for (int64_t t = 0; t < tokens; ++t) {
        a.y[(t0 + t) * a.y_stride + n] = a.bias != nullptr ? sums[t] + a.bias[n] : sums[t];
      }
    }
  }
}

void decode_rows(const WeightMatrix& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    decode_weight_columns(w, row, 0, w.columns, out + (row - row_begin) * out_stride);
  }
}

}  // namespace glimmer::kernels::ref
