#include "source/dllama_source.h"

#include "base/error.h"

#include "base/log.h"
#include "source/dllama_tokenizer_json.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTokenizerBytes = size_t{1} << 30;

// Where each row of a LLAMA file's q_proj or k_proj lies.
std::shared_ptr<const std::vector<int32_t>> row_map(int64_t rows, int64_t head_dim) {
  auto map = std::make_shared<std::vector<int32_t>>(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    (*map)[static_cast<size_t>(row)] = static_cast<int32_t>(dllama_stored_row(row, head_dim));
  }
  return map;
}

std::vector<fs::path> files_of(const fs::path& folder, std::string_view extension) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == extension && entry.is_regular_file(error)) files.push_back(entry.path());
  }
  return files;
}

}  // namespace

std::optional<fs::path> dllama_model_at(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return path.extension() == ".m" ? std::optional(path) : std::nullopt;
  if (fs::exists(path / "config.json", error)) return std::nullopt;
  const std::vector<fs::path> models = files_of(path, ".m");
  if (models.size() > 1) {
    fail(ErrorCode::kUsage, "{}: {} models (*.m) in the folder, and no config.json: name one of them", path.string(),
         models.size());
  }
  return models.empty() ? std::nullopt : std::optional(models.front());
}

std::optional<fs::path> dllama_tokenizer_beside(const fs::path& model) {
  fs::path same_stem = model;
  same_stem.replace_extension(".t");
  std::error_code error;
  if (fs::exists(same_stem, error)) return same_stem;
  const std::vector<fs::path> tokenizers = files_of(fs::absolute(model).parent_path(), ".t");
  if (tokenizers.size() == 1) return tokenizers.front();
  if (!tokenizers.empty()) {
    log_warning("{}: none of the {} tokenizer files in the folder is called {}, so that none is used", model.string(),
                tokenizers.size(), same_stem.filename().string());
  }
  return std::nullopt;
}

DllamaSource::DllamaSource(const fs::path& path) : ModelSource(path, "dllama"), file_(path) {
  if (const auto beside = dllama_tokenizer_beside(path)) {
    tokenizer_path_ = beside->string();
    const MappedFile bytes(*beside);
    if (bytes.bytes().size() > kMaxTokenizerBytes) {
      fail(ErrorCode::kLimit, "{}: {} bytes; tokenizers of up to {} are read", tokenizer_path_, bytes.bytes().size(),
           kMaxTokenizerBytes);
    }
    tokenizer_ = parse_dllama_tokenizer(bytes.bytes(), tokenizer_path_);
    bytes.check_unchanged();
  }
  const DType weights = file_.header().weights;
  if (is_block_dtype(weights)) quantization_ = weights == DType::kQ4_0 ? "q40" : "q80";
  add_tensors();
}

void DllamaSource::add_tensors() {
  const DllamaHeader& h = file_.header();
  const bool permuted = h.arch == DllamaArch::kLlama;
  const auto q_map = permuted ? row_map(h.num_attention_heads * h.head_dim, h.head_dim) : nullptr;
  const auto k_map = permuted ? row_map(h.num_key_value_heads * h.head_dim, h.head_dim) : nullptr;
  for (const TensorInfo& info : file_.in_file_order()) {
    SourceTensor tensor{.name = info.name,
                        .shape = info.shape,
                        .data = whole_matrix(info),
                        .file = info.file,
                        .stored_name = info.name,
                        .stored_dtype = info.dtype};
    if (info.name.ends_with(".q_proj.weight")) tensor.data.row_map = q_map;
    if (info.name.ends_with(".k_proj.weight")) tensor.data.row_map = k_map;
    add(std::move(tensor));
  }
  finish();
}

DllamaIds DllamaSource::ids() const {
  const DllamaHeader& h = file_.header();
  DllamaIds ids{.eos = h.eos_token_ids, .bos = h.bos_token_id};
  if (!has_tokenizer()) return ids;
  if (ids.eos.empty()) ids.eos = tokenizer_->eos_ids;
  if (!ids.bos) ids.bos = bos_token_id_of(*tokenizer_, tokenizer_path_);
  return ids;
}

std::optional<std::string> DllamaSource::side_file(std::string_view name) const {
  if (name == "config.json") return dllama_config_json(file_.header(), ids(), path_.string());
  if (name == "generation_config.json") {
    if (has_tokenizer()) {
      if (auto text = generation_config_json_of(*tokenizer_, tokenizer_path_)) return text;
    }
    return dllama_generation_config_json(file_.header(), ids());
  }
  if (!has_tokenizer()) return std::nullopt;
  if (name == "chat_template.jinja") return tokenizer_->chat_template;
  if (name == "tokenizer.json") return tokenizer_json_of(*tokenizer_, tokenizer_path_);
  if (name == "tokenizer_config.json") return tokenizer_config_json_of(*tokenizer_, tokenizer_path_);
  return std::nullopt;
}

std::string DllamaSource::side_file_label(std::string_view name) const {
  const bool of_model = name == "config.json" || name == "generation_config.json" || !has_tokenizer();
  return fmt::format("{} ({})", of_model ? path_.string() : tokenizer_path_, name);
}

std::vector<std::string> DllamaSource::side_files() const {
  std::vector<std::string> names = {"config.json"};
  if (has_tokenizer()) names.emplace_back("tokenizer.json");
  for (const char* name : {"generation_config.json", "tokenizer_config.json", "chat_template.jinja"}) {
    if (side_file(name)) names.emplace_back(name);
  }
  return names;
}

}  // namespace glimmer
