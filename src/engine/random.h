// The random numbers of sampling: a counter-based generator, so that draw `index` of a seed is the same on every
// platform, whatever was drawn before it and whichever thread draws.
#pragma once

#include <cstdint>

namespace glimmer {

// The finaliser of SplitMix64: a bijection that mixes all bits. Source: Steele, Lea, Flood, "Fast splittable
// pseudorandom number generators", OOPSLA 2014 (constants of Stafford's variant 13).
constexpr uint64_t mix_bits(uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

// 64 random bits: element `index` of the SplitMix64 stream that starts at mix_bits(seed). Mixing the seed first keeps
// the streams of neighbouring seeds apart.
constexpr uint64_t random_bits(uint64_t seed, uint64_t index) {
  constexpr uint64_t kGamma = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, odd
  return mix_bits(mix_bits(seed + kGamma) + (index + 1) * kGamma);
}

// A double in [0, 1): the upper 53 bits, times 2^-53.
constexpr double random_unit(uint64_t seed, uint64_t index) {
  return static_cast<double>(random_bits(seed, index) >> 11) * 0x1p-53;
}

}  // namespace glimmer
