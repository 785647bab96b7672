#include "quant/scale_search.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace glimmer {
namespace {

// ---- vectors of four, which GCC and Clang compile for any processor ----

using F4 = float __attribute__((vector_size(16)));
using I4 = int32_t __attribute__((vector_size(16)));

F4 splat(float value) { return F4{value, value, value, value}; }
I4 splat(int32_t value) { return I4{value, value, value, value}; }
F4 to_float(I4 value) { return __builtin_convertvector(value, F4); }
F4 select(I4 mask, F4 yes, F4 no) { return mask ? yes : no; }
F4 absolute(F4 value) { return reinterpret_cast<F4>(reinterpret_cast<I4>(value) & 0x7FFFFFFF); }
bool any(I4 mask) { return (mask[0] | mask[1] | mask[2] | mask[3]) != 0; }

// nearest_int, within [low, high].
I4 nearest_level(F4 value, I4 low, I4 high) {
  I4 level = (reinterpret_cast<I4>(value + 12582912.0F) & 0x7FFFFF) - 0x400000;
  level = level < low ? low : level;
  return level > high ? high : level;
}

// The index of the value of largest magnitude, the first of equals; -1 if all are below kLeastMagnitude (or NaN).
int index_of_largest(const float* x, int count) {
  int index = -1;
  float largest = 0;
  for (int i = 0; i < count; ++i) {
    const float magnitude = std::abs(x[i]);
    if (magnitude > largest) {
      largest = magnitude;
      index = i;
    }
  }
  return largest < kLeastMagnitude ? -1 : index;
}

int clamped_level(float value, int half) { return std::clamp(nearest_int(value), -half, half - 1); }

// Sums of weight * x * level and weight * level^2.
struct Fit {
  float xl = 0;
  float ll = 0;
};

// Of several fits the one that leaves the least error: xl^2 / ll, which is scale * xl, is largest.
class BestFit {
 public:
  BestFit(Fit first, bool usable) : scale_(usable ? first.xl / first.ll : 0.0F), gain_(scale_ * first.xl) {}
  bool offer(Fit fit) {
    if (!(fit.ll > 0) || !(fit.xl * fit.xl > gain_ * fit.ll)) return false;
    scale_ = fit.xl / fit.ll;
    gain_ = scale_ * fit.xl;
    return true;
  }
  float scale() const { return scale_; }

 private:
  float scale_;
  float gain_;
};

// 19 inverse scales in five vectors. The first is the obvious one, then come steps of 0.1 from -0.9 to 0.9.
constexpr int kScaleTries = 19;
constexpr int kScaleVectors = (kScaleTries + kSearchLanes - 1) / kSearchLanes;

float tried_inverse_scale(int attempt, int half, float signed_largest) {
  if (attempt == 0) return -static_cast<float>(half) / signed_largest;
  const int step = attempt <= 9 ? attempt - 10 : attempt - 9;
  return -(static_cast<float>(half) + 0.1F * static_cast<float>(step)) / signed_largest;
}

}  // namespace

void importance_weights(const float* x, const float* importance, float mean_square, int count, float* weights) {
  for (int i = 0; i < count; ++i) weights[i] = importance[i] * std::sqrt(mean_square + x[i] * x[i]);
}

float search_scale(const float* x, const float* weights, int count, int half, uint8_t* codes) {
  GLIMMER_CHECK(count <= kMaxSearchColumns, "{} columns", count);
  const int largest = index_of_largest(x, count);
  if (largest < 0) {
    std::fill_n(codes, count, uint8_t{0});
    return 0;
  }
  std::array<float, kMaxSearchColumns> weighted;
  for (int i = 0; i < count; ++i) weighted[i] = weights[i] * x[i];

  std::array<float, kScaleVectors * kSearchLanes> inverse;
  for (int i = 0; i < static_cast<int>(inverse.size()); ++i) inverse[i] = tried_inverse_scale(i, half, x[largest]);
  std::array<Fit, kScaleVectors * kSearchLanes> fits;
  for (int begin = 0; begin < kScaleTries; begin += kSearchLanes) {
    const F4 scales = {inverse[begin], inverse[begin + 1], inverse[begin + 2], inverse[begin + 3]};
    F4 xl = {};
    F4 ll = {};
    for (int i = 0; i < count; ++i) {
      const F4 level = to_float(nearest_level(scales * x[i], splat(-half), splat(half - 1)));
      xl += weighted[i] * level;
      ll += weights[i] * level * level;
    }
    for (int lane = 0; lane < kSearchLanes; ++lane) fits[begin + lane] = {xl[lane], ll[lane]};
  }

  int chosen = 0;
  BestFit best(fits[0], fits[0].ll != 0);
  for (int i = 1; i < kScaleTries; ++i) {
    if (best.offer(fits[i])) chosen = i;
  }
  for (int i = 0; i < count; ++i) codes[i] = static_cast<uint8_t>(clamped_level(inverse[chosen] * x[i], half) + half);
  return best.scale();
}

