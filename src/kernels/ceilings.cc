#include "kernels/ceilings.h"

#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

// Without vectors: what any processor can do.
uint64_t read_plainly(const std::byte* data, int64_t stream_bytes, int streams) {
  uint64_t sum = 0;
  for (int64_t at = 0; at < stream_bytes; at += 64) {
    for (int s = 0; s < streams; ++s) {
      const auto* line = reinterpret_cast<const uint64_t*>(data + s * stream_bytes + at);
      for (int i = 0; i < 8; ++i) sum += line[i];
    }
  }
  return sum;
}

constexpr int kChains = 8;  // independent sums, to hide the latency of a multiply-add

void multiply_floats_plainly(int64_t rounds) {
  float sums[kChains] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < rounds; ++i) {
    for (float& sum : sums) sum = sum * 0.999F + 0.001F;
  }
  volatile float sink = sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
  (void)sink;
}

void multiply_integers_plainly(int64_t rounds) {
  uint32_t sums[kChains] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < rounds; ++i) {
    for (uint32_t& sum : sums) sum = sum * 3 + 5;
  }
  volatile uint32_t sink = sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
  (void)sink;
}

}  // namespace

CeilingLoops ceiling_loops() {
  CeilingLoops loops{.read = read_plainly,
                     .floats = {"plain f32", 2 * kChains, multiply_floats_plainly},
                     .integers = {"plain int32", 2 * kChains, multiply_integers_plainly}};
  choose_ceiling_loops(loops);
  return loops;
}

}  // namespace glimmer::kernels
