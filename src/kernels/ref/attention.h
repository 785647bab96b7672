// The reference's functions of attention, for its table. kernel_table.h says what they do.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::ref {

void decode_kv(const KvDecode& args);
void attention_queries(const AttentionQueries& args);
void attention_block(const AttentionBlock& args);
void attention_fold(const AttentionFold& args);

}  // namespace glimmer::kernels::ref