float descend_scale(const float* x, int count, int half, uint8_t* codes) {
  GLIMMER_CHECK(count <= kMaxSearchColumns, "{} columns", count);
  const int largest = index_of_largest(x, count);
  if (largest < 0) {
    std::fill_n(codes, count, uint8_t{0});
    return 0;
  }
  const float inverse = -static_cast<float>(half) / x[largest];
  std::array<int, kMaxSearchColumns> level;
  Fit fit;
  for (int i = 0; i < count; ++i) {
    level[i] = clamped_level(inverse * x[i], half);
    const float weight = x[i] * x[i];
    fit.xl += weight * x[i] * static_cast<float>(level[i]);
    fit.ll += weight * static_cast<float>(level[i]) * static_cast<float>(level[i]);
  }
  bool moved = true;
  for (int round = 0; round < 5 && moved; ++round) {
    moved = false;
    for (int i = 0; i < count; ++i) {
      const float weight = x[i] * x[i];
      const auto now = static_cast<float>(level[i]);
      Fit other = {fit.xl - weight * x[i] * now, fit.ll - weight * now * now};
      if (!(other.xl > 0)) continue;
      const int next_level = clamped_level(x[i] * other.ll / other.xl, half);
      if (next_level == level[i]) continue;
      const auto next = static_cast<float>(next_level);
      other.xl += weight * x[i] * next;
      other.ll += weight * next * next;
      if (other.ll > 0 && other.xl * other.xl * fit.ll > fit.xl * fit.xl * other.ll) {
        level[i] = next_level;
        fit = other;
        moved = true;
      }
    }
  }
  for (int i = 0; i < count; ++i) codes[i] = static_cast<uint8_t>(level[i] + half);
  return fit.ll > 0 ? fit.xl / fit.ll : 0.0F;
}

namespace {

// The inverse scale among max_code / largest and eight about it that leaves the least error, with its own inverse as
// the scale.
float best_positive_inverse(const float* x, const float* weights, int count, int max_code, float largest) {
  float best_inverse = 0;
  float best_error = 0;
  for (int attempt = 0; attempt < 9; ++attempt) {
    const int step = attempt == 0 ? 0 : attempt <= 4 ? attempt - 5 : attempt - 4;
    const float inverse = attempt == 0 ? static_cast<float>(max_code) / largest
                                       : (0.1F * static_cast<float>(step) + static_cast<float>(max_code)) / largest;
    const float scale = 1 / inverse;
    float error = 0;
    for (int i = 0; i < count; ++i) {
      // The first is kept as a byte, the others are cut off at max_code: it matters only for x < 0.
      const int nearest = nearest_int(inverse * x[i]);
      const int level = attempt == 0 ? static_cast<uint8_t>(nearest) : std::min(max_code, nearest);
      const float difference = x[i] - scale * static_cast<float>(level);
      error += weights[i] * difference * difference;
    }
    if (attempt == 0 || error < best_error) {
      best_error = error;
      best_inverse = inverse;
    }
  }
  return best_inverse;
}

}  // namespace

float search_positive_scale(const float* x, const float* weights, int count, int max_code, uint8_t* codes) {
  float largest = 0;
  for (int i = 0; i < count; ++i) largest = largest > x[i] ? largest : x[i];
  if (!(largest >= kLeastMagnitude)) {
    std::fill_n(codes, count, uint8_t{0});
    return 0;
  }
  const float inverse = best_positive_inverse(x, weights, count, max_code, largest);
  Fit fit;
  for (int i = 0; i < count; ++i) {
    const int level = std::min(max_code, nearest_int(inverse * x[i]));
    codes[i] = static_cast<uint8_t>(level);
    fit.xl += weights[i] * x[i] * static_cast<float>(level);
    fit.ll += weights[i] * static_cast<float>(level) * static_cast<float>(level);
  }
  bool moved = true;
  for (int round = 0; round < 5 && moved; ++round) {
    moved = false;
    for (int i = 0; i < count; ++i) {
      const auto now = static_cast<float>(codes[i]);
      Fit other = {fit.xl - weights[i] * x[i] * now, fit.ll - weights[i] * now * now};
      if (!(other.xl > 0) || !(other.ll > 0)) continue;
      const int level = std::min(max_code, nearest_int(x[i] * other.ll / other.xl));
      if (level == codes[i]) continue;
      const auto next = static_cast<float>(level);
      other.xl += weights[i] * x[i] * next;
      other.ll += weights[i] * next * next;
      if (other.xl * other.xl * fit.ll > fit.xl * fit.xl * other.ll) {
        codes[i] = static_cast<uint8_t>(level);
        fit = other;
        moved = true;
      }
    }
  }
  return fit.ll > 0 ? fit.xl / fit.ll : 0.0F;
}

