// A model in a GGUF file, or in the files of a split one, as Hugging Face's folder.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/json.h"
#include "format/gguf.h"
#include "source/gguf_config.h"
#include "source/gguf_tokenizer.h"
#include "source/model_source.h"

namespace glimmer {

class GgufSource final : public ModelSource {
 public:
  // Throws as open_gguf, gguf_sizes and config_json_of, and kInvalid if a tensor has not the shape that its name asks
  // for, kUnsupported if its type can be read in no kernel layout.
  explicit GgufSource(const std::filesystem::path& path);

  // config.json, generation_config.json (if the tokenizer names tokens that end a turn), tokenizer.json,
  // tokenizer_config.json, chat_template.jinja (if there is one), additional_chat_templates/<name>.jinja.
  std::optional<std::string> side_file(std::string_view name) const override;
  std::string side_file_label(std::string_view name) const override;
  std::vector<std::string> side_files() const override;

  const GgufMetadata& metadata() const { return files_[0]->metadata(); }

 private:
  GgufTensorFacts facts() const;
  const TensorInfo* find_stored(std::string_view name) const;
  void add_stored(const TensorInfo& info);
  void add_matrix(const TensorInfo& info, std::string name, Shape shape, EncodedMatrix data);
  void add_experts(const TensorInfo& info, const GgufName& name, int64_t parts);
  void add_qkv(const TensorInfo& info, const GgufName& name);
  void add_rope_pairs(const TensorInfo& info, const GgufName& name);

  std::vector<std::unique_ptr<GgufFile>> files_;
  const GgufArchitecture& architecture_;
  GgufSizes sizes_;
  std::optional<GgufTokenizer> tokenizer_;
  std::vector<int32_t> eos_token_id_;
  Json config_;
  std::shared_ptr<const std::vector<int32_t>> q_rows_, k_rows_;  // of llama: rope_pairs
  std::deque<std::vector<std::byte>> copies_;                    // of vectors whose elements are in another order
};

}  // namespace glimmer
