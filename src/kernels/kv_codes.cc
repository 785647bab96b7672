#include "kernels/kv_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/dtype.h"

namespace glimmer::kernels {
namespace {

constexpr float kLeast = 1e-30F;  // smaller groups become zeros; far above where 127 / max |x| overflows

float largest_code(KvType type) { return type == KvType::kInt8 ? 127.0F : 448.0F; }

// NaN if one of them is.
float largest_magnitude(const float* x, int64_t count) {
  float most = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(x[i]);
    most = magnitude > most || std::isnan(magnitude) ? magnitude : most;
    if (std::isnan(most)) return most;
  }
  return most;
}

uint8_t code_of(KvType type, float scaled) {
  if (type == KvType::kInt8) return static_cast<uint8_t>(static_cast<int8_t>(std::lrintf(scaled)));
  return f32_to_f8e4m3(scaled);
}

}  // namespace

float kv_code_value(KvType type, uint8_t code) {
  return type == KvType::kInt8 ? static_cast<float>(static_cast<int8_t>(code)) : f8e4m3_to_f32(code);
}

void encode_kv_row(KvType type, const float* x, int64_t dim, std::byte* codes, float* scales) {
  for (int64_t begin = 0; begin < dim; begin += kKvGroup) {
    const int64_t count = std::min(kKvGroup, dim - begin);
    const float most = largest_magnitude(x + begin, count);
    float& scale = scales[begin / kKvGroup];
    if (!std::isfinite(most) || most < kLeast) {
      scale = std::isfinite(most) ? 0.0F : std::numeric_limits<float>::quiet_NaN();
      std::fill_n(codes + begin, count, std::byte{0});
      continue;
    }
    scale = most / largest_code(type);
    const float inverse = largest_code(type) / most;
    for (int64_t i = begin; i < begin + count; ++i) codes[i] = std::byte{code_of(type, x[i] * inverse)};
  }
}

}  // namespace glimmer::kernels