namespace {

// Four groups, a lane each, and the best that was found for them.
class AffineLanes {
 public:
  AffineLanes(const AffineSearch& search, const float* x, const float* weights);
  void try_inverse_scale(float numerator);  // over largest - least

  F4 scale() const { return select(flat_, F4{}, scale_); }
  F4 minus_min() const { return -min_; }
  int code(int column, int lane) const { return flat_[lane] != 0 ? 0 : static_cast<int>(levels_[column][lane]); }

 private:
  using Columns = std::array<F4, kMaxSearchColumns>;

  F4 level(F4 inverse, int i) const {
    return to_float(nearest_level(inverse * (x_[i] - min_), splat(0), splat(search_.max_code)));
  }
  F4 error(F4 scale, F4 min, const Columns& levels) const;

  const AffineSearch& search_;
  Columns x_ = {};
  Columns weights_ = {};
  Columns levels_;  // of the best
  F4 sum_w_;
  F4 sum_x_;
  F4 largest_;
  F4 min_;  // at most 0; each better fit changes it, and with it the range of the next
  F4 scale_;
  F4 error_;
  I4 flat_;  // lanes of one value (or of NaN): there is nothing to find
};

F4 AffineLanes::error(F4 scale, F4 min, const Columns& levels) const {
  F4 sum = {};
  if (search_.error == SearchError::kAbsolute) {
    for (int i = 0; i < search_.count; ++i) sum += weights_[i] * absolute(scale * levels[i] + min - x_[i]);
    return sum;
  }
  for (int i = 0; i < search_.count; ++i) {
    const F4 difference = scale * levels[i] + min - x_[i];
    sum += weights_[i] * (difference * difference);
  }
  return sum;
}

AffineLanes::AffineLanes(const AffineSearch& search, const float* x, const float* weights) : search_(search) {
  const int64_t stride = search.stride;
  for (int i = 0; i < search.count; ++i) {
    x_[i] = F4{x[i], x[stride + i], x[2 * stride + i], x[3 * stride + i]};
    weights_[i] = F4{weights[i], weights[stride + i], weights[2 * stride + i], weights[3 * stride + i]};
  }
  min_ = x_[0];
  largest_ = x_[0];
  sum_w_ = weights_[0];
  sum_x_ = sum_w_ * x_[0];
  for (int i = 1; i < search.count; ++i) {
    min_ = select(x_[i] < min_, x_[i], min_);
    largest_ = select(x_[i] > largest_, x_[i], largest_);
    sum_w_ += weights_[i];
    sum_x_ += weights_[i] * x_[i];
  }
  min_ = select(min_ > 0.0F, F4{}, min_);
  flat_ = ~(largest_ > min_);
  const F4 inverse = splat(static_cast<float>(search.max_code)) / (largest_ - min_);
  scale_ = splat(1.0F) / inverse;
  for (int i = 0; i < search.count; ++i) levels_[i] = level(inverse, i);
  error_ = error(scale_, min_, levels_);
}

void AffineLanes::try_inverse_scale(float numerator) {
  const F4 inverse = splat(numerator) / (largest_ - min_);
  F4 sum_l = {};
  F4 sum_ll = {};
  F4 sum_xl = {};
  Columns levels;
  for (int i = 0; i < search_.count; ++i) {
    levels[i] = level(inverse, i);
    const F4 weighted = weights_[i] * levels[i];
    sum_l += weighted;
    sum_ll += weighted * levels[i];
    sum_xl += weighted * x_[i];
  }
  // Least squares; where the minimum would be positive it is 0, and the scale alone is fitted.
  const F4 determinant = sum_w_ * sum_ll - sum_l * sum_l;
  F4 scale = (sum_w_ * sum_xl - sum_x_ * sum_l) / determinant;
  F4 min = (sum_ll * sum_x_ - sum_l * sum_xl) / determinant;
  const I4 positive = min > 0.0F;
  scale = select(positive, sum_xl / sum_ll, scale);
  min = select(positive, F4{}, min);
  const F4 tried_error = error(scale, min, levels);
  const I4 better = (determinant > 0.0F) & (tried_error < error_);
  if (!any(better)) return;
  error_ = select(better, tried_error, error_);
  scale_ = select(better, scale, scale_);
  min_ = select(better & ~flat_, min, min_);
  for (int i = 0; i < search_.count; ++i) levels_[i] = select(better, levels[i], levels_[i]);
}

}  // namespace

