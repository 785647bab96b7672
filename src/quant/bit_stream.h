// Codes of 2 to 8 bits as MLX, GPTQ, AWQ and compressed-tensors pack them: a little-endian stream, lowest bits first.
// Eight codes of b bits are b bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace glimmer {

// 8 codes of kBits next to each other, to a byte each: halves, quarters and eighths of the word move apart in turn.
template <int kBits>
uint64_t spread_codes(uint64_t x) {
  constexpr auto ones = [](int count) { return (uint64_t{1} << count) - 1; };
  constexpr uint64_t kHalf = ones(4 * kBits);
  constexpr uint64_t kQuarters = ones(2 * kBits) * 0x0000'0001'0000'0001U;
  constexpr uint64_t kEighths = ones(kBits) * 0x0001'0001'0001'0001U;
  x = (x & kHalf) | (x << (32 - 4 * kBits) & kHalf << 32);
  x = (x & kQuarters) | (x << (16 - 2 * kBits) & kQuarters << 16);
  return (x & kEighths) | (x << (8 - kBits) & kEighths << 8);
}

// kBytes bytes, from two words that may overlap: copied singly they would stall the load of the whole.
template <int kBytes>
uint64_t load_bytes(const std::byte* at) {
  using Word = std::conditional_t<kBytes >= 4, uint32_t, std::conditional_t<kBytes >= 2, uint16_t, uint8_t>>;
  constexpr int kRest = kBytes - static_cast<int>(sizeof(Word));
  Word low;
  Word high;
  std::memcpy(&low, at, sizeof low);
  std::memcpy(&high, at + kRest, sizeof high);
  return low | static_cast<uint64_t>(high) << 8 * kRest;
}

// `count` codes, a multiple of 8, a byte each.
template <int kBits>
void unpack_bit_stream(const std::byte* packed, int64_t count, uint8_t* codes) {
  static_assert(kBits >= 1 && kBits <= 8);
  for (int64_t i = 0; i < count; i += 8, packed += kBits) {
    const uint64_t window = spread_codes<kBits>(load_bytes<kBits>(packed));
    std::memcpy(codes + i, &window, sizeof window);
  }
}

template <int kBits>
void pack_bit_stream(const uint8_t* codes, int64_t count, std::byte* packed) {
  static_assert(kBits >= 1 && kBits <= 8);
  for (int64_t i = 0; i < count; i += 8, packed += kBits) {
    uint64_t window = 0;
    for (int j = 0; j < 8; ++j) window |= static_cast<uint64_t>(codes[i + j]) << (j * kBits);
    std::memcpy(packed, &window, kBits);
  }
}

}  // namespace glimmer
