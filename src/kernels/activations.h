// Rules on activation types that tables share (kernel_table.h). Declarations only, since files compiled for one
// instruction set include this: an inline function would be emitted with instructions that others lack.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels {

// Whether such weights can be requantised to 8 bits for matmuls with kInt8: integer codes, or a table without offsets.
bool has_int8_weights(const WeightLayout& layout);

// Whether weights have codes that kInt8Groups takes: integers, or a table that is integers of 8 bits once multiplied by
// table_unit().
bool has_int8_codes(const WeightLayout& layout);

// The least of 1, 2 and 4 that makes every value of a table a whole number between -127 and 127; 0 if none does.
int table_unit(const float* table);

}  // namespace glimmer::kernels
