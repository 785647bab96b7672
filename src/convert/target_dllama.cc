// Distributed Llama's *.m and the *.t beside it (format/dllama.h, docs/formats.md): f32, f16, q40, q80; norms, biases
// and the router in f32.
//
// llama, qwen3 and qwen3_moe are written so that Distributed Llama itself reads them where that can be: the embedding
// in f32 and all other matrices in one type. What it has no word for (tied embeddings, a rope_theta that is no whole
// number, ...) goes into Glimmer's keys, and a note says so.
#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/quoted_name.h"
#include "convert/targets.h"
#include "format/dllama.h"
#include "model/generation_config.h"
#include "source/dllama_tokenizer_json.h"

namespace glimmer::convert {
namespace {

// q4_0 and q8_0 are the same bytes as q40 and q80, rounded as ggml does.
constexpr std::array<std::string_view, 6> kTypes = {"f32", "f16", "q40", "q80", "q4_0", "q8_0"};

const QuantType& vector_type(const ConvertMatrix&, const QuantType&, const QuantType&) {
  return require_quant_type("f32");
}

// The element type on disk: q40 is Q4_0, q80 is Q8_0.
DType stored_dtype(const ConvertMatrix& matrix) {
  const std::vector<QuantPart> parts = matrix.type->parts(matrix.params, matrix.rows(), matrix.columns());
  const DType dtype = parts[0].dtype;
  const bool known = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kQ4_0 || dtype == DType::kQ8_0;
  if (parts.size() == 1 && known) return dtype;
  fail(ErrorCode::kUnsupported, "{}: type {} has no place in a *.m file; known are f32, f16, q40, q80", matrix.name,
       matrix.type->name);
}

// Rows that were put in order and back again lie as they did: they can be copied.
void drop_identity_map(EncodedMatrix& data) {
  const auto& map = *data.row_map;
  for (size_t row = 0; row < map.size(); ++row) {
    if (map[row] != static_cast<int32_t>(row)) return;
  }
  if (data.rows == data.stored_rows) data.row_map = nullptr;
}

// ---- the header

class HeaderMaker {
 public:
  HeaderMaker(const ConvertInput& input, std::span<const ConvertMatrix> matrices) : input_(input), c_(input.config) {
    for (const ConvertMatrix& matrix : matrices) names_.insert(matrix.name);
  }

  DllamaHeader make() {
    h_.arch = arch();
    refuse_what_has_no_place();
    put_sizes();
    put_rope();
    if (is_moe(h_.arch)) put_moe();
    if (c_.attention == AttentionKind::kMla) put_mla();
    h_.tie_word_embeddings = c_.tie_word_embeddings;
    h_.use_qk_norm = c_.use_qk_norm;
    h_.sandwich_norms = c_.model_type == "glm4";
    h_.fused_gate_up = names_.contains("model.layers.0.mlp.gate_up_proj.weight");
    h_.sparse_layers.resize(static_cast<size_t>(h_.num_hidden_layers));
    for (int64_t i = 0; i < h_.num_hidden_layers; ++i) h_.sparse_layers[static_cast<size_t>(i)] = c_.is_sparse(i);
    put_mtp();
    if (!is_upstream(h_.arch)) put_ids();
    return std::move(h_);
  }

 private:
  [[noreturn]] void refuse(std::string_view field, const std::string& what) const {
    fail(ErrorCode::kUnsupported, "{}: field {}: {}, for which Distributed Llama's format has no place", c_.source,
         field, what);
  }

  DllamaArch arch() const {
    static const std::unordered_map<std::string_view, DllamaArch> kArchs = {
        {"llama", DllamaArch::kLlama},
        {"qwen3", DllamaArch::kQwen3},
        {"qwen3_moe", DllamaArch::kQwen3Moe},
        {"glm", DllamaArch::kGlm4},
        {"glm4", DllamaArch::kGlm4},
        {"glm4_moe", DllamaArch::kGlm4Moe},
        {"glm4_moe_lite", DllamaArch::kGlm4MoeLite}};
    const auto it = kArchs.find(c_.model_type);
    if (it == kArchs.end()) refuse("model_type", quoted_name(c_.model_type));
    return it->second;
  }

