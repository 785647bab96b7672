#include "model/config_sections.h"

#include <cmath>

#include "base/error.h"
#include "base/quoted_name.h"

namespace glimmer {
namespace {

int64_t read_original_context(ConfigReader& dict, const ConfigReader& top, const ModelConfig& config) {
  return top.has("original_max_position_embeddings")
             ? top.require_int("original_max_position_embeddings")
             : dict.int_or("original_max_position_embeddings", config.max_position_embeddings);
}

void read_yarn(ConfigReader& dict, const ConfigReader& top, ModelConfig& config) {
  RopeParameters& rope = config.rope_parameters;
  rope.original_max_position_embeddings = read_original_context(dict, top, config);
  rope.factor = dict.has_null("factor") ? static_cast<double>(config.max_position_embeddings) /
                                              static_cast<double>(rope.original_max_position_embeddings)
                                        : dict.require_number("factor");
  // transformers takes its default for an absent, null or zero value.
  const auto number_or = [&](std::string_view field, double fallback) {
    const double value = dict.has(field) ? dict.require_number(field) : 0.0;
    if (value == 0) return dict.number_or(std::string(field) + " (absent or 0)", fallback);
    if (value < 0) dict.fail_field(field, "a number above 0");
    return value;
  };
  rope.beta_fast = number_or("beta_fast", 32);
  rope.beta_slow = number_or("beta_slow", 1);
  rope.truncate = dict.bool_or("truncate", true);
  const double mscale = dict.has("mscale") ? dict.require_number("mscale") : 0;
  rope.mscale_all_dim = dict.has("mscale_all_dim") ? dict.require_number("mscale_all_dim") : 0;
  if (dict.has("attention_factor")) {
    rope.attention_factor = dict.require_number("attention_factor");
    if (rope.attention_factor <= 0) dict.fail_field("attention_factor", "a number above 0");
  } else if (mscale != 0 && rope.mscale_all_dim != 0) {
    rope.attention_factor = yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim);
  } else {
    rope.attention_factor = yarn_mscale(rope.factor, 1);
  }
}

// Llama 3.1: low frequencies are divided by `factor`, high ones kept, with a ramp in between.
void read_llama3(ConfigReader& dict, const ConfigReader& top, ModelConfig& config) {
  RopeParameters& rope = config.rope_parameters;
  rope.original_max_position_embeddings = read_original_context(dict, top, config);
  rope.factor = dict.require_number("factor");
  rope.low_freq_factor = dict.require_number("low_freq_factor");
  rope.high_freq_factor = dict.require_number("high_freq_factor");
  if (rope.low_freq_factor <= 0) dict.fail_field("low_freq_factor", "a number above 0");
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    dict.fail_field("high_freq_factor", fmt::format("a number above low_freq_factor {}", rope.low_freq_factor));
  }
}

// A rope field: in the dict, else at top level, else the default.
double rope_number(ConfigReader& dict, ConfigReader& top, std::string_view field, double fallback) {
  return dict.has(field) ? dict.require_number(field) : top.number_or(field, fallback);
}

const Json& rope_dict(const ConfigReader& reader) {
  static const Json kNone = Json::object();
  if (const Json* scaling = reader.find("rope_scaling"); scaling != nullptr && !scaling->empty()) return *scaling;
  if (const Json* parameters = reader.find("rope_parameters"); parameters != nullptr) return *parameters;
  return kNone;
}

}  // namespace

double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

void read_common(ConfigReader& reader, ModelConfig& config) {
  config.vocab_size = reader.require_int("vocab_size");
  config.hidden_size = reader.require_int("hidden_size", {.high = 1 << 20});
  config.intermediate_size = reader.require_int("intermediate_size", {.high = 1 << 24});
  config.num_hidden_layers = reader.require_int("num_hidden_layers", {.high = 4096});
  config.num_attention_heads = reader.require_int("num_attention_heads", {.high = 1 << 16});
  config.max_position_embeddings = reader.require_int("max_position_embeddings");
  config.hidden_act = reader.require_string("hidden_act");
  reader.expect_one_of("hidden_act", config.hidden_act, {"silu"});
  config.rms_norm_eps = reader.require_number("rms_norm_eps");
  if (config.rms_norm_eps <= 0) reader.fail_field("rms_norm_eps", "a number above 0");
  config.tie_word_embeddings = reader.bool_or("tie_word_embeddings", false);
  for (const std::string_view field : {"dtype", "torch_dtype"}) {
    if (config.dtype.empty() && reader.has(field)) config.dtype = reader.require_string(field);
  }
  config.eos_token_id = reader.ids("eos_token_id");
  config.mlp_layer_types.assign(static_cast<size_t>(config.num_hidden_layers), MlpLayerType::kDense);
}

