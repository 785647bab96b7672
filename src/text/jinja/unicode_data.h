// The tables behind unicode.h, generated.
#pragma once

#include <cstdint>
#include <span>

namespace glimmer::jinja {

// Code points first, first + stride, ... last map to themselves + delta.
struct CaseRun {
  uint32_t first, last;
  uint32_t stride;
  int32_t delta;
};

// A code point that maps to several; unused places are 0.
struct SpecialCase {
  uint32_t code_point;
  uint32_t mapped[3];
};

struct CaseTable {
  std::span<const CaseRun> runs;
  std::span<const SpecialCase> special;
};

// Sorted: first code point << 12 | classes, each valid up to the next.
std::span<const uint64_t> class_runs();
CaseTable lower_table();
CaseTable upper_table();
CaseTable title_table();  // only what differs from upper_table
CaseTable fold_table();   // only what differs from lower_table

}  // namespace glimmer::jinja
