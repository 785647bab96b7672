// What the files of each instruction set have for kernels/ceilings.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glimmer::kernels {

namespace avx2 {
uint64_t read_ceiling(const std::byte* data, int64_t stream_bytes, int streams);
inline constexpr double kFloatOperations = 12 * 8 * 2;  // a round
void float_ceiling(int64_t rounds);
inline constexpr double kIntegerOperations = 10 * 32 * 2;
void integer_ceiling(int64_t rounds);
inline constexpr double kVnniOperations = 12 * 32 * 2;
void vnni_ceiling(int64_t rounds);  // AVX-VNNI
}  // namespace avx2

namespace avx512 {
uint64_t read_ceiling(const std::byte* data, int64_t stream_bytes, int streams);
inline constexpr double kFloatOperations = 24 * 16 * 2;
void float_ceiling(int64_t rounds);
inline constexpr double kIntegerOperations = 24 * 64 * 2;
void integer_ceiling(int64_t rounds);  // AVX512-VNNI
inline constexpr double kBf16Operations = 24 * 32 * 2;
void bf16_ceiling(int64_t rounds);  // AVX512-BF16
}  // namespace avx512

namespace amx {
inline constexpr double kBf16Operations = 4.0 * 16 * 16 * 32 * 2;
void bf16_ceiling(int64_t rounds);
inline constexpr double kIntegerOperations = 4.0 * 16 * 16 * 64 * 2;
void integer_ceiling(int64_t rounds);
}  // namespace amx

}  // namespace glimmer::kernels
