#include "source/chatglm.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/error.h"
#include "source/json_field.h"

namespace glimmer {
namespace {

using Renamed = std::pair<std::string_view, std::string_view>;

constexpr std::array<Renamed, 3> kOutside = {{
    {"transformer.embedding.word_embeddings.weight", "model.embed_tokens.weight"},
    {"transformer.encoder.final_layernorm.weight", "model.norm.weight"},
    {"transformer.output_layer.weight", "lm_head.weight"},
}};

constexpr std::array<Renamed, 5> kOfLayer = {{
    {"input_layernorm.weight", "input_layernorm.weight"},
    {"post_attention_layernorm.weight", "post_attention_layernorm.weight"},
    {"self_attention.dense.weight", "self_attn.o_proj.weight"},
    {"mlp.dense_h_to_4h.weight", "mlp.gate_up_proj.weight"},
    {"mlp.dense_4h_to_h.weight", "mlp.down_proj.weight"},
}};

std::string_view renamed(std::span<const Renamed> table, std::string_view name) {
  for (const auto& [stored, here] : table) {
    if (stored == name) return here;
  }
  return {};
}

bool require_bool(const JsonFields& fields, std::string_view field) {
  if (fields.find(field) == nullptr) fields.refuse(field, "true or false");
  return fields.bool_or(field, false);
}

void expect(const JsonFields& fields, std::string_view field, bool known) {
  if (fields.bool_or(field, known) != known) {
    fields.unsupported(field, fmt::format("not supported in chatglm layout; known: {}", known));
  }
}

void expect_family_glm(const JsonFields& fields) {
  expect(fields, "rmsnorm", true);
  expect(fields, "post_layer_norm", true);
  expect(fields, "original_rope", true);
  expect(fields, "add_bias_linear", false);
  expect(fields, "apply_residual_connection_post_layernorm", false);
  for (const std::string_view field :
       {"vision_config", "rope_scaling", "quantization_config", "quantization", "pre_seq_len"}) {
    if (fields.find(field) != nullptr) fields.unsupported(field, "not supported in chatglm layout; known: none");
  }
  if (fields.int_or("quantization_bit", 0) != 0) {
    fields.unsupported("quantization_bit", "not supported in chatglm layout; known: 0");
  }
}

}  // namespace

bool is_chatglm(const Json& config) {
  return config.is_object() && config.contains("model_type") && config["model_type"] == "chatglm";
}

Json glm_config_of(const Json& chatglm_config, std::string_view source) {
  const JsonFields fields(chatglm_config, source);
  expect_family_glm(fields);
  const double rope_ratio = fields.number_or("rope_ratio", 1);
  if (!(rope_ratio > 0)) fields.refuse("rope_ratio", "a number above 0");
  const int64_t heads = fields.require_int("num_attention_heads");
  const bool grouped = require_bool(fields, "multi_query_attention");
  Json glm = {{"model_type", "glm"},
              {"architectures", {"GlmForCausalLM"}},
              {"vocab_size", fields.require_int("padded_vocab_size")},
              {"hidden_size", fields.require_int("hidden_size")},
              {"intermediate_size", fields.require_int("ffn_hidden_size")},
              {"num_hidden_layers", fields.require_int("num_layers")},
              {"num_attention_heads", heads},
              {"num_key_value_heads", grouped ? fields.require_int("multi_query_group_num") : heads},
              {"head_dim", fields.require_int("kv_channels")},
              {"max_position_embeddings", fields.require_int("seq_length")},
              {"hidden_act", "silu"},
              {"rms_norm_eps", fields.require_number("layernorm_epsilon")},
              {"attention_bias", require_bool(fields, "add_qkv_bias")},
              {"tie_word_embeddings", require_bool(fields, "tie_word_embeddings")},
              {"rope_theta", 10000 * rope_ratio},
              {"rope_scaling", nullptr},
              {"partial_rotary_factor", 0.5}};
  for (const std::string_view field : {"torch_dtype", "dtype", "eos_token_id", "pad_token_id", "bos_token_id"}) {
    if (const Json* value = fields.find(field); value != nullptr) glm[std::string(field)] = *value;
  }
  return glm;
}

ChatglmRows chatglm_rows(const Json& glm_config) {
  const JsonFields fields(glm_config, "config.json");
  const int64_t head_dim = fields.require_int("head_dim");
  const int64_t kv = fields.require_int("num_key_value_heads") * head_dim;
  return {.q = fields.require_int("num_attention_heads") * head_dim, .k = kv, .v = kv};
}

std::optional<std::vector<ChatglmPart>> chatglm_parts(std::string_view name, const ChatglmRows& rows) {
  using Parts = std::vector<ChatglmPart>;
  if (name == "transformer.rotary_pos_emb.inv_freq") return Parts{};  // follows from config.json
  if (const std::string_view here = renamed(kOutside, name); !here.empty()) return Parts{{.name = std::string(here)}};

  constexpr std::string_view kLayers = "transformer.encoder.layers.";
  if (!name.starts_with(kLayers)) return std::nullopt;
  name.remove_prefix(kLayers.size());
  const size_t dot = name.find('.');
  const std::string_view layer = name.substr(0, dot);
  const bool is_number = !layer.empty() && layer.size() <= 9 && (layer == "0" || layer[0] != '0') &&
                         std::all_of(layer.begin(), layer.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number || dot == std::string_view::npos) return std::nullopt;
  name.remove_prefix(dot + 1);
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  if (const std::string_view here = renamed(kOfLayer, name); !here.empty()) {
    return Parts{{.name = prefix + std::string(here)}};
  }
  for (const std::string_view leaf : {"weight", "bias"}) {
    if (name != fmt::format("self_attention.query_key_value.{}", leaf)) continue;
    return Parts{{fmt::format("{}self_attn.q_proj.{}", prefix, leaf), 0, rows.q},
                 {fmt::format("{}self_attn.k_proj.{}", prefix, leaf), rows.q, rows.k},
                 {fmt::format("{}self_attn.v_proj.{}", prefix, leaf), rows.q + rows.k, rows.v}};
  }
  return std::nullopt;
}

}  // namespace glimmer
