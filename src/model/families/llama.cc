// llama: dense, GQA, half-split rotary embedding over the whole head, optional biases.
// Source: transformers 5.17, models/llama.
#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"

namespace glimmer {
namespace {

void read_llama(ConfigReader& reader, ModelConfig& config) {
  read_gqa(reader, config, {.bias_of_output_too = true, .one_key_value_head_a_head = true});
  read_whole_rope(reader, config, config.head_dim, RopePairing::kHalfSplit);
  config.mlp_bias = reader.bool_or("mlp_bias", false);
}

}  // namespace

extern const Family kLlama = {
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .models = "Llama 2, 3, 3.1, 3.2, SmolLM2",
    .read_config = read_llama,
    .bind_layer = bind_pre_norm_layer,
    .forward_layer = forward_pre_norm_layer,
};

}  // namespace glimmer
