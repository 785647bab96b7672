// Loops that do nothing but read memory, or nothing but multiply: what a machine can do at most, for benchmarks to hold
// results against. One thread's work each; whoever calls them starts the threads (engine/ceilings.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace glimmer::kernels {

inline constexpr std::array<int, 4> kReadStreams = {1, 4, 8, 16};

struct MultiplyLoop {
  std::string_view unit;                  // for people: "AMX", "AVX512-VNNI"
  double operations_a_round = 0;          // multiplications and additions
  void (*run)(int64_t rounds) = nullptr;  // from registers; changes the calling thread's tiles where it has such
};

struct CeilingLoops {
  // Reads `streams` (of kReadStreams) pieces of `stream_bytes` that lie one after the other from `data` on (aligned to
  // 64 bytes, stream_bytes a multiple of 64), a line of each in turn, with software prefetch. The result depends on
  // every line.
  uint64_t (*read)(const std::byte* data, int64_t stream_bytes, int streams) = nullptr;
  MultiplyLoop floats;    // of bf16 where the processor multiplies that, else of f32
  MultiplyLoop integers;  // of 8 bits
};

// The fastest of this processor.
CeilingLoops ceiling_loops();

}  // namespace glimmer::kernels
