// GGUF: one file, laid out as llama.cpp's converter does. Experts of a layer are one tensor, the rows of llama's q and
// k go in pairs, MLA's kv_b_proj is in two halves, what is never quantised is F32. Source: llama.cpp, conversion/*.py;
// names and metadata in source/gguf_names.h and gguf_config.h.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "base/error.h"
#include "base/quoted_name.h"
#include "convert/targets.h"
#include "format/gguf_writer.h"
#include "model/generation_config.h"
#include "source/gguf_config.h"
#include "source/gguf_names.h"
#include "source/gguf_source.h"
#include "source/gguf_tokenizer.h"

namespace glimmer::convert {
namespace {

constexpr std::string_view kLmHead = "lm_head.weight";

const QuantType& vector_type(const ConvertMatrix&, const QuantType&, const QuantType&) {
  return require_quant_type("f32");
}

DType dtype_of(const ConvertMatrix& matrix) {
  const std::vector<QuantPart> parts = matrix.type->parts(matrix.params, matrix.rows(), matrix.columns());
  GLIMMER_CHECK(parts.size() == 1, "{}: type {} has {} parts", matrix.name, matrix.type->name, parts.size());
  return parts[0].dtype;
}

// The number after "model.layers.", or -1.
int64_t layer_of(std::string_view name) {
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) return -1;
  int64_t layer = -1;
  std::from_chars(name.data() + kLayers.size(), name.data() + name.size(), layer);
  return layer;
}

// A tensor of the file and the matrices that it is made of, one but for a stack.
struct Stored {
  GgufTensorSpec spec;
  std::vector<size_t> matrices;  // in the order of their rows
};

// llama.cpp's order of rows.
void pair_rows(ConvertMatrix& matrix, int64_t head_dim) {
  const int64_t rows = matrix.shape[0];
  if (head_dim < 2 || head_dim % 2 != 0 || rows % head_dim != 0) {
    fail(ErrorCode::kUnsupported, "{}: {} rows are no whole heads of {}", quoted_name(matrix.name), rows, head_dim);
  }
  if (matrix.is_vector()) {
    // A column of one value a row is written as the same bytes.
    GLIMMER_CHECK(matrix.pieces.size() == 1, "{}: {} pieces", matrix.name, matrix.pieces.size());
    EncodedMatrix& data = matrix.pieces[0].data;
    data.rows = data.stored_rows = rows;
    data.columns = 1;
    matrix.shape = {rows, 1};
  }
  permute_rows(matrix, inverse_rope_pairs(rows, head_dim));
}

// The shape in the file of a tensor that is no stack.
Shape stored_shape(const ConvertMatrix& matrix, GgufForm form, const ModelConfig& config) {
  if (form != GgufForm::kHeads) return matrix.shape;
  const int64_t heads = config.num_attention_heads;
  GLIMMER_CHECK(matrix.shape[0] % heads == 0, "{}: {} rows, {} heads", matrix.name, matrix.shape[0], heads);
  return {heads, matrix.shape[0] / heads, matrix.shape[1]};
}

// What a GGUF file says of itself besides what is made anew: its name, license, languages, ... Texts and lists of them.
std::vector<GgufKeyValue> carried_metadata(const ModelSource& source) {
  std::vector<GgufKeyValue> carried;
  const auto* gguf = dynamic_cast<const GgufSource*>(&source);
  if (gguf == nullptr) return carried;
  for (const auto& [key, value] : gguf->metadata().entries()) {
    if (!key.starts_with("general.") || key == "general.architecture" || key == "general.type") continue;
    if (value.type == GgufType::kString) {
      const auto* text = reinterpret_cast<const char*>(value.bytes.data());
      carried.push_back({std::string(key), std::string(text, value.bytes.size())});
    } else if (value.type == GgufType::kArray && value.element == GgufType::kString) {
      carried.push_back({std::string(key), std::vector<std::string>(value.strings.begin(), value.strings.end())});
    }
  }
  return carried;
}

class Planner {
 public:
  Planner(const ConvertInput& input, std::span<ConvertMatrix> matrices)
      : input_(input), matrices_(matrices), architecture_(architecture(input)) {}

