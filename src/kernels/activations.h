// What tables share about the types of activations (kernel_table.h). Declarations only: files that are compiled for one
// instruction set include this.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels {

// Whether such weights can be taken to 8 bits for products with kInt8: codes of integers, or a table without offsets.
bool has_int8_weights(const WeightLayout& layout);

}  // namespace glimmer::kernels
