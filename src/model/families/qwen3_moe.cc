// qwen3_moe: qwen3 with softmax-routed experts, without a shared one, in all layers or some.
// Source: transformers 5.17, models/qwen3_moe.
#include <algorithm>

#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"

namespace glimmer {
namespace {

// Sparse: each decoder_sparse_step-th layer, but for those in mlp_only_layers.
void read_sparse_layers(ConfigReader& reader, ModelConfig& config) {
  const int64_t count = config.num_hidden_layers;
  const int64_t step = reader.int_or("decoder_sparse_step", 1);
  for (int64_t layer = step - 1; layer < count; layer += step) config.mlp_layer_types[layer] = MlpLayerType::kSparse;
  const Json* dense = reader.find("mlp_only_layers");
  if (dense == nullptr) return;
  const auto is_layer = [&](const Json& index) { return index.is_number_integer() && index >= 0 && index < count; };
  if (!dense->is_array() || !std::all_of(dense->begin(), dense->end(), is_layer)) {
    reader.fail_field("mlp_only_layers", fmt::format("a list of layers from 0 to {}", count - 1));
  }
  for (const Json& layer : *dense) config.mlp_layer_types[layer.get<size_t>()] = MlpLayerType::kDense;
}

void read_qwen3_moe(ConfigReader& reader, ModelConfig& config) {
  read_gqa(reader, config, {.bias_of_output_too = true});
  config.use_qk_norm = true;
  read_whole_rope(reader, config, config.head_dim, RopePairing::kHalfSplit);
  expect_full_attention(reader);
  read_expert_sizes(reader, config, "num_experts");
  config.router_scoring = RouterScoring::kSoftmax;
  config.norm_topk_prob = reader.bool_or("norm_topk_prob", false);
  read_sparse_layers(reader, config);
}

}  // namespace

extern const Family kQwen3Moe = {
    .model_type = "qwen3_moe",
    .architecture = "Qwen3MoeForCausalLM",
    .models = "Qwen3-30B-A3B, Qwen3-235B-A22B, Qwen3-Coder",
    .read_config = read_qwen3_moe,
    .bind_layer = bind_pre_norm_layer,
    .forward_layer = forward_pre_norm_layer,
};

}  // namespace glimmer
