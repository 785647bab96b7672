// Length of the common prefix of two token sequences.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace glimmer {

inline size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace glimmer
