// The layout of glm-4-9b and its kin as first published, with code of their own: model_type "chatglm", other field
// names, query, key and value in one matrix. It computes what the family glm computes, so it is presented as that.
//   config.json                    here
//   num_layers, ffn_hidden_size    num_hidden_layers, intermediate_size
//   padded_vocab_size, seq_length  vocab_size, max_position_embeddings
//   kv_channels                    head_dim
//   multi_query_group_num          num_key_value_heads (with multi_query_attention; else num_attention_heads)
//   layernorm_epsilon              rms_norm_eps
//   add_qkv_bias                   attention_bias
//   rope_ratio                     rope_theta = 10000 * rope_ratio; 1 if absent, as in the published class
// Half of each head is rotated, in interleaved pairs. dense_h_to_4h is gate_up_proj: the gate's rows first.
// Source: config.json of glm-4-9b-chat; transformers, models/glm/convert_glm_weights_to_hf.py; llama.cpp, conversion.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace glimmer {

bool is_chatglm(const Json& config);  // model_type is "chatglm"

// config.json of the family glm. `source` begins every message. Throws kInvalid (a field absent or of another type),
// kUnsupported on what the family glm has no form of: biases beside q, k, v; LayerNorm; vision; quantised weights, ...
Json glm_config_of(const Json& chatglm_config, std::string_view source);

// Rows of self_attention.query_key_value that are q's, k's and v's, from the config that glm_config_of gives.
struct ChatglmRows {
  int64_t q = 0;
  int64_t k = 0;
  int64_t v = 0;
};
ChatglmRows chatglm_rows(const Json& glm_config);

// A tensor here, and which rows of the stored one it is (of a bias: which values).
struct ChatglmPart {
  std::string name;
  int64_t first_row = 0;
  int64_t rows = 0;  // 0: all of them
};
// What the stored tensor `name` is here. No part: it is known and not needed. Nothing: it is not known.
std::optional<std::vector<ChatglmPart>> chatglm_parts(std::string_view name, const ChatglmRows& rows);

}  // namespace glimmer
