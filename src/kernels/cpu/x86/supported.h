// Whether this processor can run the files of this folder, and how it prefers to. Defined outside those files, in code
// that every processor can run.
#pragma once

#include <cstdint>

namespace glimmer::kernels {

bool cpu_has_avx2();
bool cpu_has_avx_vnni();
bool cpu_has_avx512();
bool cpu_has_avx512_bf16();
bool cpu_has_amx();  // and this process may use tiles: requests them from the operating system on the first call

// How AVX-512 matmuls of few tokens best read weights from memory on this processor: how many panels side by side, and
// the prefetch distance. Measured: two streams 2 KB ahead on Sapphire Rapids, one stream 8 KB ahead on Zen 5
// (docs/perf.md).
struct WeightStreams {
  int count;  // 1 or 2
  int64_t ahead_bytes;
};
WeightStreams cpu_weight_streams();

}  // namespace glimmer::kernels
