// What the quantisers of Q2_K, Q4_K and Q5_K share: 256 values in groups, each with a small integer scale and minimum
// under the block's own two f16 scales, w = (d * scale) * code - (dmin * min).
#pragma once

#include <array>

#include "quant/ggml_block.h"
#include "quant/scale_search.h"

namespace glimmer {

struct AffineSuperForm {
  int group = 0;      // columns of a scale: 16 or 32
  int max_code = 0;   // of a value
  int max_scale = 0;  // of a group's scale and minimum
  ScaleGrid grid;     // of the search without importance
  SearchError error = SearchError::kSquared;
};

struct AffineSuperBlock {
  std::array<uint8_t, 16> scales;  // of groups; for values that are not finite they may exceed max_scale
  std::array<uint8_t, 16> mins;
  std::array<uint8_t, 256> codes;
  float d = 0;  // as f16 stores it
  float dmin = 0;
};

// The scales, and the codes that belong to the search's own scales; d and dmin go to `d_out` as two f16.
AffineSuperBlock search_affine_super_block(const AffineSuperForm& form, const BlockValues& in, std::byte* d_out);

// Codes for the scales as they are stored; those of groups of scale 0 stay.
void recode_affine_super_block(const AffineSuperForm& form, const float* x, AffineSuperBlock& block);

// Eight scales and eight minima of 6 bits in 12 bytes, as Q4_K and Q5_K store them: the first four of each in the low
// bits of bytes 0 to 7, their neighbours' upper two bits above them, the low halves of the last four in bytes 8 to 11.
// Packing cuts them off at 63; the block keeps what was packed.
void pack_six_bit_scales(AffineSuperBlock& block, std::byte* out);
void unpack_six_bit_scales(const std::byte* packed, uint8_t* scales, uint8_t* mins);

// The record of WeightScales::kSuperU8 from a block that begins with d, dmin and the 12 bytes above.
void unpack_super_u8(const std::byte* block, std::byte* record);

}  // namespace glimmer
