// How a matrix of some width is written in a type: the parameters that we choose where a type leaves them open, and the
// type that takes over where a row is no whole number of its blocks.
#pragma once

#include "quant/quant_type.h"

namespace glimmer {

// fp8: blocks of 128 x 128; nf4: groups of 64; mlx: groups of 64, else 32, scales in bf16. Nothing for the others.
QuantParams default_params(const QuantType& type, int64_t columns);

// Whether rows of `columns` can be written in the type with those parameters, and read by kernels.
bool fits_columns(const QuantType& type, int64_t columns);

// The type that llama.cpp writes instead, by name; "" where nothing but floats is left.
std::string_view fallback_type(std::string_view type);

}  // namespace glimmer
