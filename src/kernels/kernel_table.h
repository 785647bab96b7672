// The whole backend interface: one function an operation. A table is one implementation: ref, avx2, avx512.
//
// Kernels take raw pointers and sizes, work on what one thread was given, allocate nothing, throw nothing and log
// nothing. Strides count elements. All activations are float32. Sums run over k in an order that does not depend on the
// other sizes, so a token's result is the same, bit for bit, whatever batch or range it is computed in.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/weight_layout.h"

namespace glimmer::kernels {

// Rows of weights in one of the layouts of tensor/weight_layout.h.
struct Weights {
  WeightLayout layout;
  int64_t columns = 0;
  const std::byte* codes = nullptr;
  int64_t code_row_bytes = 0;
  const std::byte* scales = nullptr;  // null for the float layouts
  int64_t scale_row_bytes = 0;
};

// y[t][n] = bias[n] + sum over k < K of x[t][k] * w[n][k],  t < T, n_begin <= n < n_end, K = w.columns
struct Linear {
  const float* x = nullptr;  // [T, K], rows x_stride apart
  int64_t x_stride = 0;
  Weights w;
  const float* bias = nullptr;  // [N] or null
  float* y = nullptr;           // [T, N], rows y_stride apart
  int64_t y_stride = 0;
  int64_t T = 0;
};

// y[t][d] = sum over j < J(t) of p[t][j] * v[j][d],  t < T, d < D, where J(t) = first_count + t / rows_a_step
struct WeightedSum {
  const float* p = nullptr;  // rows p_stride apart
  int64_t p_stride = 0;
  const float* v = nullptr;  // rows v_stride apart
  int64_t v_stride = 0;
  float* y = nullptr;  // rows y_stride apart
  int64_t y_stride = 0;
  int64_t T = 0;
  int64_t D = 0;
  int64_t first_count = 0;
  int64_t rows_a_step = 1;
};

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

  void (*linear)(const Linear& args, int64_t n_begin, int64_t n_end);
  // out[i] = row row_begin + i of the weights as f32, rows out_stride apart
  void (*decode_rows)(const Weights& w, int64_t row_begin, int64_t row_end, float* out, int64_t out_stride);
  void (*weighted_sum)(const WeightedSum& args);
  // out[i] = weight[i] * x[i] / sqrt(mean(x^2) + eps), i < n; out may be x
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out);
  // x[i] <- exp(scale * x[i] - max) / sum, i < n
  void (*softmax)(float* x, float scale, int64_t n);
  // out[i] = silu(gate[i]) * up[i]; out may be either input
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* out);
  // out[i] += factor * x[i]
  void (*add_scaled)(const float* x, float factor, int64_t n, float* out);
  void (*rope)(const Rope& args);
};

// Every table in this build, slowest first: "ref" and those of the processor family it was built for.
std::span<const KernelTable* const> all_tables();

// The fastest that this processor supports, or the one named. Throws kUsage for an unknown name (listing the known),
// and kUnsupported for one that this processor lacks.
const KernelTable& best_table();
const KernelTable& table_by_name(std::string_view name);

}  // namespace glimmer::kernels
