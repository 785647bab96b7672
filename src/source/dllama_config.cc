#include "source/dllama_config.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace glimmer {
namespace {

struct FamilyName {
  const char* model_type;
  const char* architecture;
};

FamilyName family_of(const DllamaHeader& header) {
  switch (header.arch) {
    case DllamaArch::kLlama:
      return {"llama", "LlamaForCausalLM"};
    case DllamaArch::kQwen3:
      return {"qwen3", "Qwen3ForCausalLM"};
    case DllamaArch::kQwen3Moe:
      return {"qwen3_moe", "Qwen3MoeForCausalLM"};
    case DllamaArch::kGlm4:
      if (header.sandwich_norms) return {"glm4", "Glm4ForCausalLM"};
      return {"glm", "GlmForCausalLM"};
    case DllamaArch::kGlm4Moe:
      return {"glm4_moe", "Glm4MoeForCausalLM"};
    case DllamaArch::kGlm4MoeLite:
      return {"glm4_moe_lite", "Glm4MoeLiteForCausalLM"};
  }
  return {"", ""};
}

Json rope_scaling(const DllamaRopeScaling& scaling) {
  Json json;
  switch (scaling.type) {
    case DllamaRopeScaling::Type::kNone:
      return nullptr;
    case DllamaRopeScaling::Type::kLlama3:
      json["rope_type"] = "llama3";
      json["factor"] = scaling.factor;
      json["low_freq_factor"] = scaling.low_freq_factor;
      json["high_freq_factor"] = scaling.high_freq_factor;
      json["original_max_position_embeddings"] = scaling.original_max_position_embeddings;
      return json;
    case DllamaRopeScaling::Type::kLinear:
      json["rope_type"] = "linear";
      json["factor"] = scaling.factor;
      break;
    case DllamaRopeScaling::Type::kYarn:
      json["rope_type"] = "yarn";
      json["factor"] = scaling.factor;
      json["original_max_position_embeddings"] = scaling.original_max_position_embeddings;
      json["beta_fast"] = scaling.beta_fast;
      json["beta_slow"] = scaling.beta_slow;
      json["truncate"] = scaling.truncate;
      json["attention_factor"] = scaling.attention_factor;
      break;
  }
  if (scaling.mscale_all_dim != 0) json["mscale_all_dim"] = scaling.mscale_all_dim;
  return json;
}

void put_layer_types(Json& json, const DllamaHeader& h) {
  const auto end = h.sparse_layers.begin() + h.num_hidden_layers;
  const auto first_sparse = std::find(h.sparse_layers.begin(), end, true);
  const bool dense_first = std::find(first_sparse, end, false) == end;
  if (dense_first) json["first_k_dense_replace"] = first_sparse - h.sparse_layers.begin();
  if (dense_first && h.arch == DllamaArch::kGlm4Moe) return;
  Json types = Json::array();
  for (auto it = h.sparse_layers.begin(); it != end; ++it) types.push_back(*it ? "sparse" : "dense");
  json["mlp_layer_types"] = std::move(types);
}

void put_moe(Json& json, const DllamaHeader& h) {
  json["moe_intermediate_size"] = h.moe_intermediate_size;
  json["num_experts_per_tok"] = h.num_experts_per_tok;
  if (h.arch == DllamaArch::kQwen3Moe) {
    json["num_experts"] = h.n_routed_experts;
    json["decoder_sparse_step"] = 1;
    json["mlp_only_layers"] = Json::array();
    json["norm_topk_prob"] = true;  // as Distributed Llama runs it
    return;
  }
  json["n_routed_experts"] = h.n_routed_experts;
  json["n_shared_experts"] = h.n_shared_experts;
  json["n_group"] = h.n_group;
  json["topk_group"] = h.topk_group;
  json["norm_topk_prob"] = h.norm_topk_prob;
  json["routed_scaling_factor"] = h.routed_scaling_factor;
  json["num_nextn_predict_layers"] = h.num_nextn_predict_layers;
  put_layer_types(json, h);
}

void put_attention(Json& json, const DllamaHeader& h) {
  json["attention_bias"] = h.attention_bias;
  json["num_attention_heads"] = h.num_attention_heads;
  json["num_key_value_heads"] = h.num_key_value_heads;
  if (h.arch == DllamaArch::kGlm4Moe) json["use_qk_norm"] = h.use_qk_norm;
  if (h.arch != DllamaArch::kGlm4MoeLite) {
    json["head_dim"] = h.head_dim;
    return;
  }
  json["q_lora_rank"] = h.q_lora_rank == 0 ? Json(nullptr) : Json(h.q_lora_rank);
  json["kv_lora_rank"] = h.kv_lora_rank;
  json["qk_nope_head_dim"] = h.qk_nope_head_dim;
  json["qk_rope_head_dim"] = h.qk_rope_head_dim;
  json["v_head_dim"] = h.v_head_dim;
  json["rope_interleave"] = h.rope_interleaved;
}

// Which values are rotated together belongs to the family, but for glm4_moe_lite.
void check_pairing(const DllamaHeader& h, std::string_view file) {
  if (is_upstream(h.arch) || h.arch == DllamaArch::kGlm4MoeLite) return;
  const bool expected = h.arch == DllamaArch::kGlm4;
  if (h.rope_interleaved == expected) return;
  fail(ErrorCode::kUnsupported, "{}: header key 18 (rope_type): {}, expected {} for {}", file,
       h.rope_interleaved ? 0 : 1, expected ? 0 : 1, dllama_arch_name(h.arch));
}

void put_ids(Json& json, const DllamaHeader& h, const DllamaIds& ids) {
  if (ids.bos) json["bos_token_id"] = *ids.bos;
  if (!ids.eos.empty()) json["eos_token_id"] = ids.eos;
  if (h.pad_token_id) json["pad_token_id"] = *h.pad_token_id;
}

}  // namespace

std::string dllama_config_json(const DllamaHeader& h, const DllamaIds& ids, std::string_view file) {
  check_pairing(h, file);
  const FamilyName family = family_of(h);
  Json json;
  json["architectures"] = {family.architecture};
  put_attention(json, h);
  put_ids(json, h, ids);
  if (h.dtype) json["dtype"] = *h.dtype == DType::kF32 ? "float32" : *h.dtype == DType::kF16 ? "float16" : "bfloat16";
  json["hidden_act"] = h.gelu ? "gelu" : "silu";
  json["hidden_size"] = h.hidden_size;
  json["intermediate_size"] = h.intermediate_size;
  json["max_position_embeddings"] = h.max_position_embeddings;
  json["model_type"] = family.model_type;
  if (is_moe(h.arch)) put_moe(json, h);
  json["num_hidden_layers"] = h.num_hidden_layers;
  if (!is_upstream(h.arch)) json["partial_rotary_factor"] = h.partial_rotary_factor;
  json["rms_norm_eps"] = h.rms_norm_eps;
  json["rope_scaling"] = rope_scaling(h.rope_scaling);
  json["rope_theta"] = h.rope_theta;
  json["tie_word_embeddings"] = h.tie_word_embeddings;
  json["vocab_size"] = h.vocab_size;
  return json.dump(2) + "\n";
}

std::optional<std::string> dllama_generation_config_json(const DllamaHeader& h, const DllamaIds& ids) {
  if (ids.eos.empty()) return std::nullopt;
  Json json;
  put_ids(json, h, ids);
  return json.dump(2) + "\n";
}

}  // namespace glimmer
