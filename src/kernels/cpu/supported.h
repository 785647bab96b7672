// Whether this processor may enter a file of this folder, and what its kernels ask of it. Defined outside those files,
// in baseline code.
#pragma once

#include <cstdint>

namespace glimmer::kernels {

bool cpu_has_avx2();
bool cpu_has_avx_vnni();
bool cpu_has_avx512();
bool cpu_has_avx512_bf16();
bool cpu_has_amx();  // and this process may use tiles: asks the operating system for them the first time

// How a thread of this processor best reads weights from memory in AVX-512's products of few tokens: so many panels
// side by side, each asked for so far ahead. Measured (docs/perf.md).
struct WeightStreams {
  int count;  // 1 or 2
  int64_t ahead_bytes;
};
WeightStreams cpu_weight_streams();

}  // namespace glimmer::kernels
