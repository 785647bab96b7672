// glimmer inspect: what a model folder holds. Runs nothing.
#include <fmt/ranges.h>

#include "apps/command.h"
#include "apps/inspect_kernels.h"
#include "apps/options.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "model/summary.h"
#include "session/model_files.h"
#include "source/side_files.h"

namespace glimmer::apps {
namespace {

namespace fs = std::filesystem;

struct Inspected {
  fs::path folder;
  ModelConfig config;
  GenerationConfig generation;
  ModelSummary summary;
  std::string tokenizer;  // what there is, or what is wrong with it
  std::string chat_template;
  std::vector<int32_t> eos_ids;
};

const char* attention_name(AttentionKind kind) { return kind == AttentionKind::kMla ? "MLA" : "GQA"; }

int64_t sparse_layers(const ModelConfig& config) {
  int64_t count = 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) count += config.is_sparse(layer) ? 1 : 0;
  return count;
}

Json totals_json(const TensorTotals& totals) {
  return {{"tensors", totals.tensors}, {"parameters", totals.parameters}, {"bytes", totals.bytes}};
}

Json attention_json(const ModelConfig& config) {
  Json out = {{"kind", attention_name(config.attention)}, {"num_attention_heads", config.num_attention_heads}};
  if (config.attention == AttentionKind::kMla) {
    out.update({{"q_lora_rank", config.q_lora_rank},
                {"kv_lora_rank", config.kv_lora_rank},
                {"qk_nope_head_dim", config.qk_nope_head_dim},
                {"qk_rope_head_dim", config.qk_rope_head_dim},
                {"v_head_dim", config.v_head_dim}});
  } else {
    out.update({{"num_key_value_heads", config.num_key_value_heads},
                {"head_dim", config.head_dim},
                {"attention_bias", config.attention_bias},
                {"use_qk_norm", config.use_qk_norm}});
  }
  out.update({{"rope_type", config.rope_parameters.rope_type},
              {"rope_theta", config.rope_parameters.rope_theta},
              {"rotary_dim", config.rope_parameters.rotary_dim}});
  return out;
}

Json config_json(const ModelConfig& config, const std::string& quantization) {
  Json out = {{"model_type", config.model_type},
              {"architecture", config.architecture},
              {"vocab_size", config.vocab_size},
              {"hidden_size", config.hidden_size},
              {"intermediate_size", config.intermediate_size},
              {"num_hidden_layers", config.num_hidden_layers},
              {"max_position_embeddings", config.max_position_embeddings},
              {"rms_norm_eps", config.rms_norm_eps},
              {"tie_word_embeddings", config.tie_word_embeddings},
              {"dtype", config.dtype},
              {"quantization", quantization},
              {"attention", attention_json(config)}};
  if (config.n_routed_experts > 0) {
    out["moe"] = {{"sparse_layers", sparse_layers(config)},
                  {"n_routed_experts", config.n_routed_experts},
                  {"num_experts_per_tok", config.num_experts_per_tok},
                  {"n_shared_experts", config.n_shared_experts},
                  {"moe_intermediate_size", config.moe_intermediate_size},
                  {"n_group", config.n_group},
                  {"topk_group", config.topk_group},
                  {"norm_topk_prob", config.norm_topk_prob},
                  {"routed_scaling_factor", config.routed_scaling_factor}};
  }
  out["num_nextn_predict_layers"] = config.num_nextn_predict_layers;
  out["defaults_taken"] = config.defaults_taken;
  return out;
}

Json tensor_json(const SourceTensor& tensor, int64_t num_hidden_layers) {
  return {{"name", tensor.name},
          {"dtype", ModelSource::stored_type(tensor)},
          {"shape", tensor.shape.dims()},
          {"bytes", ModelSource::stored_bytes(tensor)},
          {"role", tensor_role_name(tensor_role(tensor.name, num_hidden_layers))},
          {"file", fs::path(tensor.file).filename().string()}};
}

Json summary_json(const Inspected& model, const ModelSource& source, bool with_tensors) {
  const ModelSummary& summary = model.summary;
  Json out = {{"model", model.folder.string()}, {"config", config_json(model.config, source.quantization())}};
  out["parameters"] = {{"total", summary.total.parameters},
                       {"main", summary.main_parameters},
                       {"active", summary.active_parameters},
                       {"active_without_head", summary.active_parameters_no_head},
                       {"embedding", summary.role(TensorRole::kEmbedding).parameters},
                       {"head", summary.role(TensorRole::kHead).parameters},
                       {"mtp", summary.role(TensorRole::kMtp).parameters}};
  out["files"] = source.files();
  out["tensors"] = summary.total.tensors;
  out["bytes"] = summary.total.bytes;
  for (const auto& [role, totals] : summary.by_role)
    out["roles"][std::string(tensor_role_name(role))] = totals_json(totals);
  for (const auto& [dtype, totals] : summary.by_dtype) out["dtypes"][dtype] = totals_json(totals);
  out["kv_bytes_per_token"] = summary.kv_bytes_per_token;
  out["kv_bytes_per_token_bf16"] = summary.kv_bytes_per_token_bf16;
  out["eos_token_ids"] = model.eos_ids;
  out["tokenizer"] = model.tokenizer;
  out["chat_template"] = model.chat_template;
  if (with_tensors) {
    for (const SourceTensor& tensor : source.tensors()) {
      out["tensor_list"].push_back(tensor_json(tensor, model.config.num_hidden_layers));
    }
  }
  return out;
}

std::string row(std::string_view label, const std::string& value) { return fmt::format("{:<18}{}\n", label, value); }

std::string attention_text(const ModelConfig& c) {
  if (c.attention == AttentionKind::kMla) {
    return fmt::format("MLA, {} heads, q_lora_rank {}, kv_lora_rank {}, head {} + {} rope, value {}",
                       c.num_attention_heads, c.q_lora_rank, c.kv_lora_rank, c.qk_nope_head_dim, c.qk_rope_head_dim,
                       c.v_head_dim);
  }
  return fmt::format("GQA, {} heads, {} key-value heads, head_dim {}{}{}", c.num_attention_heads, c.num_key_value_heads,
                     c.head_dim, c.attention_bias ? ", qkv bias" : "", c.use_qk_norm ? ", q and k norms" : "");
}

std::string config_text(const ModelConfig& c, const std::string& quantization) {
  std::string out = row("family", fmt::format("{} ({})", c.model_type, c.architecture));
  out += row("layers", fmt::format("{} ({} sparse), hidden {}, dense MLP {}", c.num_hidden_layers, sparse_layers(c),
                                   c.hidden_size, c.intermediate_size));
  out += row("attention", attention_text(c));
  out += row("rope", fmt::format("{}, theta {}, {} values of a head", c.rope_parameters.rope_type,
                                 c.rope_parameters.rope_theta, c.rope_parameters.rotary_dim));
  if (c.n_routed_experts > 0) {
    out += row("experts", fmt::format("{} routed, {} a token, {} shared, size {}, scale {}", c.n_routed_experts,
                                      c.num_experts_per_tok, c.n_shared_experts, c.moe_intermediate_size,
                                      c.routed_scaling_factor));
  }
  out +=
      row("vocabulary", fmt::format("{}{}", c.vocab_size, c.tie_word_embeddings ? ", head tied to the embedding" : ""));
  out += row("context", fmt::format("{} tokens", c.max_position_embeddings));
  out += row("quantization", quantization);
  return out;
}

std::string parameters_text(const ModelSummary& summary) {
  std::string out = row("parameters", fmt::format("{} ({} without MTP)", human_count(summary.total.parameters),
                                                  human_count(summary.main_parameters)));
  out += row("  active", fmt::format("{} a token, {} without the head", human_count(summary.active_parameters),
                                     human_count(summary.active_parameters_no_head)));
  for (const auto& [role, totals] : summary.by_role) {
    out += row(fmt::format("  {}", tensor_role_name(role)),
               fmt::format("{:>8}  {:>9}  {} tensors", human_count(totals.parameters), human_bytes(totals.bytes),
                           totals.tensors));
  }
  return out;
}

std::string files_text(const Inspected& model, const ModelSource& source) {
  std::vector<std::string> dtypes;
  for (const auto& [dtype, totals] : model.summary.by_dtype) {
    dtypes.push_back(fmt::format("{} {}", dtype, human_bytes(totals.bytes)));
  }
  std::string out =
      row("weights", fmt::format("{} in {} tensors, {} file{}", human_bytes(model.summary.total.bytes),
                                 model.summary.total.tensors, source.files(), source.files() == 1 ? "" : "s"));
  out += row("  types", fmt::format("{}", fmt::join(dtypes, ", ")));
  out += row("KV cache", fmt::format("{} bytes a token (bfloat16; {} in exact precision, float32)",
                                     model.summary.kv_bytes_per_token_bf16, model.summary.kv_bytes_per_token));
  out += row("ends an answer", fmt::format("ids {}", fmt::join(model.eos_ids, ", ")));
  out += row("tokenizer", model.tokenizer);
  out += row("chat template", model.chat_template);
  for (const std::string& taken : model.config.defaults_taken) out += row("not in config", taken);
  return out;
}

std::string tensors_text(const ModelSource& source, int64_t num_hidden_layers) {
  std::string out;
  for (const SourceTensor& tensor : source.tensors()) {
    out += fmt::format("{:<8} {:<20} {:>9}  {:<15} {}\n", ModelSource::stored_type(tensor), tensor.shape.to_string(),
                       human_bytes(static_cast<int64_t>(ModelSource::stored_bytes(tensor))),
                       tensor_role_name(tensor_role(tensor.name, num_hidden_layers)), tensor.name);
  }
  return out;
}

// An unusable tokenizer or template is reported without hiding the rest.
template <typename Describe>
std::string described(Describe describe) {
  try {
    return describe();
  } catch (const Error& error) {
    return fmt::format("not usable: {}", error.what());
  }
}

Inspected inspect(const fs::path& folder, const ModelSource& source) {
  Inspected model;
  model.folder = folder;
  const SideFiles files = side_files_of(source);
  model.config = read_config(files);
  model.generation = read_generation_config(files, model.config);
  model.summary = summarize(model.config, source.tensors());
  std::optional<Tokenizer> tokenizer;
  model.tokenizer = described([&]() -> std::string {
    tokenizer = find_tokenizer(files);
    return tokenizer ? fmt::format("{} tokens", tokenizer->vocab_size()) : "none";
  });
  model.chat_template = described(
      [&]() -> std::string { return ChatTemplate::exists(files) ? ChatTemplate::load(files).source() : "none"; });
  model.eos_ids = end_of_turn_ids(model.generation, tokenizer ? &*tokenizer : nullptr, files);
  return model;
}

}  // namespace

