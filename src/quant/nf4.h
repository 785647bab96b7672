// What a reader of bitsandbytes' checkpoints must compare: the one table that the type nf4 knows.
#pragma once

#include <span>

namespace glimmer {

// The values of codes 0 to 15, times absmax; `.weight.quant_map` of each matrix repeats them.
std::span<const float, 16> nf4_table();

}  // namespace glimmer
