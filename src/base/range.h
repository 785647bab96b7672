// A half-open range of integers.
#pragma once

#include <cstdint>

namespace glimmer {

struct Range {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  bool empty() const { return end <= begin; }
  bool operator==(const Range&) const = default;
};

}  // namespace glimmer