void read_rope(ConfigReader& reader, ModelConfig& config, int64_t head_dim, const RopeDefaults& defaults) {
  RopeParameters& rope = config.rope_parameters;
  ConfigReader dict(rope_dict(reader), reader.source(),
                    reader.has("rope_scaling") ? "rope_scaling." : "rope_parameters.");
  for (const auto& [name, value] : rope_dict(reader).items()) {
    if (value.is_object()) {
      fail(ErrorCode::kUnsupported, "{}: rope parameters for each kind of layer ({}) are not supported",
           reader.source(), quoted_name(name));
    }
  }
  rope.pairing = defaults.pairing;
  rope.rope_theta = rope_number(dict, reader, "rope_theta", 10000);
  if (rope.rope_theta <= 1) {
    reader.fail_rule(fmt::format("rope_theta: expected a number above 1, found {}", rope.rope_theta));
  }
  // A null at top level means 1 in every family; only an absent field takes the family's own.
  const double fallback = reader.has_null("partial_rotary_factor") ? 1.0 : defaults.partial_rotary_factor;
  rope.partial_rotary_factor = rope_number(dict, reader, "partial_rotary_factor", fallback);
  const double rotated = static_cast<double>(head_dim) * rope.partial_rotary_factor;
  if (!(rotated >= 2 && rotated <= static_cast<double>(head_dim)) || static_cast<int64_t>(rotated) % 2 != 0) {
    reader.fail_rule(
        fmt::format("partial_rotary_factor {} of {} values rotates {}: expected an even number from 2 to {}",
                    rope.partial_rotary_factor, head_dim, rotated, head_dim));
  }
  rope.rotary_dim = static_cast<int64_t>(rotated);
  for (const std::string_view field : {"type", "rope_type"}) {  // rope_type wins
    if (dict.has(field)) rope.rope_type = dict.require_string(field);
  }
  dict.expect_one_of("rope_type", rope.rope_type, {"default", "linear", "yarn", "llama3"});
  // transformers 4 wrote "rope_scaling": null for the default type.
  if (!dict.has("rope_type") && !dict.has("type") && !reader.has_null("rope_scaling"))
    config.defaults_taken.emplace_back("rope_type = default");
  if (rope.rope_type == "linear") rope.factor = dict.require_number("factor");
  if (rope.rope_type == "llama3") read_llama3(dict, reader, config);
  if (rope.rope_type == "yarn") read_yarn(dict, reader, config);
  if (rope.rope_type != "default" && dict.has("mscale_all_dim")) {
    rope.mscale_all_dim = dict.require_number("mscale_all_dim");
  }
  if (rope.factor <= 0) dict.fail_field("factor", "a number above 0");
  for (const std::string& taken : dict.defaults_taken()) config.defaults_taken.push_back(taken);
}

void read_whole_rope(ConfigReader& reader, ModelConfig& config, int64_t head_dim, RopePairing pairing) {
  read_rope(reader, config, head_dim, {.partial_rotary_factor = 1.0, .pairing = pairing});
  if (config.rope_parameters.rotary_dim != head_dim) {
    reader.fail_rule(fmt::format("partial_rotary_factor {}: expected 1: {} rotates all {} values",
                                 config.rope_parameters.partial_rotary_factor, config.model_type, head_dim));
  }
}

void read_gqa(ConfigReader& reader, ModelConfig& config, const GqaDefaults& defaults) {
  config.attention = AttentionKind::kGqa;
  constexpr IntRange kHeads{.high = 1 << 16};
  config.num_key_value_heads = defaults.one_key_value_head_a_head
                                   ? reader.int_or("num_key_value_heads", config.num_attention_heads, kHeads)
                                   : reader.require_int("num_key_value_heads", kHeads);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    reader.fail_rule(fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                                 config.num_attention_heads, config.num_key_value_heads));
  }
  const int64_t fallback = defaults.head_dim != 0 ? defaults.head_dim : config.hidden_size / config.num_attention_heads;
  config.head_dim = reader.int_or("head_dim", fallback, {.high = 1 << 16});
  config.attention_bias = reader.bool_or("attention_bias", defaults.attention_bias);
  config.attention_output_bias = config.attention_bias && defaults.bias_of_output_too;
  config.attention_scale = 1.0 / std::sqrt(static_cast<double>(config.head_dim));
}

void read_mla(ConfigReader& reader, ModelConfig& config) {
  config.attention = AttentionKind::kMla;
  // transformers' class gives an absent q_lora_rank a value of its own, so a plain q_proj is a null in the file.
  if (!reader.has_null("q_lora_rank")) config.q_lora_rank = reader.require_int("q_lora_rank", {.high = 1 << 20});
  config.kv_lora_rank = reader.require_int("kv_lora_rank", {.high = 1 << 20});
  config.qk_nope_head_dim = reader.require_int("qk_nope_head_dim", {.high = 1 << 16});
  // There head_dim is another name for qk_rope_head_dim, and the stronger one.
  config.qk_rope_head_dim =
      reader.require_int(reader.has("head_dim") ? "head_dim" : "qk_rope_head_dim", {.high = 1 << 16});
  config.v_head_dim = reader.require_int("v_head_dim", {.high = 1 << 16});
  config.attention_bias = reader.bool_or("attention_bias", false);
  config.num_key_value_heads = reader.int_or("num_key_value_heads", config.num_attention_heads, {.high = 1 << 16});
  if (config.num_key_value_heads != config.num_attention_heads) {
    reader.fail_rule(
        fmt::format("num_key_value_heads {}: expected num_attention_heads {}: MLA expands a key for every head",
                    config.num_key_value_heads, config.num_attention_heads));
  }
  config.lora_norm_eps = 1e-6;  // transformers builds q_a_layernorm and kv_a_layernorm without rms_norm_eps
  config.attention_scale = 1.0 / std::sqrt(static_cast<double>(config.qk_head_dim()));
}

