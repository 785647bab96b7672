#include "engine/workload.h"

#include <cmath>
#include <numeric>

#include "model/expected_tensors.h"
#include "model/kv_cache.h"
#include "model/summary.h"
#include "model/tensor_names.h"

namespace glimmer {
namespace {

double attention_flop_of(const ModelConfig& c) {
  const int64_t values = c.attention == AttentionKind::kMla ? 2 * c.kv_lora_rank + c.qk_rope_head_dim : 2 * c.head_dim;
  return 2.0 * static_cast<double>(values * c.num_attention_heads * c.num_hidden_layers);
}

}  // namespace

WeightBytes weight_bytes_of(const ModelConfig& config, std::span<const SizedTensor> tensors) {
  WeightBytes bytes;
  bytes.one_expert.assign(static_cast<size_t>(config.num_hidden_layers), 0);
  for (const SizedTensor& sized : tensors) {
    if (sized.tensor.shape.rank() != 2) continue;
    switch (tensor_role(sized.tensor.name, config.num_hidden_layers)) {
      case TensorRole::kMtp:
      case TensorRole::kOther:
        continue;
      case TensorRole::kRoutedExpert:
        bytes.one_expert[static_cast<size_t>(*layer_index(sized.tensor.name))] += sized.bytes;
        break;
      case TensorRole::kEmbedding:
        if (config.tie_word_embeddings) bytes.every_step += sized.bytes;
        break;
      default:
        bytes.every_step += sized.bytes;
    }
    bytes.total += sized.bytes;
  }
  for (int64_t& expert : bytes.one_expert) expert /= std::max<int64_t>(1, config.n_routed_experts);
  return bytes;
}

Workload workload_of(const ModelConfig& config, WeightBytes weights, KvType kv_type) {
  Workload work{.weights = std::move(weights),
                .n_routed_experts = config.n_routed_experts,
                .num_experts_per_tok = config.num_experts_per_tok,
                .kv_bytes_per_token = KvCache::bytes_per_token(config, kv_type),
                .head_flop = 2.0 * static_cast<double>(config.vocab_size * config.hidden_size),
                .attention_flop = attention_flop_of(config)};
  for (const NamedShape& tensor : expected_tensors(config, KvBForm::kHalves)) {
    if (tensor.shape.rank() != 2) continue;
    const auto flop = 2.0 * static_cast<double>(tensor.shape.element_count());
    switch (tensor_role(tensor.name, config.num_hidden_layers)) {
      case TensorRole::kEmbedding:
      case TensorRole::kHead:
        break;
      case TensorRole::kRoutedExpert:
        work.token_flop +=
            flop * static_cast<double>(config.num_experts_per_tok) / static_cast<double>(config.n_routed_experts);
        break;
      default:
        work.token_flop += flop;
    }
  }
  return work;
}

double expected_experts(const Workload& work, int64_t tokens) {
  if (work.n_routed_experts == 0) return 0;
  const auto experts = static_cast<double>(work.n_routed_experts);
  const double missed = 1 - static_cast<double>(work.num_experts_per_tok) / experts;
  return experts * (1 - std::pow(missed, static_cast<double>(tokens)));
}

double step_bytes(const Workload& work, double experts, int64_t keys) {
  const auto of_one =
      static_cast<double>(std::accumulate(work.weights.one_expert.begin(), work.weights.one_expert.end(), int64_t{0}));
  return static_cast<double>(work.weights.every_step) + experts * of_one +
         static_cast<double>(work.kv_bytes_per_token) * static_cast<double>(keys);
}

double step_flop(const Workload& work, int64_t past, int64_t tokens, int64_t logits) {
  const auto count = static_cast<double>(tokens);
  const double pairs = count * static_cast<double>(past) + count * (count + 1) / 2;
  return count * work.token_flop + pairs * work.attention_flop + static_cast<double>(logits) * work.head_flop;
}

}  // namespace glimmer
