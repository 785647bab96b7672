#include "model/summary.h"

#include <algorithm>

#include "model/kv_cache.h"
#include "model/tensor_names.h"

namespace glimmer {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

std::string_view tensor_role_name(TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
      return "embedding";
    case TensorRole::kHead:
      return "head";
    case TensorRole::kNorm:
      return "norms";
    case TensorRole::kAttention:
      return "attention";
    case TensorRole::kDenseMlp:
      return "dense MLP";
    case TensorRole::kRouter:
      return "router";
    case TensorRole::kRoutedExpert:
      return "routed experts";
    case TensorRole::kSharedExpert:
      return "shared experts";
    case TensorRole::kMtp:
      return "MTP (not run)";
    case TensorRole::kOther:
      return "other";
  }
  return "";
}

TensorRole tensor_role(std::string_view name, int64_t num_hidden_layers) {
  if (name.starts_with("model.embed_tokens.")) return TensorRole::kEmbedding;
  if (name.starts_with("lm_head.")) return TensorRole::kHead;
  if (name.starts_with("model.norm.")) return TensorRole::kNorm;
  const std::optional<int64_t> layer = layer_index(name);
  if (!layer) return TensorRole::kOther;
  if (*layer >= num_hidden_layers) return TensorRole::kMtp;
  if (contains(name, ".self_attn.")) return TensorRole::kAttention;  // q_norm, q_a_layernorm, ... are its own
  if (contains(name, ".mlp.shared_experts.")) return TensorRole::kSharedExpert;
  if (contains(name, ".mlp.experts.")) return TensorRole::kRoutedExpert;
  if (contains(name, ".mlp.gate.")) return TensorRole::kRouter;
  if (contains(name, ".mlp.")) return TensorRole::kDenseMlp;
  return contains(name, "layernorm.") ? TensorRole::kNorm : TensorRole::kOther;
}

TensorTotals& TensorTotals::operator+=(const TensorTotals& other) {
  tensors += other.tensors;
  parameters += other.parameters;
  bytes += other.bytes;
  return *this;
}

const TensorTotals& ModelSummary::role(TensorRole role) const {
  static const TensorTotals kNone;
  const auto found = by_role.find(role);
  return found == by_role.end() ? kNone : found->second;
}

ModelSummary summarize(const ModelConfig& config, std::span<const SourceTensor> tensors) {
  ModelSummary summary;
  for (const SourceTensor& tensor : tensors) {
    const TensorTotals one{.tensors = 1,
                           .parameters = tensor.shape.element_count(),
                           .bytes = static_cast<int64_t>(ModelSource::stored_bytes(tensor))};
    summary.by_role[tensor_role(tensor.name, config.num_hidden_layers)] += one;
    summary.by_dtype[std::string(ModelSource::stored_type(tensor))] += one;
    summary.total += one;
  }
  const auto parameters = [&](TensorRole role) { return summary.role(role).parameters; };
  summary.main_parameters = summary.total.parameters - parameters(TensorRole::kMtp);

  const int64_t experts = parameters(TensorRole::kRoutedExpert);
  const int64_t idle_experts = config.n_routed_experts > 0 ? experts / config.n_routed_experts *
                                                                 (config.n_routed_experts - config.num_experts_per_tok)
                                                           : 0;
  summary.active_parameters_no_head =
      summary.main_parameters - parameters(TensorRole::kEmbedding) - parameters(TensorRole::kHead) - idle_experts;
  summary.active_parameters = summary.active_parameters_no_head +
                              parameters(config.tie_word_embeddings ? TensorRole::kEmbedding : TensorRole::kHead);

  summary.kv_bytes_per_token = KvCache::bytes_per_token(config, KvType::kF32);
  summary.kv_bytes_per_token_bf16 = KvCache::bytes_per_token(config, KvType::kBF16);
  return summary;
}

}  // namespace glimmer