  OutputPlan plan() {
    for (size_t i = 0; i < matrices_.size(); ++i) place(i);
    check_stacks();
    std::vector<GgufKeyValue> metadata = gguf_metadata(input_.config_json, options(), label("config.json"));
    for (GgufKeyValue& entry : carried_metadata(input_.source)) {
      std::erase_if(metadata, [&](const GgufKeyValue& own) { return own.key == entry.key; });
      metadata.push_back(std::move(entry));
    }
    const GenerationConfig generation = read_generation_config(input_.files, input_.config);
    add_sampling(generation, metadata);
    add_tokenizer(generation, metadata);

    // What is no matrix goes first: its bytes are part of the header.
    const std::vector<float> rope_freqs = gguf_rope_freqs(input_.config_json, label("config.json"));
    std::vector<GgufTensorSpec> specs;
    if (!rope_freqs.empty()) {
      specs.push_back({"rope_freqs.weight", DType::kF32, {static_cast<int64_t>(rope_freqs.size())}});
    }
    for (const Stored& stored : stored_) specs.push_back(stored.spec);
    GgufLayout layout = gguf_layout(metadata, specs);
    if (!rope_freqs.empty()) {
      GLIMMER_CHECK(layout.offsets[0] == layout.header.size(), "the data section begins behind the header");
      layout.header.append(reinterpret_cast<const char*>(rope_freqs.data()), rope_freqs.size() * sizeof(float));
    }

    const size_t first = specs.size() - stored_.size();
    for (size_t t = 0; t < stored_.size(); ++t) {
      const Stored& stored = stored_[t];
      const uint64_t each = layout.size_bytes[first + t] / stored.matrices.size();
      for (size_t m = 0; m < stored.matrices.size(); ++m) {
        plan_.matrices.push_back(
            {.matrix = stored.matrices[m], .file = 0, .offsets = {layout.offsets[first + t] + m * each}});
      }
    }
    plan_.files.push_back({.name = "", .header = std::move(layout.header), .size_bytes = layout.file_bytes});
    return std::move(plan_);
  }

 private:
  static const GgufArchitecture& architecture(const ConvertInput& input) {
    return gguf_architecture_of(input.config.model_type, input.files.label("config.json"));
  }

  std::string label(std::string_view file) const { return input_.files.label(file); }

  void place(size_t index) {
    ConvertMatrix& matrix = matrices_[index];
    if (matrix.name == kLmHead && input_.config.tie_word_embeddings) {
      plan_.notes.push_back("lm_head.weight: left out, as tie_word_embeddings says that it is the embeddings");
      return;
    }
    const std::optional<GgufName> name = gguf_name_of(architecture_, matrix.name);
    if (!name) {
      fail(ErrorCode::kUnsupported, "{}: tensor {} has no place in GGUF's architecture {}", input_.files.model,
           quoted_name(matrix.name), architecture_.name);
    }
    if (layer_of(matrix.name) >= input_.config.num_hidden_layers) {
      mtp_layers_ = std::max(mtp_layers_, layer_of(matrix.name) + 1 - input_.config.num_hidden_layers);
    }
    if (name->form == GgufForm::kExperts) return place_expert(index, *name);
    const GgufTensorSpec spec{name->name, dtype_of(matrix), stored_shape(matrix, name->form, input_.config)};
    if (name->form == GgufForm::kRopePairs) pair_rows(matrix, input_.config.head_dim);
    stored_.push_back({spec, {index}});
  }

  void place_expert(size_t index, const GgufName& name) {
    const ConvertMatrix& matrix = matrices_[index];
    const int64_t experts = input_.config.n_routed_experts;
    if (name.expert >= experts) {
      fail(ErrorCode::kInvalid, "{}: tensor {}: config.json has {} experts", input_.files.model,
           quoted_name(matrix.name), experts);
    }
    const auto [at, is_new] = stacks_.emplace(name.name, stored_.size());
    if (is_new) {
      const Shape shape{experts, matrix.shape[0], matrix.shape[1]};
      stored_.push_back({{name.name, dtype_of(matrix), shape}, std::vector<size_t>(experts, matrices_.size())});
    }
    Stored& stack = stored_[at->second];
    const GgufTensorSpec& spec = stack.spec;
    if (dtype_of(matrix) != spec.dtype || matrix.shape[0] != spec.shape[1] || matrix.shape[1] != spec.shape[2]) {
      fail(ErrorCode::kUnsupported, "tensor {}: {} {}: the other experts of {}, one tensor in GGUF, are {} {}",
           quoted_name(matrix.name), dtype_name(dtype_of(matrix)), matrix.shape.to_string(), spec.name,
           dtype_name(spec.dtype), Shape({spec.shape[1], spec.shape[2]}).to_string());
    }
    stack.matrices[static_cast<size_t>(name.expert)] = index;
  }

  void check_stacks() const {
    for (const auto& [name, at] : stacks_) {
      const auto& own = stored_[at].matrices;
      const auto missing = std::find(own.begin(), own.end(), matrices_.size());
      if (missing != own.end()) {
        fail(ErrorCode::kInvalid, "{}: expert {} of {} is missing", input_.files.model, missing - own.begin(), name);
      }
    }
  }

