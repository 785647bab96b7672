#include "source/gguf_source.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr std::string_view kRopeFreqs = "rope_freqs.weight";
constexpr std::string_view kTemplateFolder = "additional_chat_templates/";
constexpr std::string_view kTemplateSuffix = ".jinja";

// The tensor as one matrix whose rows are its innermost extents; a vector is one row.
EncodedMatrix matrix_of(const TensorInfo& info) {
  EncodedMatrix matrix = ModelSource::whole_matrix(info);
  if (matrix.type == nullptr) {
    fail(ErrorCode::kUnsupported, "{}: tensor {}: weights of type {} are not supported", info.file,
         quoted_name(info.name), dtype_name(info.dtype));
  }
  return matrix;
}

[[noreturn]] void refuse_shape(const TensorInfo& info, const std::string& expected) {
  fail(ErrorCode::kInvalid, "{}: tensor {}: shape {}, expected {}", info.file, quoted_name(info.name),
       info.shape.to_string(), expected);
}

void expect_rank(const TensorInfo& info, int low, int high) {
  const int rank = info.shape.rank();
  if (rank < low || rank > high) {
    refuse_shape(info, low == high ? fmt::format("{} dimensions", low) : fmt::format("{} or {} dimensions", low, high));
  }
}

// For people: the block type of most bytes.
std::string commonest_block_type(const std::vector<SourceTensor>& tensors) {
  std::map<std::string_view, uint64_t> bytes;
  for (const SourceTensor& tensor : tensors) {
    if (is_block_dtype(tensor.stored_dtype)) {
      bytes[dtype_name(tensor.stored_dtype)] += ModelSource::stored_bytes(tensor);
    }
  }
  const auto most = std::max_element(bytes.begin(), bytes.end(), [](auto& a, auto& b) { return a.second < b.second; });
  if (most == bytes.end()) return "none";
  return bytes.size() == 1 ? std::string(most->first) : fmt::format("{} and others", most->first);
}

// "m-00002-of-00003.gguf": another than the first file of a split model.
bool is_later_split(const std::string& name) {
  constexpr std::string_view kPattern = "-#####-of-#####.gguf";
  if (name.size() < kPattern.size()) return false;
  const std::string_view end = std::string_view(name).substr(name.size() - kPattern.size());
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const bool fits = kPattern[i] == '#' ? end[i] >= '0' && end[i] <= '9' : end[i] == kPattern[i];
    if (!fits) return false;
  }
  return end.substr(1, 5) != "00001";
}

}  // namespace

std::optional<std::filesystem::path> gguf_model_at(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    return path.extension() == ".gguf" ? std::optional(path) : std::nullopt;
  }
  std::vector<std::filesystem::path> models;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.path().extension() == ".safetensors") return std::nullopt;
    if (entry.path().extension() == ".gguf" && !is_later_split(entry.path().filename())) models.push_back(entry.path());
  }
  if (models.size() > 1) {
    std::sort(models.begin(), models.end());
    fail(ErrorCode::kUsage, "{}: {} models (*.gguf) in the folder: name one of them, as {}", path.string(),
         models.size(), models.front().string());
  }
  return models.empty() ? std::nullopt : std::optional(models.front());
}

GgufSource::GgufSource(const std::filesystem::path& path)
    : ModelSource(path, "gguf"),
      opened_(open_gguf(path)),
      architecture_(require_gguf_architecture(metadata().require_text("general.architecture"), metadata().source())),
      sizes_(gguf_sizes(metadata(), architecture_)),
      tokenizer_(read_gguf_tokenizer(metadata())) {
  std::vector<int32_t> eos_token_id;
  if (tokenizer_) eos_token_id = gguf_eos_token_ids(*tokenizer_, metadata().source());
  config_ = config_json_of(metadata(), architecture_, facts(), eos_token_id);
  generation_ = generation_config_json_of(metadata(), eos_token_id);
  files_ = static_cast<int64_t>(opened_.size());
  for (const auto& file : opened_) {
    std::vector<const TensorInfo*> in_order;
    for (const TensorInfo& info : file->tensors()) in_order.push_back(&info);
    std::sort(in_order.begin(), in_order.end(), [](auto* a, auto* b) { return a->data.data() < b->data.data(); });
    for (const TensorInfo* info : in_order) add_stored(*info);
  }
  finish();
  quantization_ = commonest_block_type(tensors_);
}