void expect_full_attention(ConfigReader& reader) {
  if (reader.bool_or("use_sliding_window", false)) {
    fail(ErrorCode::kUnsupported, "{}: field use_sliding_window: true is not supported; known: false", reader.source());
  }
  const Json* types = reader.find("layer_types");
  if (types == nullptr) return;
  if (!types->is_array()) reader.fail_field("layer_types", "a list of layer types");
  for (const Json& type : *types) {
    if (!type.is_string()) reader.fail_field("layer_types", "a list of layer types");
    reader.expect_one_of("layer_types", type.get<std::string>(), {"full_attention"});
  }
}

void read_expert_sizes(ConfigReader& reader, ModelConfig& config, std::string_view count_field) {
  // num_local_experts is another name for either family's field, and the stronger one.
  config.n_routed_experts = reader.require_int(reader.has("num_local_experts") ? "num_local_experts" : count_field,
                                               {.low = 2, .high = 65536});
  config.num_experts_per_tok = reader.require_int("num_experts_per_tok", {.high = config.n_routed_experts});
  config.moe_intermediate_size = reader.require_int("moe_intermediate_size", {.high = 1 << 24});
}

void read_moe(ConfigReader& reader, ModelConfig& config, const MoeDefaults& defaults) {
  read_expert_sizes(reader, config, "n_routed_experts");
  config.n_shared_experts = reader.require_int("n_shared_experts", {.low = 0, .high = 1024});
  config.n_group = reader.int_or("n_group", 1, {.high = config.n_routed_experts});
  config.topk_group = reader.int_or("topk_group", 1, {.high = config.n_group});
  config.norm_topk_prob = reader.bool_or("norm_topk_prob", true);
  config.routed_scaling_factor = reader.number_or("routed_scaling_factor", defaults.routed_scaling_factor);
  for (const std::string_view field : {"num_nextn_predict_layers", "num_mtp_layers"}) {
    if (config.num_nextn_predict_layers == 0 && reader.has(field)) {
      config.num_nextn_predict_layers = reader.require_int(field, {.low = 0, .high = 64});
    }
  }
  if (reader.has("scoring_func"))
    reader.expect_one_of("scoring_func", reader.require_string("scoring_func"), {"sigmoid"});
  if (reader.has("topk_method"))
    reader.expect_one_of("topk_method", reader.require_string("topk_method"), {"noaux_tc"});
  const int64_t group_size = config.n_routed_experts / config.n_group;
  if (config.n_routed_experts % config.n_group != 0 || group_size < 2) {
    reader.fail_rule(fmt::format("n_group {}: n_routed_experts {} must divide into groups of 2 or more", config.n_group,
                                 config.n_routed_experts));
  }
  if (config.num_experts_per_tok > config.topk_group * group_size) {
    reader.fail_rule(fmt::format("num_experts_per_tok {}: topk_group {} groups hold {} experts",
                                 config.num_experts_per_tok, config.topk_group, config.topk_group * group_size));
  }
}

void read_mlp_layer_types(ConfigReader& reader, ModelConfig& config, LayerTypesBy preferred) {
  const auto count = config.num_hidden_layers;
  const Json* types = reader.find("mlp_layer_types");
  const bool by_types =
      types != nullptr && (preferred == LayerTypesBy::kMlpLayerTypes || !reader.has("first_k_dense_replace"));
  if (!by_types) {
    const int64_t dense = reader.int_or("first_k_dense_replace", 1, {.low = 0, .high = 4096});
    for (int64_t i = dense; i < count; ++i) config.mlp_layer_types[i] = MlpLayerType::kSparse;
    return;
  }
  if (!types->is_array() || types->size() != static_cast<size_t>(count)) {
    reader.fail_field("mlp_layer_types", fmt::format("a list of num_hidden_layers = {} types", count));
  }
  for (int64_t i = 0; i < count; ++i) {
    const Json& type = (*types)[i];
    if (type != "dense" && type != "sparse") reader.fail_field("mlp_layer_types", "only \"dense\" and \"sparse\"");
    config.mlp_layer_types[i] = type == "sparse" ? MlpLayerType::kSparse : MlpLayerType::kDense;
  }
}

}  // namespace glimmer