  GgufMetadataOptions options() const {
    std::map<DType, uint64_t> bytes;
    for (const Stored& stored : stored_) {
      if (stored.spec.shape.rank() > 1) {
        bytes[stored.spec.dtype] += dtype_bytes(stored.spec.dtype, stored.spec.shape.element_count());
      }
    }
    GgufMetadataOptions options;
    const std::filesystem::path path = std::filesystem::absolute(input_.source.path()).lexically_normal();
    const std::filesystem::path own = path.has_filename() ? path : path.parent_path();
    options.name = input_.source.format() == "hf" || input_.source.format() == "mlx" ? own.filename() : own.stem();
    const auto most =
        std::max_element(bytes.begin(), bytes.end(), [](auto& a, auto& b) { return a.second < b.second; });
    if (most != bytes.end()) options.file_type = gguf_file_type(most->first);
    options.mtp_layers = mtp_layers_;
    return options;
  }

  // Only if the model is meant to be sampled: the keys say so by being there.
  static void add_sampling(const GenerationConfig& generation, std::vector<GgufKeyValue>& metadata) {
    if (!generation.do_sample.value_or(false)) return;
    const std::map<std::string_view, std::optional<double>> fields = {
        {"temperature", generation.temperature},
        {"top_p", generation.top_p},
        {"top_k", generation.top_k},
        {"min_p", generation.min_p},
        {"repetition_penalty", generation.repetition_penalty}};
    for (const GgufSamplingKey& row : gguf_sampling_keys()) {
      const std::optional<double>& value = fields.at(row.field);
      if (!value) continue;
      if (row.integer) {
        metadata.push_back({std::string(row.key), static_cast<int32_t>(*value)});
      } else {
        metadata.push_back({std::string(row.key), static_cast<float>(*value)});
      }
    }
  }

  void add_tokenizer(const GenerationConfig& generation, std::vector<GgufKeyValue>& metadata) {
    const auto text = [&](std::string_view name) { return input_.files.read(name).value_or(""); };
    const std::string tokenizer_json = text("tokenizer.json");
    if (tokenizer_json.empty()) {
      plan_.notes.push_back("the model has no tokenizer.json: the file will have no tokenizer");
      if (!generation.eos_token_id.empty()) {
        plan_.notes.push_back("eos_token_id: left out, as GGUF has it in the tokenizer's keys");
      }
      return;
    }
    const std::string tokenizer_config_json = text("tokenizer_config.json");
    const std::string chat_template = text("chat_template.jinja");
    const std::string source = label("tokenizer.json");
    HfTokenizer hf{.tokenizer_json = tokenizer_json,
                   .tokenizer_config_json = tokenizer_config_json,
                   .chat_template = chat_template,
                   .chat_templates = {},
                   .eos_token_id = generation.eos_token_id,
                   .vocab_size = input_.config.vocab_size,
                   .model_type = input_.config.model_type,
                   .source = source};
    constexpr std::string_view kFolder = "additional_chat_templates/";
    constexpr std::string_view kSuffix = ".jinja";
    for (const std::string& file : input_.source.side_files()) {
      if (!file.starts_with(kFolder) || !file.ends_with(kSuffix)) continue;
      hf.chat_templates[file.substr(kFolder.size(), file.size() - kFolder.size() - kSuffix.size())] = text(file);
    }
    const GgufTokenizer tokenizer = gguf_tokenizer_of(hf);
    for (const std::string& loss : tokenizer.losses) plan_.notes.push_back(loss);
    for (GgufKeyValue& entry : gguf_tokenizer_metadata(tokenizer)) metadata.push_back(std::move(entry));
  }

  const ConvertInput& input_;
  std::span<ConvertMatrix> matrices_;
  const GgufArchitecture& architecture_;
  OutputPlan plan_;
  std::vector<Stored> stored_;                      // in the order of the file
  std::unordered_map<std::string, size_t> stacks_;  // of stored_, by name
  int64_t mtp_layers_ = 0;
};

OutputPlan plan(const ConvertInput& input, std::span<ConvertMatrix> matrices) {
  return Planner(input, matrices).plan();
}

}  // namespace

extern const Target kGgufTarget = {
    .format = "gguf",
    .extension = ".gguf",
    .is_folder = false,
    .split_kv_b = true,
    .types = {"f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
              "iq4_nl", "iq4_xs", "mxfp4"},
    .vector_type = vector_type,
    .plan = plan,
};

}  // namespace glimmer::convert
