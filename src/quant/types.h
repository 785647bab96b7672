// The types of this folder, for registry.cc. Each is a file of its name.
#pragma once

#include "quant/quant_type.h"

namespace glimmer {

extern const QuantType kF32Type, kF16Type, kBf16Type;  // floats.cc
extern const QuantType kFp8Type;                       // fp8.cc
// ggml's blocks, and Distributed Llama's two
extern const QuantType kQ4_0Type, kQ4_1Type, kQ5_0Type, kQ5_1Type, kQ8_0Type;
extern const QuantType kQ2_KType, kQ3_KType, kQ4_KType, kQ5_KType, kQ6_KType;
extern const QuantType kIQ4_NLType, kIQ4_XSType, kMXFP4Type;
extern const QuantType kQ40Type, kQ80Type;

extern const QuantType kMlx2Type, kMlx3Type, kMlx4Type, kMlx5Type, kMlx6Type, kMlx8Type;  // mlx.cc
extern const QuantType kNf4Type, kNf4NestedType;                                          // nf4.cc
extern const QuantType kAwqType, kGptqType, kCtIntType;
extern const QuantType kNvfp4Type, kMlxMxfp4Type;  // fp4.cc

}  // namespace glimmer
