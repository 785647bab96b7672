#include "source/gguf_names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "base/check.h"
#include "base/error.h"
#include "base/name_table.h"
#include "base/quoted_name.h"

namespace glimmer {
namespace {

constexpr uint32_t kGlm4Moe = 1;
constexpr uint32_t kDeepseek2 = 2;
constexpr uint32_t kGlm4 = 4;
constexpr uint32_t kChatglm = 8;
constexpr uint32_t kLlama = 16;
constexpr uint32_t kQwen3 = 32;
constexpr uint32_t kQwen3Moe = 64;
constexpr uint32_t kAll = 127;
constexpr uint32_t kGqa = kAll & ~kDeepseek2;
constexpr uint32_t kMoe = kGlm4Moe | kDeepseek2 | kQwen3Moe;
constexpr uint32_t kMtp = kGlm4Moe | kDeepseek2;
constexpr uint32_t kFusedMlp = kGlm4 | kChatglm;
constexpr uint32_t kOutputBias = kLlama | kQwen3 | kQwen3Moe;

constexpr std::array<GgufArchitecture, 7> kArchitectures = {{
    {"glm4moe", "glm4_moe", "Glm4MoeForCausalLM", kGlm4Moe},
    {"deepseek2", "glm4_moe_lite", "Glm4MoeLiteForCausalLM", kDeepseek2},
    {"glm4", "glm4", "Glm4ForCausalLM", kGlm4},
    {"chatglm", "glm", "GlmForCausalLM", kChatglm},
    {"llama", "llama", "LlamaForCausalLM", kLlama},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", kQwen3},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", kQwen3Moe},
}};

struct Row {
  std::string_view gguf;       // after "blk.N."
  std::string_view canonical;  // after "model.layers.N."
  uint32_t architectures;
  GgufForm form = GgufForm::kWhole;
};

// Of two rows with the same name on one side the first is the one that is written.
constexpr std::array kRows = {
    Row{"attn_norm.weight", "input_layernorm.weight", kAll},
    Row{"attn_q.weight", "self_attn.q_proj.weight", kAll & ~kLlama},
    Row{"attn_q.bias", "self_attn.q_proj.bias", kGqa & ~kLlama},
    Row{"attn_k.weight", "self_attn.k_proj.weight", kGqa & ~kLlama},
    Row{"attn_k.bias", "self_attn.k_proj.bias", kGqa & ~kLlama},
    Row{"attn_q.weight", "self_attn.q_proj.weight", kLlama, GgufForm::kRopePairs},
    Row{"attn_q.bias", "self_attn.q_proj.bias", kLlama, GgufForm::kRopePairs},
    Row{"attn_k.weight", "self_attn.k_proj.weight", kLlama, GgufForm::kRopePairs},
    Row{"attn_k.bias", "self_attn.k_proj.bias", kLlama, GgufForm::kRopePairs},
    Row{"attn_v.weight", "self_attn.v_proj.weight", kGqa},
    Row{"attn_v.bias", "self_attn.v_proj.bias", kGqa},
    Row{"attn_qkv.weight", "self_attn.q_proj.weight", kGqa & ~kLlama, GgufForm::kQkv},
    Row{"attn_qkv.bias", "self_attn.q_proj.bias", kGqa & ~kLlama, GgufForm::kQkv},
    Row{"attn_output.weight", "self_attn.o_proj.weight", kAll},
    Row{"attn_output.bias", "self_attn.o_proj.bias", kOutputBias},
    Row{"attn_q_norm.weight", "self_attn.q_norm.weight", kGlm4Moe | kQwen3 | kQwen3Moe},
    Row{"attn_k_norm.weight", "self_attn.k_norm.weight", kGlm4Moe | kQwen3 | kQwen3Moe},
    Row{"attn_q_a.weight", "self_attn.q_a_proj.weight", kDeepseek2},
    Row{"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", kDeepseek2},
    Row{"attn_q_b.weight", "self_attn.q_b_proj.weight", kDeepseek2},
    Row{"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight", kDeepseek2},
    Row{"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", kDeepseek2},
    Row{"attn_kv_b.weight", "self_attn.kv_b_proj.weight", kDeepseek2},
    Row{"attn_k_b.weight", "self_attn.embed_q.weight", kDeepseek2, GgufForm::kHeads},
    Row{"attn_v_b.weight", "self_attn.unembed_out.weight", kDeepseek2, GgufForm::kHeads},

    Row{"post_attention_norm.weight", "post_attention_layernorm.weight", kGlm4Moe},
    Row{"post_attention_norm.weight", "post_self_attn_layernorm.weight", kGlm4},
    Row{"ffn_norm.weight", "post_attention_layernorm.weight", kAll & ~kGlm4Moe},
    Row{"post_ffw_norm.weight", "post_mlp_layernorm.weight", kGlm4},

    Row{"ffn_up.weight", "mlp.gate_up_proj.weight", kFusedMlp},
    Row{"ffn_gate.weight", "mlp.gate_proj.weight", kAll & ~kFusedMlp},
    Row{"ffn_up.weight", "mlp.up_proj.weight", kAll & ~kFusedMlp},
    Row{"ffn_down.weight", "mlp.down_proj.weight", kAll},
    Row{"ffn_gate.bias", "mlp.gate_proj.bias", kLlama},
    Row{"ffn_up.bias", "mlp.up_proj.bias", kLlama},
    Row{"ffn_down.bias", "mlp.down_proj.bias", kLlama},

    Row{"ffn_gate_inp.weight", "mlp.gate.weight", kMoe},
    Row{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias", kMtp},
    Row{"exp_probs_b", "mlp.gate.e_score_correction_bias", kMtp},  // some older files
    Row{"ffn_gate_exps.weight", "mlp.experts.*.gate_proj.weight", kMoe, GgufForm::kExperts},
    Row{"ffn_up_exps.weight", "mlp.experts.*.up_proj.weight", kMoe, GgufForm::kExperts},
    Row{"ffn_down_exps.weight", "mlp.experts.*.down_proj.weight", kMoe, GgufForm::kExperts},
    Row{"ffn_gate_up_exps.weight", "mlp.experts.*.gate_proj.weight", kMoe, GgufForm::kGateUpExperts},
    Row{"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight", kMtp},
    Row{"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight", kMtp},
    Row{"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight", kMtp},

    Row{"nextn.eh_proj.weight", "eh_proj.weight", kMtp},
    Row{"nextn.enorm.weight", "enorm.weight", kMtp},
    Row{"nextn.hnorm.weight", "hnorm.weight", kMtp},
    Row{"nextn.embed_tokens.weight", "embed_tokens.weight", kMtp},
    Row{"nextn.shared_head_head.weight", "shared_head.head.weight", kMtp},
    Row{"nextn.shared_head_norm.weight", "shared_head.norm.weight", kMtp},
};

struct Global {
  std::string_view gguf;
  std::string_view canonical;
};
constexpr std::array<Global, 3> kGlobals = {{
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
}};

// Takes a decimal number without leading zeros and the '.' behind it off the front.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto digits = static_cast<size_t>(end - text.data());
  if (error != std::errc() || number < 0 || digits >= text.size() || text[digits] != '.') return std::nullopt;
  if (digits > 1 && text[0] == '0') return std::nullopt;
  text.remove_prefix(digits + 1);
  return number;
}

// "mlp.experts.17.gate_proj.weight" as "mlp.experts.*.gate_proj.weight" and 17.
std::pair<std::string, int64_t> without_expert(std::string_view rest) {
  constexpr std::string_view kExperts = "mlp.experts.";
  if (!rest.starts_with(kExperts)) return {std::string(rest), -1};
  std::string_view after = rest.substr(kExperts.size());
  const auto expert = take_number(after);
  if (!expert) return {std::string(rest), -1};
  return {fmt::format("{}*.{}", kExperts, after), *expert};
}

}  // namespace

