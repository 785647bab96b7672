// The metadata that a config.json becomes: the counterpart of gguf_config.cc.
#include <algorithm>

#include "base/error.h"
#include "source/gguf_config.h"
#include "source/gguf_rope.h"
#include "source/json_field.h"

namespace glimmer {
namespace {

// Appends keys of one architecture. Whole numbers are u32 and fractions f32, as llama.cpp reads them.
class Writer {
 public:
  Writer(std::vector<GgufKeyValue>& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(fmt::format("{}.", architecture)) {}

  void u32(std::string_view name, int64_t value) { add(name, static_cast<uint32_t>(value)); }
  void f32(std::string_view name, double value) { add(name, static_cast<float>(value)); }
  void boolean(std::string_view name, bool value) { add(name, value); }

 private:
  void add(std::string_view name, GgufOwnedValue value) {
    metadata_.push_back({prefix_ + std::string(name), std::move(value)});
  }
  std::vector<GgufKeyValue>& metadata_;
  std::string prefix_;
};

// What a family takes where config.json is silent: model/config_sections.cc has the same, from transformers.
struct Defaults {
  int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  double partial_rotary_factor = 1;
  double routed_scaling_factor = 1;
  bool norm_topk_prob = true;
};

Defaults defaults_of(std::string_view model_type) {
  if (model_type == "glm4_moe") return {.partial_rotary_factor = 0.5};
  if (model_type == "glm4_moe_lite") return {.routed_scaling_factor = 1.8};
  if (model_type == "glm4" || model_type == "glm") return {.head_dim = 128, .partial_rotary_factor = 0.5};
  if (model_type == "qwen3") return {.head_dim = 128};
  if (model_type == "qwen3_moe") return {.norm_topk_prob = false};
  return {};
}

int64_t head_dim_of(const JsonFields& config, const Defaults& defaults) {
  const int64_t heads = config.require_int("num_attention_heads");
  if (heads == 0) config.refuse("num_attention_heads", "a number above 0");
  return config.int_or("head_dim",
                       defaults.head_dim != 0 ? defaults.head_dim : config.require_int("hidden_size") / heads);
}

void add_gqa(const JsonFields& config, const Defaults& defaults, const RopeFields& rope, Writer& out) {
  const int64_t heads = config.require_int("num_attention_heads");
  const int64_t head_dim = head_dim_of(config, defaults);
  out.u32("attention.head_count", heads);
  out.u32("attention.head_count_kv", config.int_or("num_key_value_heads", heads));
  out.u32("attention.key_length", head_dim);
  out.u32("attention.value_length", head_dim);
  out.u32("rope.dimension_count", static_cast<int64_t>(static_cast<double>(head_dim) * rope.partial_rotary_factor));
}

// To llama.cpp MLA is attention of all heads over one key, the latent and the rotated part.
void add_mla(const JsonFields& config, Writer& out) {
  const int64_t latent = config.require_int("kv_lora_rank");
  const int64_t nope = config.require_int("qk_nope_head_dim");
  // There head_dim is another name for qk_rope_head_dim, and the stronger one.
  const int64_t rope = config.require_int(config.find("head_dim") != nullptr ? "head_dim" : "qk_rope_head_dim");
  if (!config.bool_or("rope_interleave", true)) {
    config.unsupported("rope_interleave", "GGUF's deepseek2 rotates interleaved pairs");
  }
  if (config.bool_or("attention_bias", false)) {
    config.unsupported("attention_bias", "GGUF's deepseek2 has no biases of attention");
  }
  out.u32("attention.head_count", config.require_int("num_attention_heads"));
  out.u32("attention.head_count_kv", 1);
  if (!config.has_null("q_lora_rank")) out.u32("attention.q_lora_rank", config.require_int("q_lora_rank"));
  out.u32("attention.kv_lora_rank", latent);
  out.u32("attention.key_length", latent + rope);
  out.u32("attention.value_length", latent);
  out.u32("attention.key_length_mla", nope + rope);
  out.u32("attention.value_length_mla", config.require_int("v_head_dim"));
  out.u32("rope.dimension_count", rope);
}

// GGUF has a number of dense layers, then sparse ones.
int64_t leading_dense_layers(const JsonFields& config, std::string_view model_type) {
  const Json* types = config.find("mlp_layer_types");
  const bool by_types =
      types != nullptr && (model_type == "glm4_moe_lite" || config.find("first_k_dense_replace") == nullptr);
  const int64_t layers = config.require_int("num_hidden_layers");
  if (!by_types) return std::min(layers, config.int_or("first_k_dense_replace", 1));
  if (!types->is_array() || types->size() != static_cast<size_t>(layers)) {
    config.refuse("mlp_layer_types", fmt::format("a list of num_hidden_layers = {} types", layers));
  }
  const auto first_sparse = std::find_if(types->begin(), types->end(), [](const Json& t) { return t != "dense"; });
  if (!std::all_of(first_sparse, types->end(), [](const Json& type) { return type == "sparse"; })) {
    config.unsupported("mlp_layer_types", "GGUF has dense layers first, then sparse ones");
  }
  return first_sparse - types->begin();
}

void add_glm_moe(const JsonFields& config, std::string_view model_type, const Defaults& defaults, Writer& out) {
  out.u32("leading_dense_block_count", leading_dense_layers(config, model_type));
  out.u32("expert_count",
          config.require_int(config.find("num_local_experts") != nullptr ? "num_local_experts" : "n_routed_experts"));
  out.u32("expert_used_count", config.require_int("num_experts_per_tok"));
  out.u32("expert_shared_count", config.require_int("n_shared_experts"));
  out.u32("expert_feed_forward_length", config.require_int("moe_intermediate_size"));
  out.u32("expert_gating_func", 2);  // sigmoid
  out.f32("expert_weights_scale", config.number_or("routed_scaling_factor", defaults.routed_scaling_factor));
  out.boolean("expert_weights_norm", config.bool_or("norm_topk_prob", defaults.norm_topk_prob));
  out.u32("expert_group_count", config.int_or("n_group", 1));
  out.u32("expert_group_used_count", config.int_or("topk_group", 1));
}

void add_qwen_moe(const JsonFields& config, const Defaults& defaults, Writer& out) {
  const Json* dense = config.find("mlp_only_layers");
  if (dense != nullptr && !dense->empty())
    config.unsupported("mlp_only_layers", "GGUF's qwen3moe is sparse throughout");
  if (config.int_or("decoder_sparse_step", 1) != 1) {
    config.unsupported("decoder_sparse_step", "GGUF's qwen3moe is sparse throughout");
  }
  out.u32("expert_count",
          config.require_int(config.find("num_local_experts") != nullptr ? "num_local_experts" : "num_experts"));
  out.u32("expert_used_count", config.require_int("num_experts_per_tok"));
  out.u32("expert_feed_forward_length", config.require_int("moe_intermediate_size"));
  out.boolean("expert_weights_norm", config.bool_or("norm_topk_prob", defaults.norm_topk_prob));
}

}  // namespace

std::optional<uint32_t> gguf_file_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ8_0:
      return 7;
    case DType::kQ5_0:
      return 8;
    case DType::kQ5_1:
      return 9;
    case DType::kQ2_K:
      return 10;
    case DType::kQ3_K:
      return 12;  // Q3_K_M
    case DType::kQ4_K:
      return 15;  // Q4_K_M
    case DType::kQ5_K:
      return 17;  // Q5_K_M
    case DType::kQ6_K:
      return 18;
    case DType::kIQ4_NL:
      return 25;
    case DType::kIQ4_XS:
      return 30;
    case DType::kBF16:
      return 32;
    case DType::kMXFP4:
      return 38;
    default:
      return std::nullopt;
  }
}

