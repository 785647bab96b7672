// The types of this folder, for registry.cc. Each is a file of its name.
#pragma once

#include "quant/quant_type.h"

namespace glimmer {

extern const QuantType kF32Type, kF16Type, kBf16Type;  // floats.cc
extern const QuantType kFp8Type;                       // fp8.cc
extern const QuantType kQ4_0Type, kQ8_0Type;           // ggml's blocks

extern const QuantType kMlx2Type, kMlx3Type, kMlx4Type, kMlx5Type, kMlx6Type, kMlx8Type;  // mlx.cc
extern const QuantType kNf4Type, kNf4NestedType;                                          // nf4.cc
extern const QuantType kAwqType, kGptqType, kCtIntType;

}  // namespace glimmer