int inspect_command(Arguments arguments) {
  ModelFlags model_flags;
  std::optional<std::string> folder_argument;
  bool tensors = false;
  bool as_json = false;
  bool kernels = false;
  Flags flags("inspect", "Shows what a model consists of, or with --kernels what this machine would run it with.");
  flags.add("DIR", folder_argument, "", "Same as --model DIR");
  model_flags.add(flags);
  flags.add_switch("--tensors", tensors, "List every tensor")
      .add_switch("--json", as_json, "Print JSON")
      .add_switch("--kernels", kernels,
                  "Show the processor, the kernel tables, and which one implements each operation")
      .examples(
          "  glimmer inspect ~/models/GLM-4.7-Flash\n"
          "  glimmer inspect --tensors --json | jq '.tensor_list[0]'\n"
          "  glimmer inspect --kernels");
  RuntimeFlags runtime;
  runtime.add(flags);
  if (!flags.parse(arguments)) return 0;
  if (kernels) {
    write_output(as_json ? dump_json(kernels_json(runtime.backend)) + "\n" : kernels_text(runtime.backend));
    return 0;
  }
  if (folder_argument && model_flags.model) fail(ErrorCode::kUsage, "DIR and --model exclude each other");
  if (folder_argument) model_flags.model = *folder_argument;
  const fs::path folder = model_flags.folder_or_file();
  const std::unique_ptr<ModelSource> source = ModelSource::open(folder);
  const Inspected model = inspect(folder, *source);
  if (as_json) {
    write_output(dump_json(summary_json(model, *source, tensors)) + "\n");
    return 0;
  }
  write_output(row("model", folder.string()) + config_text(model.config, source->quantization()) +
               parameters_text(model.summary) + files_text(model, *source));
  if (tensors) write_output("\n" + tensors_text(*source, model.config.num_hidden_layers));
  return 0;
}

}  // namespace glimmer::apps
