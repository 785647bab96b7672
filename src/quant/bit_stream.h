// Codes of 2 to 8 bits as MLX, GPTQ, AWQ and compressed-tensors pack them: a little-endian stream, lowest bits first.
// Eight codes of b bits are b bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace glimmer {

// `count` codes, a multiple of 8, a byte each.
template <int kBits>
void unpack_bit_stream(const std::byte* packed, int64_t count, uint8_t* codes) {
  static_assert(kBits >= 1 && kBits <= 8);
  for (int64_t i = 0; i < count; i += 8, packed += kBits) {
    uint64_t window = 0;
    std::memcpy(&window, packed, kBits);
    for (int j = 0; j < 8; ++j) codes[i + j] = static_cast<uint8_t>(window >> (j * kBits) & ((1U << kBits) - 1));
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
