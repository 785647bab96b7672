// A model in a GGUF file, or in the files of a split one, as Hugging Face's folder.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/json.h"
#include "format/gguf.h"
#include "source/gguf_config.h"
#include "source/gguf_tokenizer.h"
#include "source/model_source.h"
#include "source/shared_bytes.h"

namespace glimmer {

// The model file that `path` means: itself, if it is called *.gguf, or the only model (one file, or the first of a
// split one) of a folder without safetensors files. Throws kUsage if the folder has several.
std::optional<std::filesystem::path> gguf_model_at(const std::filesystem::path& path);

class GgufSource final : public ModelSource {
 public:
  // Throws as open_gguf, gguf_sizes and config_json_of, and kInvalid if a tensor has not the shape that its name asks
  // for, kUnsupported if its type can be read in no kernel layout.
  explicit GgufSource(const std::filesystem::path& path);

  // config.json, generation_config.json (if the file names tokens that end a turn, or how to sample), tokenizer.json,
  // tokenizer_config.json, chat_template.jinja (if there is one), additional_chat_templates/<name>.jinja.
  std::optional<std::string> side_file(std::string_view name) const override;
  std::string side_file_label(std::string_view name) const override;
  std::vector<std::string> side_files() const override;
  void check_unchanged() const override {
    for (const auto& file : opened_) file->check_unchanged();
  }

  const GgufMetadata& metadata() const { return opened_[0]->metadata(); }

 private:
  GgufTensorFacts facts() const;
  const TensorInfo* find_stored(std::string_view name) const;
  void add_stored(const TensorInfo& info);
  void add_matrix(const TensorInfo& info, std::string name, Shape shape, EncodedMatrix data);
  void add_experts(const TensorInfo& info, const GgufName& name, int64_t parts);
  void add_qkv(const TensorInfo& info, const GgufName& name);
  void add_rope_pairs(const TensorInfo& info, const GgufName& name);

  std::vector<std::unique_ptr<GgufFile>> opened_;
  const GgufArchitecture& architecture_;
  GgufSizes sizes_;
  std::optional<GgufTokenizer> tokenizer_;
  Json config_;
  Json generation_;                                              // empty: there is none
  std::shared_ptr<const std::vector<int32_t>> q_rows_, k_rows_;  // of llama: rope_pairs
  std::vector<SharedBytes> copies_;                              // of vectors whose elements are in another order
};

}  // namespace glimmer