  void refuse_what_has_no_place() const {
    if (c_.mlp_bias) refuse("mlp_bias", "true");
    if (is_upstream(h_.arch) && (c_.attention_bias || c_.attention_output_bias)) refuse("attention_bias", "true");
    if (h_.arch != DllamaArch::kQwen3Moe) return;
    if (!c_.norm_topk_prob) refuse("norm_topk_prob", "false");
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      if (!c_.is_sparse(i)) refuse("mlp_only_layers or decoder_sparse_step", fmt::format("layer {} is dense", i));
    }
  }

  void put_sizes() {
    const auto checked = [&](std::string_view field, int64_t value, int64_t most) {
      if (value > most) refuse(field, fmt::format("{}, above {}", value, most));
      return value;
    };
    constexpr int64_t kMaxInt = INT32_MAX;
    h_.hidden_size = c_.hidden_size;
    h_.intermediate_size = c_.intermediate_size;
    h_.num_hidden_layers = checked("num_hidden_layers", c_.num_hidden_layers, kMaxDllamaLayers);
    h_.num_attention_heads = c_.num_attention_heads;
    h_.num_key_value_heads = c_.attention == AttentionKind::kMla ? c_.num_attention_heads : c_.num_key_value_heads;
    h_.vocab_size = checked("vocab_size", c_.vocab_size, kMaxInt);
    h_.max_position_embeddings = checked("max_position_embeddings", c_.max_position_embeddings, kMaxInt);
    if (c_.attention == AttentionKind::kGqa) {
      h_.head_dim = c_.head_dim;
      if (c_.head_dim % 2 != 0) refuse("head_dim", fmt::format("{}, an odd number", c_.head_dim));
    }
    h_.rms_norm_eps = c_.rms_norm_eps;
    h_.attention_bias = c_.attention_bias;
  }

  void put_rope() {
    const RopeParameters& rope = c_.rope_parameters;
    h_.rope_theta = rope.rope_theta;
    h_.partial_rotary_factor = rope.partial_rotary_factor;
    h_.rope_interleaved = h_.arch == DllamaArch::kLlama || rope.pairing == RopePairing::kInterleaved;
    DllamaRopeScaling& scaling = h_.rope_scaling;
    if (rope.rope_type == "default") return;
    scaling.factor = rope.factor;
    scaling.original_max_position_embeddings = rope.original_max_position_embeddings;
    scaling.mscale_all_dim = rope.mscale_all_dim;
    if (rope.rope_type == "linear") {
      scaling.type = DllamaRopeScaling::Type::kLinear;
    } else if (rope.rope_type == "yarn") {
      scaling.type = DllamaRopeScaling::Type::kYarn;
      scaling.beta_fast = rope.beta_fast;
      scaling.beta_slow = rope.beta_slow;
      scaling.truncate = rope.truncate;
      scaling.attention_factor = rope.attention_factor;
    } else if (rope.rope_type == "llama3" && h_.arch == DllamaArch::kLlama) {
      put_llama3(rope);
    } else {
      refuse("rope_type", quoted_name(rope.rope_type));
    }
  }

  void put_llama3(const RopeParameters& rope) {
    DllamaRopeScaling& scaling = h_.rope_scaling;
    scaling.type = DllamaRopeScaling::Type::kLlama3;
    scaling.low_freq_factor = rope.low_freq_factor;
    scaling.high_freq_factor = rope.high_freq_factor;
    const std::pair<std::string_view, double> values[] = {{"factor", rope.factor},
                                                          {"low_freq_factor", rope.low_freq_factor},
                                                          {"high_freq_factor", rope.high_freq_factor}};
    for (const auto& [field, value] : values) {
      const bool whole = value >= 1 && value <= 1 << 20 && value == static_cast<double>(static_cast<int64_t>(value));
      if (!whole) refuse(fmt::format("rope_scaling.{}", field), fmt::format("{}, no whole number", value));
    }
  }

