#include "source/gguf_config.h"

#include <array>

#include "base/error.h"
#include "source/gguf_rope.h"

namespace glimmer {
namespace {

// The keys of one architecture, by what follows its name.
class Keys {
 public:
  Keys(const GgufMetadata& metadata, const GgufArchitecture& architecture)
      : metadata_(metadata), prefix_(fmt::format("{}.", architecture.name)) {}

  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  bool has(std::string_view name) const { return metadata_.has(key(name)); }

  int64_t require_int(std::string_view name, int64_t low = 1) const { return checked(name, scalar(name), low); }
  int64_t int_or(std::string_view name, int64_t fallback, int64_t low = 0) const {
    return has(name) ? checked(name, scalar(name), low) : fallback;
  }
  double number_or(std::string_view name, double fallback) const {
    return metadata_.number(key(name)).value_or(fallback);
  }
  double require_number(std::string_view name) const { return metadata_.require_number(key(name)); }
  bool bool_or(std::string_view name, bool fallback) const { return metadata_.boolean(key(name)).value_or(fallback); }

  [[noreturn]] void unsupported(std::string_view name, std::string_view why) const {
    const GgufValue* value = metadata_.find(key(name));
    fail(ErrorCode::kUnsupported, "{}: metadata {}: {}: {}", metadata_.source(), quoted_name(key(name)),
         value == nullptr ? "absent" : value->describe(), why);
  }

  [[noreturn]] void unsupported_tensors(std::string_view why) const {
    fail(ErrorCode::kUnsupported, "{}: {}", metadata_.source(), why);
  }

 private:
  // An array gives each layer its own value; only the same for all is known here.
  int64_t scalar(std::string_view name) const {
    const GgufValue* value = metadata_.find(key(name));
    if (value == nullptr || value->type != GgufType::kArray) return metadata_.require_integer(key(name));
    const auto values = *metadata_.integers(key(name));
    for (const int64_t each : values) {
      if (each != values[0]) unsupported(name, "layers of different sizes are not supported");
    }
    if (values.empty()) metadata_.fail_key(key(name), "a number for each layer");
    return values[0];
  }
  int64_t checked(std::string_view name, int64_t value, int64_t low) const {
    constexpr int64_t kHigh = int64_t{1} << 31;
    if (value < low || value > kHigh) {
      metadata_.fail_key(key(name), fmt::format("a whole number from {} to {}", low, kHigh));
    }
    return value;
  }

