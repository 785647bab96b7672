#include <immintrin.h>

#include "kernels/cpu/x86/ceilings.h"

namespace glimmer::kernels::amx {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_a_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Eight tiles: sums in 0 to 3, factors in 4 to 7.
void set_tiles(uint8_t factor) {
  const TileConfig config;
  asm volatile("" ::: "memory");  // g++ 12 takes but 8 bytes of the configuration for read
  _tile_loadconfig(&config);
  alignas(64) uint8_t values[16 * 64];
  for (int i = 0; i < 16 * 64; ++i) values[i] = factor;
  asm volatile("" : : "r"(values) : "memory");
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, values, 64);
  _tile_loadd(5, values, 64);
  _tile_loadd(6, values, 64);
  _tile_loadd(7, values, 64);
}

}  // namespace

void bf16_ceiling(int64_t rounds) {
  set_tiles(0x3C);  // bf16 0x3C3C: 0.0115
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

void integer_ceiling(int64_t rounds) {
  set_tiles(3);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}

}  // namespace glimmer::kernels::amx