std::span<const GgufArchitecture> gguf_architectures() { return kArchitectures; }

const GgufArchitecture& require_gguf_architecture(std::string_view name, std::string_view source) {
  if (const auto found = find_named(kArchitectures, name, &GgufArchitecture::name)) return *found;
  fail(ErrorCode::kUnsupported, "{}: metadata \"general.architecture\": {} is not supported; known: {}", source,
       quoted_name(name), list_names(kArchitectures, &GgufArchitecture::name));
}

const GgufArchitecture& gguf_architecture_of(std::string_view model_type, std::string_view source) {
  if (const auto found = find_named(kArchitectures, model_type, &GgufArchitecture::model_type)) return *found;
  fail(ErrorCode::kUnsupported, "{}: model_type {} has no architecture in GGUF; known: {}", source,
       quoted_name(model_type), list_names(kArchitectures, &GgufArchitecture::model_type));
}

std::optional<GgufName> canonical_name_of(const GgufArchitecture& architecture, std::string_view gguf_name) {
  for (const Global& row : kGlobals) {
    if (row.gguf == gguf_name) return GgufName{.name = std::string(row.canonical)};
  }
  if (!gguf_name.starts_with("blk.")) return std::nullopt;
  std::string_view rest = gguf_name.substr(4);
  const auto layer = take_number(rest);
  if (!layer) return std::nullopt;
  for (const Row& row : kRows) {
    if (row.gguf == rest && (row.architectures & architecture.bit) != 0) {
      return GgufName{.form = row.form, .name = fmt::format("model.layers.{}.{}", *layer, row.canonical)};
    }
  }
  return std::nullopt;
}

