// The architectures that llama.cpp gives the models of Glimmer's families, and their tensors' names there and here
// (source/model_source.h), both ways.
//   name        config.json   layout
//   glm4moe     glm4_moe      experts stacked; post_attention_norm is the norm before the experts
//   deepseek2   glm4_moe_lite kv_b_proj in halves, attn_k_b (transposed by head) and attn_v_b; older: attn_kv_b
//   glm4        glm4          ffn_up is gate_up_proj; four norms a layer
//   chatglm     glm           ffn_up is gate_up_proj; attn_qkv in older files
//   llama       llama         rows of attn_q and attn_k in pairs (below)
//   qwen3       qwen3
//   qwen3moe    qwen3_moe     experts stacked
// Layer numbers are the same on both sides; the MTP block is blk.{num_hidden_layers}.
// Source: llama.cpp, gguf-py/gguf/constants.py and tensor_mapping.py, src/models/, conversion/.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer {

struct GgufArchitecture {
  std::string_view name;        // general.architecture, and the first part of its keys
  std::string_view model_type;  // config.json's
  std::string_view hf_class;    // config.json's, in architectures
  uint32_t bit = 0;             // of the table of names
};

std::span<const GgufArchitecture> gguf_architectures();
// Throw kUnsupported, listing the known; `source` begins the message.
const GgufArchitecture& require_gguf_architecture(std::string_view name, std::string_view source);
const GgufArchitecture& gguf_architecture_of(std::string_view model_type, std::string_view source);

// What a tensor of a GGUF file is of tensors here.
enum class GgufForm {
  kWhole,          // one of them
  kRopePairs,      // one, a matrix or a vector: its rows in pairs, see rope_pairs
  kHeads,          // one matrix: [heads, rows, columns] there, [heads * rows, columns] here
  kExperts,        // [experts, rows, columns]: one matrix an expert; '*' in the name stands for its number
  kGateUpExperts,  // [experts, 2 * rows, columns]: gate_proj, then up_proj, of each expert. Read only
  kQkv,            // rows of q_proj, k_proj and v_proj. Read only. The name is q_proj's
};

struct GgufName {
  GgufForm form = GgufForm::kWhole;
  std::string name;     // on the other side
  int64_t expert = -1;  // gguf_name_of: the expert's number
};

// The name here of a GGUF file's tensor. Nothing if the architecture has no such tensor.
std::optional<GgufName> canonical_name_of(const GgufArchitecture& architecture, std::string_view gguf_name);
// The name in a GGUF file of a tensor here, and what part of it it is. Nothing if the architecture has no place for it.
// self_attn.kv_b_proj.weight is "attn_kv_b", of older files; whoever writes makes the halves of it.
std::optional<GgufName> gguf_name_of(const GgufArchitecture& architecture, std::string_view canonical_name);

// name with '*' replaced.
std::string expert_name(std::string_view stack_name, int64_t expert);

// How llama.cpp's converter orders the rows of q_proj and k_proj for its interleaved RoPE: with `head_dim` rows a head,
// row 2 * i + j of a head there is row j * head_dim / 2 + i here. Element r: the row there of row r here.
std::vector<int32_t> rope_pairs(int64_t rows, int64_t head_dim);
// Element r: the row here of row r there.
std::vector<int32_t> inverse_rope_pairs(int64_t rows, int64_t head_dim);

}  // namespace glimmer