  void put_moe() {
    h_.n_routed_experts = c_.n_routed_experts;
    h_.num_experts_per_tok = c_.num_experts_per_tok;
    h_.moe_intermediate_size = c_.moe_intermediate_size;
    h_.n_shared_experts = c_.n_shared_experts;
    h_.n_group = c_.n_group;
    h_.topk_group = c_.topk_group;
    h_.norm_topk_prob = c_.norm_topk_prob;
    h_.routed_scaling_factor = c_.routed_scaling_factor;
    if (h_.routed_scaling_factor < 0) refuse("routed_scaling_factor", fmt::format("{}", h_.routed_scaling_factor));
  }

  void put_mla() {
    h_.q_lora_rank = c_.q_lora_rank;
    h_.kv_lora_rank = c_.kv_lora_rank;
    h_.qk_nope_head_dim = c_.qk_nope_head_dim;
    h_.qk_rope_head_dim = c_.qk_rope_head_dim;
    h_.v_head_dim = c_.v_head_dim;
    h_.split_kv_b = names_.contains("model.layers.0.self_attn.embed_q.weight");
  }

  // Layers for multi-token prediction, as many as there are whole.
  void put_mtp() {
    if (is_upstream(h_.arch) || !is_moe(h_.arch)) return;
    const auto has = [&](int64_t layer, std::string_view name) {
      return names_.contains(fmt::format("model.layers.{}.{}.weight", layer, name));
    };
    const int64_t first = h_.num_hidden_layers;
    h_.mtp_embed_tokens = has(first, "embed_tokens");
    h_.mtp_shared_head = has(first, "shared_head.head");
    for (int64_t layer = first; layer < first + 64 && has(layer, "eh_proj"); ++layer) {
      if (has(layer, "embed_tokens") != h_.mtp_embed_tokens || has(layer, "shared_head.head") != h_.mtp_shared_head) {
        refuse("num_nextn_predict_layers", "layers with an embedding or head of their own and layers without");
      }
      ++h_.num_nextn_predict_layers;
      h_.sparse_layers.push_back(has(layer, "mlp.gate"));
    }
  }

  void put_ids() {
    h_.eos_token_ids = read_generation_config(input_.files, c_).eos_token_id;
    if (static_cast<int64_t>(h_.eos_token_ids.size()) > kMaxDllamaEosIds) {
      refuse("eos_token_id", fmt::format("{} ids", h_.eos_token_ids.size()));
    }
    const auto id = [&](const char* field) -> std::optional<int32_t> {
      if (!input_.config_json.contains(field) || !input_.config_json[field].is_number_unsigned()) return std::nullopt;
      const auto value = input_.config_json[field].get<uint64_t>();
      if (value > INT32_MAX) refuse(field, fmt::format("{}", value));
      return static_cast<int32_t>(value);
    };
    h_.bos_token_id = id("bos_token_id");
    h_.pad_token_id = id("pad_token_id");
    if (c_.dtype == "float32") h_.dtype = DType::kF32;
    if (c_.dtype == "float16") h_.dtype = DType::kF16;
    if (c_.dtype == "bfloat16") h_.dtype = DType::kBF16;
  }

  const ConvertInput& input_;
  const ModelConfig& c_;
  std::unordered_set<std::string_view> names_;
  DllamaHeader h_;
};

// ---- the plan

class Planner {
 public:
  Planner(const ConvertInput& input, std::span<ConvertMatrix> matrices) : input_(input), matrices_(matrices) {
    for (size_t i = 0; i < matrices.size(); ++i) by_name_.emplace(matrices[i].name, i);
  }

  OutputPlan make() {
    header_ = HeaderMaker(input_, matrices_).make();
    choose_types();
    lay_out();
    note_what_is_left();
    put_side_files();
    return std::move(plan_);
  }

 private:
  ConvertMatrix* find(const std::string& name) {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : &matrices_[it->second];
  }

