// The work of one forward pass, described once for all its layers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace glimmer {

// Pages of keys and values are numbers: the same page holds a sequence's tokens in every layer, on every device.
using PageId = int32_t;

// The new tokens of one sequence: rows [first_row, first_row + tokens) of the batch, at positions from past_tokens on.
struct BatchSequence {
  int64_t first_row = 0;
  int64_t tokens = 0;
  int64_t past_tokens = 0;
  // That hold tokens 0 .. past_tokens + tokens - 1, kAttentionBlock each, in order.
  std::span<const PageId> pages;
};

struct Batch {
  std::vector<BatchSequence> sequences;
  std::vector<int32_t> tokens;     // [rows]
  std::vector<int32_t> positions;  // [rows]

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
};

}  // namespace glimmer
