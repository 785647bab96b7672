// ModelConfig: the contents of config.json, in one form for both styles of it (transformers 4 and 5).
// Names are config.json's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/side_files.h"
#include "ops/moe.h"
#include "ops/rope.h"

namespace glimmer {

enum class AttentionKind { kGqa, kMla };
enum class MlpLayerType { kDense, kSparse };

struct RopeParameters {
  std::string rope_type = "default";  // default, linear, yarn, llama3
  double rope_theta = 0;
  double partial_rotary_factor = 1;
  RopePairing pairing = RopePairing::kHalfSplit;
  int64_t rotary_dim = 0;  // leading values of a head (of its rope part, in MLA) that are rotated
  double factor = 1;       // linear, yarn, llama3
  // yarn, llama3
  int64_t original_max_position_embeddings = 0;
  // yarn
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;
  double attention_factor = 1;  // cos and sin are multiplied by it
  double mscale_all_dim = 0;    // all but default, in MLA: scales the scores too
  // llama3
  double low_freq_factor = 0;
  double high_freq_factor = 0;
};

struct ModelConfig {
  std::string source;  // the file, for messages
  std::string model_type;
  std::string architecture;

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t max_position_embeddings = 0;
  std::string hidden_act;
  double rms_norm_eps = 0;
  bool tie_word_embeddings = false;
  std::string dtype;  // of the checkpoint, as stated; "" if not

  AttentionKind attention = AttentionKind::kGqa;
  int64_t num_attention_heads = 0;
  bool attention_bias = false;         // GQA: of q, k, v; MLA: of q_a, kv_a, o
  bool attention_output_bias = false;  // GQA: of o
  RopeParameters rope_parameters;
  double attention_scale = 0;  // of q.k
  // GQA
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  bool use_qk_norm = false;
  // MLA
  int64_t q_lora_rank = 0;  // 0: plain q_proj
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  double lora_norm_eps = 0;  // of q_a_layernorm and kv_a_layernorm

  std::vector<MlpLayerType> mlp_layer_types;  // one a layer
  bool mlp_bias = false;                      // of dense layers
  int64_t moe_intermediate_size = 0;
  int64_t n_routed_experts = 0;  // 0: no sparse layer in this family
  int64_t num_experts_per_tok = 0;
  int64_t n_shared_experts = 0;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  RouterScoring router_scoring = RouterScoring::kSigmoid;  // kSigmoid has an e_score_correction_bias, kSoftmax none
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1;

  int64_t num_nextn_predict_layers = 0;  // MTP layers that the checkpoint may hold, at index num_hidden_layers and on
  std::vector<int32_t> eos_token_id;     // config.json's; generation_config.json's takes precedence
  std::vector<std::string> defaults_taken;  // "n_group = 1": absent from the file, taken as transformers does

  bool is_sparse(int64_t layer) const { return mlp_layer_types[layer] == MlpLayerType::kSparse; }
  int64_t qk_head_dim() const {
    return attention == AttentionKind::kMla ? qk_nope_head_dim + qk_rope_head_dim : head_dim;
  }
  // Values per token and layer in the KV cache.
  int64_t kv_values_per_token_and_layer() const {
    return attention == AttentionKind::kMla ? kv_lora_rank + qk_rope_head_dim : 2 * num_key_value_heads * head_dim;
  }
};

// Reads config.json. Throws an Error that names the file and the field: missing, of another type, out of range, or a
// value that is not among the known (model_type, hidden_act, rope_type), which the message lists.
ModelConfig read_config(const std::filesystem::path& config_json);
ModelConfig read_config(const SideFiles& files);  // kNotFound if there is none
ModelConfig parse_config(const Json& json, const std::string& source);

}  // namespace glimmer