  ConvertMatrix& require(const DllamaTensor& tensor) {
    ConvertMatrix* matrix = find(tensor.name);
    if (matrix == nullptr) {
      fail(ErrorCode::kInvalid, "{}: tensor {} is missing: a *.m file has each that config.json speaks of",
           input_.source.path().string(), tensor.name);
    }
    if (matrix->shape != tensor.shape) {
      fail(ErrorCode::kInvalid, "{}: {}: shape {}, config.json says {}", input_.source.path().string(), tensor.name,
           matrix->shape.to_string(), tensor.shape.to_string());
    }
    return *matrix;
  }

  // --type if it was given, else what most values have.
  const QuantType& usual_type() const {
    if (std::find(kTypes.begin(), kTypes.end(), input_.type_name) != kTypes.end()) {
      return require_quant_type(input_.type_name);
    }
    std::map<const QuantType*, int64_t> values;
    for (const ConvertMatrix& matrix : matrices_) {
      if (!matrix.is_vector() && matrix.name != "model.embed_tokens.weight") {
        values[matrix.type] += matrix.shape.element_count();
      }
    }
    if (values.empty()) return require_quant_type("f32");
    const auto by_count = [](const auto& a, const auto& b) { return a.second < b.second; };
    return *std::max_element(values.begin(), values.end(), by_count)->first;
  }

  // The type of most matrices is the header's; others are named one by one. Places without a choice are F32.
  void choose_types() {
    const QuantType& usual = usual_type();
    const QuantType& f32 = require_quant_type("f32");
    int64_t index = 0;
    int64_t levelled = 0;
    ConvertMatrix example;
    example.name = "--type";
    example.shape = {1, usual.block};
    example.type = &usual;
    header_.weights = stored_dtype(example);
    for_each_dllama_tensor(header_, [&](const DllamaTensor& tensor) {
      ConvertMatrix& matrix = require(tensor);
      const QuantType* wanted = tensor.any_type ? matrix.type : &f32;
      if (tensor.any_type && is_upstream(header_.arch)) wanted = tensor.dtype == header_.weights ? &usual : &f32;
      if (wanted != matrix.type) {
        levelled += tensor.any_type ? 1 : 0;
        matrix.type = wanted;
        matrix.params = {};
      }
      if (matrix.columns() % wanted->block != 0) {
        fail(ErrorCode::kUnsupported, "{}: rows of {} values, expected whole blocks of {} for type {}", matrix.name,
             matrix.columns(), wanted->block, wanted->name);
      }
      const DType dtype = stored_dtype(matrix);
      if (tensor.any_type && dtype != tensor.dtype) header_.tensor_types.emplace(index, dtype);
      ++index;
      return true;
    });
    if (index > kMaxDllamaTensors) {
      fail(ErrorCode::kUnsupported, "{}: {} tensors; a *.m file is read with up to {}", input_.source.path().string(),
           index, kMaxDllamaTensors);
    }
    if (levelled > 0) {
      plan_.notes.push_back(
          fmt::format("{} matrices take the type that Distributed Llama expects of them: the embedding f32, others {}",
                      levelled, usual.name));
    }
  }

  void lay_out() {
    const std::vector<std::byte> header = encode_dllama_header(header_);
    OutputFile file;
    file.header.assign(reinterpret_cast<const char*>(header.data()), header.size());
    uint64_t at = header.size();
    for_each_dllama_tensor(header_, [&](const DllamaTensor& tensor) {
      ConvertMatrix& matrix = require(tensor);
      const bool query_or_key =
          tensor.name.ends_with("self_attn.q_proj.weight") || tensor.name.ends_with("self_attn.k_proj.weight");
      if (header_.arch == DllamaArch::kLlama && query_or_key) {
        std::vector<int32_t> rows(static_cast<size_t>(matrix.rows()));
        for (int32_t row = 0; row < matrix.rows(); ++row) {
          rows[static_cast<size_t>(dllama_stored_row(row, header_.head_dim))] = row;
        }
        permute_rows(matrix, rows);
        drop_identity_map(matrix.pieces[0].data);
      }
      plan_.matrices.push_back({.matrix = by_name_.at(matrix.name), .file = 0, .offsets = {at}});
      used_.insert(tensor.name);
      at += dtype_bytes(tensor.dtype, tensor.shape.element_count());
      return true;
    });
    file.size_bytes = at;
    plan_.files.push_back(std::move(file));
    if (const auto reason = dllama_extension_reason(header_); reason && is_upstream(header_.arch)) {
      plan_.notes.push_back(
          fmt::format("Distributed Llama itself cannot read the file: it has no word for {}", *reason));
    }
  }