const TensorInfo* GgufSource::find_stored(std::string_view name) const {
  for (const auto& file : opened_) {
    if (const TensorInfo* info = file->find(name)) return info;
  }
  return nullptr;
}

GgufTensorFacts GgufSource::facts() const {
  const auto has = [&](std::string_view name) { return find_stored(name) != nullptr; };
  GgufTensorFacts facts;
  const TensorInfo* embedding = find_stored("token_embd.weight");
  if (embedding == nullptr) {
    fail(ErrorCode::kInvalid, "{}: tensor \"token_embd.weight\" is missing: this is no language model",
         metadata().source());
  }
  expect_rank(*embedding, 2, 2);
  facts.vocab_size = embedding->shape[0];
  facts.output = has("output.weight");
  facts.attention_bias = has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias");
  facts.attention_output_bias = has("blk.0.attn_output.bias");
  facts.mlp_bias = has("blk.0.ffn_gate.bias") || has("blk.0.ffn_down.bias");
  facts.qk_norm = has("blk.0.attn_q_norm.weight");
  if (const TensorInfo* freqs = find_stored(kRopeFreqs)) {
    if (freqs->dtype != DType::kF32) {
      fail(ErrorCode::kInvalid, "{}: tensor {}: type {}, expected F32", freqs->file, quoted_name(freqs->name),
           dtype_name(freqs->dtype));
    }
    expect_rank(*freqs, 1, 1);
    facts.rope_freqs.resize(static_cast<size_t>(freqs->shape[0]));
    std::memcpy(facts.rope_freqs.data(), freqs->data.data(), freqs->data.size());
  }
  return facts;
}

void GgufSource::add_matrix(const TensorInfo& info, std::string name, Shape shape, EncodedMatrix data) {
  // Stacks of tiny experts would take far more memory than they have bytes.
  if (tensors_.size() >= kGgufMaxTensors) {
    fail(ErrorCode::kLimit, "{}: tensor {}: more than {} matrices, each expert counted", info.file,
         quoted_name(info.name), kGgufMaxTensors);
  }
  add({.name = std::move(name),
       .shape = shape,
       .data = std::move(data),
       .file = info.file,
       .stored_name = info.name,
       .stored_dtype = info.dtype});
}

void GgufSource::add_stored(const TensorInfo& info) {
  const std::optional<GgufName> name = canonical_name_of(architecture_, info.name);
  if (!name) {
    if (info.name != kRopeFreqs) ++unknown_tensors_;  // that one is in config.json
    return;
  }
  switch (name->form) {
    case GgufForm::kWhole:
      expect_rank(info, 1, 2);
      return add_matrix(info, name->name, info.shape, matrix_of(info));
    case GgufForm::kHeads: {
      expect_rank(info, 2, 3);
      const EncodedMatrix matrix = matrix_of(info);
      return add_matrix(info, name->name, {matrix.rows, matrix.columns}, matrix);
    }
    case GgufForm::kRopePairs:
      return add_rope_pairs(info, *name);
    case GgufForm::kExperts:
      return add_experts(info, *name, 1);
    case GgufForm::kGateUpExperts:
      return add_experts(info, *name, 2);
    case GgufForm::kQkv:
      return add_qkv(info, *name);
  }
}

// `parts` 1: one matrix an expert. 2: gate_proj and up_proj.
void GgufSource::add_experts(const TensorInfo& info, const GgufName& name, int64_t parts) {
  expect_rank(info, 3, 3);
  if (info.shape[0] != sizes_.expert_count || info.shape[1] % parts != 0) {
    refuse_shape(info, fmt::format("[{} (expert_count), a multiple of {}, columns]", sizes_.expert_count, parts));
  }
  const EncodedMatrix stack = matrix_of(info);
  const int64_t rows = info.shape[1] / parts;
  for (int64_t expert = 0; expert < info.shape[0]; ++expert) {
    for (int64_t part = 0; part < parts; ++part) {
      std::string own = expert_name(name.name, expert);
      if (part == 1) own.replace(own.find("gate_proj"), 9, "up_proj");
      add_matrix(info, std::move(own), {rows, stack.columns}, stack.slice((expert * parts + part) * rows, rows));
    }
  }
}

