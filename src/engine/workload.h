// Memory traffic and arithmetic of a forward pass, computed from a model's sizes: to rate measured speeds, and to
// estimate them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "ops/context.h"
#include "tensor/named_shape.h"

namespace glimmer {

struct SizedTensor {
  NamedShape tensor;
  int64_t bytes = 0;  // in memory
};
// The same as Model::weight_bytes, of a model that is not loaded.
WeightBytes weight_bytes_of(const ModelConfig& config, std::span<const SizedTensor> tensors);

struct Workload {
  WeightBytes weights;
  int64_t n_routed_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t kv_bytes_per_token = 0;  // of the cache, all layers
  // Multiplications and additions
  double token_flop = 0;      // of one token with all matrices that it passes through, but the head
  double head_flop = 0;       // of the logits of one token
  double attention_flop = 0;  // of one query with one key and its value, all heads and layers (MLA: absorbed)
};
Workload workload_of(const ModelConfig& config, WeightBytes weights, KvType kv_type);

// Expected number of distinct experts that `tokens` tokens choose in a layer, if all are equally likely.
double expected_experts(const Workload& work, int64_t tokens);

// What one step reads when `experts` of each sparse layer are chosen and its queries attend to `keys` tokens in all.
double step_bytes(const Workload& work, double experts, int64_t keys);

// Of `tokens` new tokens after `past` of them, with logits for `logits` of them.
double step_flop(const Workload& work, int64_t past, int64_t tokens, int64_t logits);

}  // namespace glimmer
