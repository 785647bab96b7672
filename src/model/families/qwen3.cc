// qwen3: llama with a norm over each head of q and k before rotation.
// Source: transformers 5.17, models/qwen3.
#include "model/config_sections.h"
#include "model/families/families.h"
#include "model/layers/decoder_layer.h"

namespace glimmer {
namespace {

void read_qwen3(ConfigReader& reader, ModelConfig& config) {
  read_gqa(reader, config, {.head_dim = 128, .bias_of_output_too = true});
  config.use_qk_norm = true;
  read_whole_rope(reader, config, config.head_dim, RopePairing::kHalfSplit);
  expect_full_attention(reader);
}

}  // namespace

extern const Family kQwen3 = {
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .models = "Qwen3 0.6B to 32B",
    .read_config = read_qwen3,
    .bind_layer = bind_pre_norm_layer,
    .forward_layer = forward_pre_norm_layer,
};

}  // namespace glimmer
