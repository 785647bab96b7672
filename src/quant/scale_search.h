// The searches for scales that the reference quantisers of ggml make: inverse scales are tried around the obvious one,
// and the scale (and minimum) of least weighted squared error is kept. Results are theirs to the last bit: sums run in
// the same order, with the same roundings, and nothing is contracted to a fused multiply-add (src/CMakeLists.txt asks
// for -ffp-contract=off). To be fast all the same, vectors hold several candidates or several groups, never several
// terms of one sum.
// Source of the method: https://github.com/ggml-org/ggml (src/ggml-quants.c).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace glimmer {

// To nearest, ties to even, for |value| < 2^22. Beyond, infinities and NaN give some int within +-2^22, as in ggml.
inline int nearest_int(float value) {
  const auto bits = std::bit_cast<uint32_t>(value + 12582912.0F);  // 1.5 * 2^23: the sum's low bits are the integer
  return static_cast<int>(bits & 0x7FFFFF) - 0x400000;
}

inline constexpr float kLeastMagnitude = 1e-15F;  // groups below it count as zero
inline constexpr int kMaxSearchColumns = 32;      // of a group

// sqrt(mean_square + x^2), times the importance: what an error of each of the `count` columns counts.
void importance_weights(const float* x, const float* importance, float mean_square, int count, float* weights);

// Symmetric codes: x ~ scale * (code - half), code in [0, 2 * half). 19 inverse scales about -half / (the value of
// largest magnitude). `count` <= kMaxSearchColumns. Returns the scale; 0, with codes 0, if x is as good as zero.
float search_scale(const float* x, const float* weights, int count, int half, uint8_t* codes);

// The same form, weights x^2, by moving one code at a time to where the error falls, five rounds at most.
float descend_scale(const float* x, int count, int half, uint8_t* codes);

// x >= 0, x ~ scale * code, code in [0, max_code]. `count` <= kMaxSearchColumns.
float search_positive_scale(const float* x, const float* weights, int count, int max_code, uint8_t* codes);

// Which inverse scales are tried: (max_code + first + i * step) / (largest - smallest), i = 0 to last.
struct ScaleGrid {
  float first = 0;
  float step = 0;
  int last = 0;
};

enum class SearchError { kSquared, kAbsolute };

inline constexpr int kSearchLanes = 4;

// Affine codes: x ~ scale * code - minus_min, code in [0, max_code], minus_min >= 0. Four groups at once: lane g has
// `count` values at x + g * stride and weights at weights + g * stride; codes are written at codes + g * count.
// stride 0: one group, four times.
struct AffineSearch {
  int count = 0;  // <= kMaxSearchColumns
  int64_t stride = 0;
  int max_code = 0;
  ScaleGrid grid;
  SearchError error = SearchError::kSquared;
};
void search_scales_and_mins(const AffineSearch& search, const float* x, const float* weights, float* scales,
                            float* minus_mins, uint8_t* codes);

// The 16 values that IQ4_NL and IQ4_XS choose from, ascending.
inline constexpr std::array<float, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                     1,    13,   25,  38,  53,  69,  89,  113};

// What an error of each of 32 columns counts: x^2, or with importance as importance_weights.
void iq4_weights(const float* x, const float* importance, float mean_square, float* weights);
// The scale of 32 values, 0 if they are as good as zero; 15 inverse scales are tried.
float search_iq4_scale(const float* x, const float* weights);
// The nearest of kIq4Values to inverse_scale * x, for 32 values; halfway, the upper one.
void iq4_codes(const float* x, float inverse_scale, uint8_t* codes);

}  // namespace glimmer
