// A half-open range of integers.
#pragma once

#include <cstdint>
#include <vector>

namespace glimmer {

struct Range {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  bool empty() const { return end <= begin; }
  bool operator==(const Range&) const = default;
};

// Rows (or columns, or heads) of which each rank of a group has a range, maybe an empty one.
struct RowCut {
  int rank = 0;  // ours
  std::vector<Range> of_rank;
  int64_t rows = 0;  // in all

  Range own() const { return of_rank[static_cast<size_t>(rank)]; }
};

}  // namespace glimmer