std::vector<GgufKeyValue> gguf_metadata(const Json& json, const GgufMetadataOptions& options, std::string_view source) {
  const JsonFields config(json, source);
  const std::string model_type = config.require_text("model_type");
  const GgufArchitecture& architecture = gguf_architecture_of(model_type, source);
  const Defaults defaults = defaults_of(model_type);
  const RopeFields rope = rope_fields_of(json, defaults.partial_rotary_factor, source);

  std::vector<GgufKeyValue> metadata;
  metadata.push_back({"general.architecture", std::string(architecture.name)});
  metadata.push_back({"general.type", std::string("model")});
  if (!options.name.empty()) metadata.push_back({"general.name", options.name});
  if (options.file_type) metadata.push_back({"general.file_type", *options.file_type});
  metadata.push_back({"general.quantization_version", uint32_t{2}});
  metadata.push_back({"general.alignment", kGgufDefaultAlignment});

  Writer out(metadata, architecture.name);
  out.u32("block_count", config.require_int("num_hidden_layers") + options.mtp_layers);
  out.u32("context_length", config.require_int("max_position_embeddings"));
  out.u32("embedding_length", config.require_int("hidden_size"));
  out.u32("feed_forward_length", config.require_int("intermediate_size"));
  out.u32("vocab_size", config.require_int("vocab_size"));
  out.f32("attention.layer_norm_rms_epsilon", config.require_number("rms_norm_eps"));
  if (architecture.name == "deepseek2") {
    add_mla(config, out);
  } else {
    add_gqa(config, defaults, rope, out);
  }
  add_rope_metadata(rope, architecture, source, metadata);
  if (architecture.name == "deepseek2" || architecture.name == "glm4moe") {
    add_glm_moe(config, model_type, defaults, out);
    if (options.mtp_layers > 0) out.u32("nextn_predict_layers", options.mtp_layers);
  }
  if (architecture.name == "qwen3moe") add_qwen_moe(config, defaults, out);
  return metadata;
}

std::vector<float> gguf_rope_freqs(const Json& json, std::string_view source) {
  const JsonFields config(json, source);
  const Defaults defaults = defaults_of(config.require_text("model_type"));
  const RopeFields rope = rope_fields_of(json, defaults.partial_rotary_factor, source);
  if (rope.rope_type != "llama3") return {};
  return llama3_divisors(llama3_rope_of(rope, source), rope.rope_theta, head_dim_of(config, defaults));
}

}  // namespace glimmer
