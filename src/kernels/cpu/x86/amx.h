// What the amx table does by itself; the rest it shares with avx512 and avx512_bf16.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::amx {

// linear_amx.cc
ActivationType fast_activations(const WeightLayout& layout);
void linear(const Linear& args, int64_t panel_begin, int64_t panel_end);

// attention_amx.cc
void attention_block(const AttentionBlock& args);

}  // namespace glimmer::kernels::amx
