// Sizes and parameter counts of a checkpoint, from tensor names and shapes alone, for `inspect`. Reads no weights.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "source/model_source.h"

namespace glimmer {

// The part of the model that a tensor belongs to.
enum class TensorRole {
  kEmbedding,     // model.embed_tokens
  kHead,          // lm_head
  kNorm,          // norms of the main layers and the last one
  kAttention,     // self_attn of the main layers
  kDenseMlp,      // mlp of the dense layers
  kRouter,        // mlp.gate and its e_score_correction_bias
  kRoutedExpert,  // mlp.experts, one by one or fused
  kSharedExpert,  // mlp.shared_experts
  kMtp,           // layers at index num_hidden_layers and on: multi-token prediction, which the forward pass leaves out
  kOther,         // a name that no GLM checkpoint has
};

std::string_view tensor_role_name(TensorRole role);  // "embedding", "routed experts", ...

// The role that the name of a tensor gives it in a model of num_hidden_layers.
TensorRole tensor_role(std::string_view name, int64_t num_hidden_layers);

struct TensorTotals {
  int64_t tensors = 0;
  int64_t parameters = 0;  // weights; their scales are not among them
  int64_t bytes = 0;       // in the files, scales among them

  TensorTotals& operator+=(const TensorTotals& other);
};

struct ModelSummary {
  std::map<TensorRole, TensorTotals> by_role;
  std::map<std::string, TensorTotals, std::less<>> by_dtype;
  TensorTotals total;

  int64_t main_parameters = 0;  // all but MTP
  // Parameters that one token passes through, num_experts_per_tok of the routed experts among them. The embedding is a
  // look-up of one row and counts in neither; a tied head counts as the head.
  int64_t active_parameters = 0;  // with the head
  int64_t active_parameters_no_head = 0;

  int64_t kv_bytes_per_token = 0;       // as KvCache holds it in exact precision: float32
  int64_t kv_bytes_per_token_bf16 = 0;  // and in fast precision

  const TensorTotals& role(TensorRole role) const;  // zeros if no tensor has it
};

ModelSummary summarize(const ModelConfig& config, std::span<const SourceTensor> tensors);

}  // namespace glimmer