void GgufSource::add_qkv(const TensorInfo& info, const GgufName& name) {
  expect_rank(info, 1, 2);
  const int64_t q = sizes_.num_attention_heads * sizes_.head_dim;
  const int64_t kv = sizes_.num_key_value_heads * sizes_.head_dim;
  if (info.shape[0] != q + 2 * kv) refuse_shape(info, fmt::format("{} rows: of q, k and v", q + 2 * kv));
  const EncodedMatrix whole = matrix_of(info);
  int64_t first = 0;
  for (const auto& [letter, rows] : {std::pair{'q', q}, std::pair{'k', kv}, std::pair{'v', kv}}) {
    std::string own = name.name;
    own[own.find("q_proj")] = letter;
    if (info.shape.rank() == 2) {
      add_matrix(info, std::move(own), {rows, whole.columns}, whole.slice(first, rows));
    } else {
      if (is_block_dtype(info.dtype)) refuse_shape(info, "a type that is no block type");
      const size_t value_bytes = dtype_size_bytes(info.dtype);
      EncodedMatrix part = whole;
      part.columns = rows;
      part.parts[0] =
          info.data.subspan(static_cast<size_t>(first) * value_bytes, static_cast<size_t>(rows) * value_bytes);
      add_matrix(info, std::move(own), Shape{rows}, part);
    }
    first += rows;
  }
}

void GgufSource::add_rope_pairs(const TensorInfo& info, const GgufName& name) {
  expect_rank(info, 1, 2);
  const int64_t rows = info.shape[0];
  const bool q = name.name.find("q_proj") != std::string::npos;
  const int64_t expected = (q ? sizes_.num_attention_heads : sizes_.num_key_value_heads) * sizes_.head_dim;
  if (rows != expected || sizes_.head_dim % 2 != 0) {
    refuse_shape(info, fmt::format("{} rows: heads of {}", expected, sizes_.head_dim));
  }
  auto& rows_there = q ? q_rows_ : k_rows_;
  if (rows_there == nullptr) {
    rows_there = std::make_shared<const std::vector<int32_t>>(rope_pairs(rows, sizes_.head_dim));
  }
  EncodedMatrix matrix = matrix_of(info);
  if (info.shape.rank() == 2) {
    matrix.row_map = rows_there;
    return add_matrix(info, name.name, info.shape, matrix);
  }
  if (is_block_dtype(info.dtype)) refuse_shape(info, "a type that is no block type");
  const size_t value_bytes = dtype_size_bytes(info.dtype);
  const std::span<std::byte> copy = copies_.emplace_back(info.data.size()).bytes();
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(copy.data() + static_cast<size_t>(row) * value_bytes,
                info.data.data() + static_cast<size_t>((*rows_there)[row]) * value_bytes, value_bytes);
  }
  matrix.parts[0] = copy;
  add_matrix(info, name.name, info.shape, matrix);
}

std::optional<std::string> GgufSource::side_file(std::string_view name) const {
  if (name == "config.json") return config_.dump(2) + "\n";
  if (name == "generation_config.json" && !generation_.empty()) return generation_.dump(2) + "\n";
  if (!tokenizer_) return std::nullopt;
  if (name == "tokenizer.json") return tokenizer_json_of(*tokenizer_, metadata().source());
  if (name == "tokenizer_config.json") return tokenizer_config_json_of(*tokenizer_, metadata().source());
  if (name == "chat_template.jinja" && !tokenizer_->chat_template.empty()) {
    return std::string(tokenizer_->chat_template);
  }
  if (name.starts_with(kTemplateFolder) && name.ends_with(kTemplateSuffix)) {
    const std::string own(
        name.substr(kTemplateFolder.size(), name.size() - kTemplateFolder.size() - kTemplateSuffix.size()));
    const auto at = tokenizer_->chat_templates.find(own);
    if (at != tokenizer_->chat_templates.end()) return std::string(at->second);
  }
  return std::nullopt;
}

std::string GgufSource::side_file_label(std::string_view name) const {
  return fmt::format("{} ({})", metadata().source(), name);
}

std::vector<std::string> GgufSource::side_files() const {
  std::vector<std::string> names = {"config.json"};
  if (!generation_.empty()) names.emplace_back("generation_config.json");
  if (!tokenizer_) return names;
  names.emplace_back("tokenizer.json");
  names.emplace_back("tokenizer_config.json");
  if (!tokenizer_->chat_template.empty()) names.emplace_back("chat_template.jinja");
  for (const auto& [name, text] : tokenizer_->chat_templates) {
    names.push_back(fmt::format("{}{}{}", kTemplateFolder, name, kTemplateSuffix));
  }
  return names;
}

}  // namespace glimmer
