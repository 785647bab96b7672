#include "quant/fitting.h"

#include <map>

namespace glimmer {

QuantParams default_params(const QuantType& type, int64_t columns) {
  QuantParams params;
  if (type.name == "fp8") {
    params.block_rows = 128;
    params.group = 128;
  } else if (type.name == "nf4") {
    params.bits = 4;
    params.group = 64;
  } else if (type.name.starts_with("mlx")) {
    params.group = columns % 64 == 0 ? 64 : 32;
    params.scale_dtype = DType::kBF16;
    params.bits = type.name[3] - '0';
  }
  return params;
}

bool fits_columns(const QuantType& type, int64_t columns) {
  if (columns % type.block != 0) return false;
  return weight_layout_fits(type.layout(default_params(type, columns), columns), columns);
}

std::string_view fallback_type(std::string_view type) {
  static const std::map<std::string_view, std::string_view> kFallback = {
      {"q2_k", "q4_0"}, {"q3_k", "q4_0"}, {"q4_k", "q5_0"}, {"q5_k", "q5_1"}, {"q6_k", "q8_0"}, {"iq4_xs", "iq4_nl"}};
  const auto found = kFallback.find(type);
  return found == kFallback.end() ? "" : found->second;
}

}  // namespace glimmer
