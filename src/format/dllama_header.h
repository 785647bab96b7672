// The header of a Distributed Llama model file (.m): magic, size, and pairs of int32 key and value.
// docs/formats.md, section "Distributed Llama", has every byte. Keys 0 to 21 are the format's own; keys from 100 up are
// Glimmer's, and say what the format has no word for. A file without them is read by Distributed Llama itself.
// Source: b4rtaz/distributed-llama 8d624a7, src/llm.{hpp,cpp}, converter/writer.py, converter/convert-hf.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace glimmer {

enum class DllamaArch : int32_t {
  kLlama = 0xABCD00,
  kQwen3 = 0xABCD01,
  kQwen3Moe = 0xABCD02,
  // Glimmer's
  kGlm4 = 0xABCD03,         // glm and glm4
  kGlm4Moe = 0xABCD04,      // glm4_moe
  kGlm4MoeLite = 0xABCD05,  // glm4_moe_lite
};
inline bool is_upstream(DllamaArch arch) { return arch <= DllamaArch::kQwen3Moe; }
inline bool is_moe(DllamaArch arch) { return arch == DllamaArch::kQwen3Moe || arch >= DllamaArch::kGlm4Moe; }
std::string_view dllama_arch_name(DllamaArch arch);  // "LLAMA", ..., "GLM4_MOE_LITE"

struct DllamaRopeScaling {
  enum class Type : int32_t { kNone = 0, kLinear = 1, kYarn = 2, kLlama3 = 3 };
  Type type = Type::kNone;
  double factor = 1;
  int64_t original_max_position_embeddings = 0;  // llama3, yarn
  double low_freq_factor = 1;                    // llama3
  double high_freq_factor = 1;
  double beta_fast = 32;  // yarn
  double beta_slow = 1;
  bool truncate = true;
  double attention_factor = 1;
  double mscale_all_dim = 0;  // linear, yarn

  bool operator==(const DllamaRopeScaling&) const = default;
};

// Names are config.json's. What an architecture does not have keeps its initial value.
struct DllamaHeader {
  DllamaArch arch = DllamaArch::kLlama;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t head_dim = 0;   // 0 with latent attention
  bool gelu = false;      // hidden_act, else silu
  double rope_theta = 0;  // whole for a file that Distributed Llama can read
  bool rope_interleaved = false;
  double rms_norm_eps = 0;      // 1e-5 or 1e-6 for such a file
  DType weights = DType::kF32;  // F32, F16, Q4_0 (its Q40), Q8_0 (its Q80): of all matrices but embed_tokens and router

  // Mixture of experts.
  int64_t n_routed_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t moe_intermediate_size = 0;
  std::vector<bool> sparse_layers;  // one a layer, those for multi-token prediction behind the others
  int64_t n_shared_experts = 0;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1;

  // Attention.
  bool attention_bias = false;
  bool use_qk_norm = false;
  double partial_rotary_factor = 1;
  DllamaRopeScaling rope_scaling;
  int64_t q_lora_rank = 0;  // 0: plain q_proj
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  bool split_kv_b = false;  // kv_b_proj as embed_q and unembed_out

  bool tie_word_embeddings = false;  // no lm_head is stored
  bool sandwich_norms = false;       // glm4: norms after attention and after the feed-forward too
  bool fused_gate_up = false;        // glm, glm4: gate and up as one matrix
  int64_t num_nextn_predict_layers = 0;
  bool mtp_embed_tokens = false;  // layers for multi-token prediction have an embedding and a head of their own
  bool mtp_shared_head = false;

  // What the model says of itself.
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> pad_token_id;
  std::optional<DType> dtype;  // F32, F16, BF16: what the weights were before they came here

  // By index in the plan: matrices that are stored in another type than their place says.
  std::map<int64_t, DType> tensor_types;

  int64_t header_bytes = 0;         // set by parse: where the tensors begin
  bool has_extension_keys = false;  // set by parse

  int64_t all_layers() const { return num_hidden_layers + num_nextn_predict_layers; }
  bool is_sparse(int64_t layer) const { return sparse_layers[static_cast<size_t>(layer)]; }
};

inline constexpr int64_t kMaxDllamaLayers = 4096;
inline constexpr int64_t kMaxDllamaTensors = int64_t{1} << 18;
inline constexpr int64_t kMaxDllamaEosIds = 32;

// Strict: throws kInvalid on a wrong magic, a size that is not 8 more than whole pairs or beyond the file, a key that
// is unknown, given twice, missing, out of range or of another architecture; kUnsupported on an architecture, a float
// type or an old kind of file that is not known. Messages begin with `file_name` and name the key.
// Absent keys mean what Distributed Llama takes them for (docs/formats.md); Glimmer's architectures leave none out.
DllamaHeader parse_dllama_header(std::span<const std::byte> file, std::string_view file_name);

// The header's bytes. Only keys of the format's own if `header` has nothing that needs others. CHECKs what parse would
// refuse for its range.
std::vector<std::byte> encode_dllama_header(const DllamaHeader& header);

// Whether encode would write keys that Distributed Llama does not know: the first reason, or nothing.
std::optional<std::string_view> dllama_extension_reason(const DllamaHeader& header);

}  // namespace glimmer