  const GgufMetadata& metadata_;
  std::string prefix_;
};

constexpr int64_t kSoftmax = 1;
constexpr int64_t kSigmoid = 2;

void read_gqa(const Keys& keys, const GgufSizes& sizes, const GgufTensorFacts& facts,
              const GgufArchitecture& architecture, Json& config) {
  config["num_key_value_heads"] = sizes.num_key_value_heads;
  config["head_dim"] = sizes.head_dim;
  if (keys.int_or("attention.value_length", sizes.head_dim) != sizes.head_dim) {
    keys.unsupported("attention.value_length", fmt::format("only the key_length, {}, is supported", sizes.head_dim));
  }
  const bool output_bias_too = architecture.model_type == "llama" || architecture.model_type.starts_with("qwen3");
  if (output_bias_too && facts.attention_bias != facts.attention_output_bias) {
    keys.unsupported_tensors("attn_q and attn_output: only both with a bias or both without are supported");
  }
  config["attention_bias"] = facts.attention_bias;
  if (architecture.model_type == "llama") config["mlp_bias"] = facts.mlp_bias;
  if (architecture.model_type == "glm4_moe") config["use_qk_norm"] = facts.qk_norm;
}

void read_mla(const Keys& keys, const GgufSizes& sizes, Json& config) {
  if (keys.has("attention.q_lora_rank")) {
    config["q_lora_rank"] = keys.require_int("attention.q_lora_rank");
  } else {
    config["q_lora_rank"] = nullptr;  // a plain q_proj
  }
  config["kv_lora_rank"] = keys.require_int("attention.kv_lora_rank");
  const int64_t rope = keys.require_int("rope.dimension_count");
  const int64_t head = sizes.head_dim;
  if (rope >= head) keys.unsupported("rope.dimension_count", fmt::format("expected less than the {} of a head", head));
  config["qk_nope_head_dim"] = head - rope;
  config["qk_rope_head_dim"] = rope;
  // Files from before the halves of kv_b were split say it in value_length.
  config["v_head_dim"] = keys.require_int(keys.has("attention.value_length_mla") ? "attention.value_length_mla"
                                                                                 : "attention.value_length");
  config["num_key_value_heads"] = sizes.num_attention_heads;
  config["attention_bias"] = false;
  config["rope_interleave"] = true;
}

int64_t gating_func(const Keys& keys, const GgufArchitecture& architecture, const GgufTensorFacts& facts) {
  if (const int64_t stated = keys.int_or("expert_gating_func", 0); stated != 0) return stated;
  if (architecture.model_type == "glm4_moe") return kSigmoid;
  if (architecture.model_type == "qwen3_moe") return kSoftmax;
  const int64_t blocks = keys.require_int("block_count");
  return (blocks == 47 || blocks == 48) && facts.vocab_size == 154880 ? kSigmoid : kSoftmax;
}

void read_moe(const Keys& keys, const GgufArchitecture& architecture, const GgufTensorFacts& facts, Json& config) {
  const bool qwen = architecture.model_type == "qwen3_moe";
  const int64_t gating = gating_func(keys, architecture, facts);
  if (gating != (qwen ? kSoftmax : kSigmoid)) {
    keys.unsupported("expert_gating_func", fmt::format("this architecture is supported with {} only",
                                                       qwen ? "softmax, 1" : "sigmoid, 2 (so DeepSeek-V2 is not)"));
  }
  config[qwen ? "num_experts" : "n_routed_experts"] = keys.require_int("expert_count");
  config["num_experts_per_tok"] = keys.require_int("expert_used_count");
  config["moe_intermediate_size"] = keys.require_int("expert_feed_forward_length");
  // llama.cpp normalises for qwen3moe whatever the key says, and scales by 0 as by 1.
  config["norm_topk_prob"] = keys.bool_or("expert_weights_norm", qwen);
  if (qwen) {
    config["decoder_sparse_step"] = 1;
    config["mlp_only_layers"] = Json::array();
    return;
  }
  const double scale = keys.number_or("expert_weights_scale", 0);
  config["routed_scaling_factor"] = scale == 0 ? 1.0 : scale;
  config["n_shared_experts"] = keys.require_int("expert_shared_count", 0);
  config["first_k_dense_replace"] = keys.int_or("leading_dense_block_count", 0);
  const auto group = [&](std::string_view name) { return std::max<int64_t>(1, keys.int_or(name, 1)); };
  config["n_group"] = group("expert_group_count");
  config["topk_group"] = group("expert_group_used_count");
}

void check_unused(const Keys& keys) {
  // What llama.cpp would do with these is done by no family here.
  for (const char* name : {"attention.sliding_window", "attention.temperature_scale", "attention.clamp_kqv",
                           "attention.scale", "attn_logit_softcapping", "logit_scale", "embedding_scale",
                           "residual_scale", "expert_group_scale", "moe_every_n_layers", "interleave_moe_layer_step"}) {
    if (keys.has(name) && keys.number_or(name, 0) != 0) keys.unsupported(name, "not supported");
  }
}

}  // namespace

GgufSizes gguf_sizes(const GgufMetadata& metadata, const GgufArchitecture& architecture) {
  const Keys keys(metadata, architecture);
  GgufSizes sizes;
  sizes.nextn_predict_layers = keys.int_or("nextn_predict_layers", 0);
  sizes.num_hidden_layers = keys.require_int("block_count") - sizes.nextn_predict_layers;
  if (sizes.num_hidden_layers < 1) {
    metadata.fail_key(keys.key("block_count"),
                      fmt::format("more than nextn_predict_layers {}", sizes.nextn_predict_layers));
  }
  sizes.num_attention_heads = keys.require_int("attention.head_count");
  sizes.num_key_value_heads = keys.int_or("attention.head_count_kv", sizes.num_attention_heads, 1);
  if (keys.has("attention.key_length_mla")) {
    sizes.head_dim = keys.require_int("attention.key_length_mla");
  } else if (keys.has("attention.key_length")) {
    sizes.head_dim = keys.require_int("attention.key_length");
  } else {
    const int64_t hidden = keys.require_int("embedding_length");
    if (hidden % sizes.num_attention_heads != 0) {
      metadata.fail_key(keys.key("attention.key_length"), "a number, as heads do not divide embedding_length");
    }
    sizes.head_dim = hidden / sizes.num_attention_heads;
  }
  sizes.expert_count = keys.int_or("expert_count", 0);
  return sizes;
}

Json config_json_of(const GgufMetadata& metadata, const GgufArchitecture& architecture, const GgufTensorFacts& facts,
                    const std::vector<int32_t>& eos_token_id) {
  const Keys keys(metadata, architecture);
  const GgufSizes sizes = gguf_sizes(metadata, architecture);
  const bool mla = architecture.model_type == "glm4_moe_lite";
  const bool moe = mla || architecture.model_type == "glm4_moe" || architecture.model_type == "qwen3_moe";
  check_unused(keys);
  if (!moe && sizes.expert_count > 0) keys.unsupported("expert_count", "experts are not supported here");

  Json config = Json::object();
  config["architectures"] = Json::array({architecture.hf_class});
  config["model_type"] = architecture.model_type;
  config["vocab_size"] = facts.vocab_size;
  config["hidden_size"] = keys.require_int("embedding_length");
  config["intermediate_size"] = keys.require_int("feed_forward_length");
  config["num_hidden_layers"] = sizes.num_hidden_layers;
  config["num_attention_heads"] = sizes.num_attention_heads;
  config["hidden_act"] = "silu";
  config["max_position_embeddings"] = keys.require_int("context_length");
  config["rms_norm_eps"] = keys.require_number("attention.layer_norm_rms_epsilon");
  config["tie_word_embeddings"] = !facts.output;

  int64_t rotated = sizes.head_dim;
  if (mla) {
    read_mla(keys, sizes, config);
    rotated = config["qk_rope_head_dim"].get<int64_t>();
  } else {
    read_gqa(keys, sizes, facts, architecture, config);
    rotated = keys.int_or("rope.dimension_count", sizes.head_dim, 2);
    const bool whole = architecture.model_type == "llama" || architecture.model_type.starts_with("qwen3");
    if (rotated > sizes.head_dim || (whole && rotated != sizes.head_dim)) {
      keys.unsupported("rope.dimension_count", fmt::format("a head has {} values", sizes.head_dim));
    }
  }
  const int64_t rope_part = mla ? rotated : sizes.head_dim;
  config["rope_parameters"] = rope_parameters_of(metadata, architecture, facts, rope_part, rotated);
  if (moe) read_moe(keys, architecture, facts, config);
  if (sizes.nextn_predict_layers > 0) config["num_nextn_predict_layers"] = sizes.nextn_predict_layers;

  switch (metadata.integer("general.file_type").value_or(-1)) {
    case 0:
      config["dtype"] = "float32";
      break;
    case 1:
      config["dtype"] = "float16";
      break;
    case 32:
      config["dtype"] = "bfloat16";
      break;
    default:
      break;  // quantised: no type of config.json
  }
  if (!eos_token_id.empty()) config["eos_token_id"] = eos_token_id;
  for (const auto& [field, key] : {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                   std::pair{"pad_token_id", "tokenizer.ggml.padding_token_id"}}) {
    if (const auto id = metadata.integer(key)) config[field] = *id;
  }
  return config;
}

std::span<const GgufSamplingKey> gguf_sampling_keys() {
  static constexpr std::array<GgufSamplingKey, 5> kKeys = {{
      {"general.sampling.temp", "temperature"},
      {"general.sampling.top_p", "top_p"},
      {"general.sampling.top_k", "top_k", true},
      {"general.sampling.min_p", "min_p"},
      {"general.sampling.penalty_repeat", "repetition_penalty"},
  }};
  return kKeys;
}

Json generation_config_json_of(const GgufMetadata& metadata, const std::vector<int32_t>& eos_token_id) {
  Json generation = Json::object();
  if (!eos_token_id.empty()) {
    generation["eos_token_id"] = eos_token_id;
    if (const auto padding = metadata.integer("tokenizer.ggml.padding_token_id")) generation["pad_token_id"] = *padding;
  }
  for (const GgufSamplingKey& row : gguf_sampling_keys()) {
    if (!metadata.has(row.key)) continue;
    generation["do_sample"] = true;
    if (row.integer) {
      generation[row.field] = metadata.require_integer(row.key);
    } else {
      generation[row.field] = metadata.require_number(row.key);
    }
  }
  return generation;
}

}  // namespace glimmer