std::optional<GgufName> gguf_name_of(const GgufArchitecture& architecture, std::string_view canonical_name) {
  for (const Global& row : kGlobals) {
    if (row.canonical == canonical_name) return GgufName{.name = std::string(row.gguf)};
  }
  constexpr std::string_view kLayers = "model.layers.";
  if (!canonical_name.starts_with(kLayers)) return std::nullopt;
  std::string_view rest = canonical_name.substr(kLayers.size());
  const auto layer = take_number(rest);
  if (!layer) return std::nullopt;
  const auto [pattern, expert] = without_expert(rest);
  for (const Row& row : kRows) {
    if (row.canonical == pattern && (row.architectures & architecture.bit) != 0) {
      return GgufName{.form = row.form, .name = fmt::format("blk.{}.{}", *layer, row.gguf), .expert = expert};
    }
  }
  return std::nullopt;
}

std::string expert_name(std::string_view stack_name, int64_t expert) {
  const size_t star = stack_name.find('*');
  GLIMMER_CHECK(star != std::string_view::npos, "{}", stack_name);
  return fmt::format("{}{}{}", stack_name.substr(0, star), expert, stack_name.substr(star + 1));
}

std::vector<int32_t> rope_pairs(int64_t rows, int64_t head_dim) {
  GLIMMER_CHECK(head_dim > 0 && head_dim % 2 == 0 && rows % head_dim == 0, "{} rows, {} a head", rows, head_dim);
  std::vector<int32_t> there(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t in_head = row % head_dim;
    const int64_t half = head_dim / 2;
    there[row] = static_cast<int32_t>(row - in_head + 2 * (in_head % half) + in_head / half);
  }
  return there;
}

std::vector<int32_t> inverse_rope_pairs(int64_t rows, int64_t head_dim) {
  const std::vector<int32_t> there = rope_pairs(rows, head_dim);
  std::vector<int32_t> here(there.size());
  for (size_t row = 0; row < there.size(); ++row) here[there[row]] = static_cast<int32_t>(row);
  return here;
}

}  // namespace glimmer