void search_scales_and_mins(const AffineSearch& search, const float* x, const float* weights, float* scales,
                            float* minus_mins, uint8_t* codes) {
  GLIMMER_CHECK(search.count <= kMaxSearchColumns, "{} columns", search.count);
  AffineLanes lanes(search, x, weights);
  for (int i = 0; i <= search.grid.last; ++i) {
    lanes.try_inverse_scale(search.grid.first + search.grid.step * static_cast<float>(i) +
                            static_cast<float>(search.max_code));
  }
  const F4 scale = lanes.scale();
  const F4 minus_min = lanes.minus_min();
  for (int lane = 0; lane < kSearchLanes; ++lane) {
    scales[lane] = scale[lane];
    minus_mins[lane] = minus_min[lane];
    for (int i = 0; i < search.count; ++i) {
      codes[lane * search.count + i] = static_cast<uint8_t>(lanes.code(i, lane));
    }
  }
}

namespace {

constexpr int kIq4Columns = 32;

// The value of kIq4Values that is nearest: the least, and each step whose middle is not above.
F4 nearest_iq4_value(F4 value) {
  F4 nearest = splat(kIq4Values[0]);
  for (size_t i = 1; i < kIq4Values.size(); ++i) {
    const I4 step = reinterpret_cast<I4>(splat(kIq4Values[i] - kIq4Values[i - 1]));
    nearest += reinterpret_cast<F4>(step & ~(value < (kIq4Values[i - 1] + kIq4Values[i]) / 2));
  }
  return nearest;
}

}  // namespace

void iq4_weights(const float* x, const float* importance, float mean_square, float* weights) {
  if (importance != nullptr) {
    importance_weights(x, importance, mean_square, kIq4Columns, weights);
    return;
  }
  for (int i = 0; i < kIq4Columns; ++i) weights[i] = x[i] * x[i];
}

float search_iq4_scale(const float* x, const float* weights) {
  const int largest = index_of_largest(x, kIq4Columns);
  if (largest < 0) return 0;
  // First the largest as +127, which no value reaches, then as -127 - 7 to -127 + 7.
  constexpr int kTries = 16;
  std::array<float, kTries> inverse;
  inverse[0] = 1 / (-x[largest] / kIq4Values[0]);
  for (int i = 1; i < kTries; ++i) inverse[i] = (static_cast<float>(i - 8) + kIq4Values[0]) / x[largest];
  std::array<Fit, kTries> fits;
  for (int begin = 0; begin < kTries; begin += kSearchLanes) {
    const F4 scales = {inverse[begin], inverse[begin + 1], inverse[begin + 2], inverse[begin + 3]};
    F4 xl = {};
    F4 ll = {};
    for (int i = 0; i < kIq4Columns; ++i) {
      const F4 value = nearest_iq4_value(scales * x[i]);
      const F4 weighted = weights[i] * value;
      xl += weighted * x[i];
      ll += weighted * value;
    }
    for (int lane = 0; lane < kSearchLanes; ++lane) fits[begin + lane] = {xl[lane], ll[lane]};
  }
  BestFit best(fits[0], fits[0].ll > 0);
  for (int i = 1; i < kTries; ++i) best.offer(fits[i]);
  return best.scale();
}

void iq4_codes(const float* x, float inverse_scale, uint8_t* codes) {
  for (int i = 0; i < kIq4Columns; ++i) {
    const float value = inverse_scale * x[i];
    int code = 0;
    for (size_t k = 1; k < kIq4Values.size(); ++k) code += !(value < (kIq4Values[k - 1] + kIq4Values[k]) / 2);
    codes[i] = static_cast<uint8_t>(code);
  }
}

}  // namespace glimmer
