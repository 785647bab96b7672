// Loops that only read memory, or only multiply: the machine's limits, for benchmarks to compare with. Each is one
// thread's work; the caller starts the threads (engine/ceilings.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace glimmer::kernels {

// Prefetch streams per thread that are tried: the fastest differs between processors.
inline constexpr std::array<int, 4> kReadStreams = {1, 4, 8, 16};

struct MultiplyLoop {
  std::string_view unit;                  // for display: "AMX", "AVX512-VNNI"
  double operations_a_round = 0;          // multiplications and additions per round
  void (*run)(int64_t rounds) = nullptr;  // from registers; clobbers the calling thread's AMX tiles
};

struct CeilingLoops {
  // Reads `streams` (of kReadStreams) pieces of `stream_bytes` that lie one after the other from `data` on (aligned to
  // 64 bytes, stream_bytes a multiple of 64), a line of each in turn, with software prefetch. The result depends on
  // every line.
  uint64_t (*read)(const std::byte* data, int64_t stream_bytes, int streams) = nullptr;
  MultiplyLoop floats;    // bf16 where the processor multiplies bf16, else f32
  MultiplyLoop integers;  // int8
};

// The fastest of this processor.
CeilingLoops ceiling_loops();

}  // namespace glimmer::kernels