  void note_what_is_left() {
    std::vector<std::string_view> left;
    for (const ConvertMatrix& matrix : matrices_) {
      const bool tied = header_.tie_word_embeddings && matrix.name == "lm_head.weight";
      if (!used_.contains(matrix.name) && !tied && matrix.shape.element_count() > 0) left.push_back(matrix.name);
    }
    if (left.empty()) return;
    plan_.notes.push_back(fmt::format("{} tensors have no place and are left out, the first: {}", left.size(),
                                      quoted_name(left.front())));
  }

  void put_side_files() {
    const GenerationConfig generation = read_generation_config(input_.files, input_.config);
    const std::optional<std::string> json = input_.files.read("tokenizer.json");
    note_what_side_files_lose(generation, json.has_value());
    if (!json) {
      const bool lost = is_upstream(header_.arch) && !generation.eos_token_id.empty();
      plan_.notes.push_back(fmt::format("there is no tokenizer.json, so no *.t file is written{}",
                                        lost ? ", in which eos_token_id would stand" : ""));
      return;
    }
    const std::string config = input_.files.read("tokenizer_config.json").value_or("");
    const std::string generation_config = input_.files.read("generation_config.json").value_or("");
    const std::string chat_template = input_.files.read("chat_template.jinja").value_or("");
    const std::string label = input_.files.label("tokenizer.json");
    HfTokenizerText hf;
    hf.tokenizer_json = *json;
    hf.tokenizer_config_json = config;
    hf.generation_config_json = generation_config;
    hf.chat_template = chat_template;
    hf.eos_token_id = generation.eos_token_id;
    hf.source = label;
    const Json bos = input_.config_json.value("bos_token_id", Json());
    if (bos.is_number_unsigned() && bos.get<uint64_t>() <= INT32_MAX) hf.bos_token_id = bos.get<int32_t>();
    const std::vector<std::byte> bytes = encode_dllama_tokenizer(dllama_tokenizer_of(hf));
    plan_.side_files.emplace(input_.output_stem + ".t",
                             std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }

  void note_what_side_files_lose(const GenerationConfig& generation, bool has_tokenizer) {
    const bool sampling = generation.temperature || generation.top_p || generation.top_k || generation.min_p ||
                          generation.repetition_penalty || generation.do_sample;
    if (sampling && !has_tokenizer)
      plan_.notes.emplace_back("generation_config.json: the sampling defaults have no place");
    std::vector<std::string> left;
    for (const std::string& name : input_.source.side_files()) {
      const bool kept = name == "config.json" || name == "generation_config.json" || name == "tokenizer.json" ||
                        name == "tokenizer_config.json" || name == "chat_template.jinja";
      if (!kept) left.push_back(name);
    }
    if (!left.empty()) plan_.notes.push_back(fmt::format("side files without a place: {}", fmt::join(left, ", ")));
  }

  const ConvertInput& input_;
  std::span<ConvertMatrix> matrices_;
  std::unordered_map<std::string_view, size_t> by_name_;
  std::unordered_set<std::string> used_;
  DllamaHeader header_;
  OutputPlan plan_;
};

OutputPlan plan(const ConvertInput& input, std::span<ConvertMatrix> matrices) {
  return Planner(input, matrices).make();
}

}  // namespace

extern const Target kDllamaTarget = {.format = "dllama",
                                     .extension = ".m",
                                     .types = {kTypes.begin(), kTypes.end()},
                                     .vector_type = vector_type,
                                     .plan = plan};

}  // namespace glimmer::convert
