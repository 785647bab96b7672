// A Distributed Llama model: <name>.m, and the tokenizer beside it.
//
// The tokenizer is <name>.t if there is one, else the only *.t file of the folder, else none: then the model has no
// tokenizer.json and no chat template, and what needs them says so. Where several could be meant, a warning is logged.
#pragma once

#include "format/dllama.h"
#include "format/dllama_tokenizer.h"
#include "source/dllama_config.h"
#include "source/model_source.h"

namespace glimmer {

// The model file that `path` means: itself, if it is called *.m, or the only *.m file of a folder without config.json.
// Throws kUsage if the folder has several.
std::optional<std::filesystem::path> dllama_model_at(const std::filesystem::path& path);

// Which .t file belongs to a model; nothing if none does.
std::optional<std::filesystem::path> dllama_tokenizer_beside(const std::filesystem::path& model);

class DllamaSource : public ModelSource {
 public:
  // Throws as DllamaFile and parse_dllama_tokenizer do.
  explicit DllamaSource(const std::filesystem::path& path);

  // config.json, generation_config.json (that of the tokenizer file, if it has one; else made of the header's ids, else
  // of the tokenizer's), tokenizer.json, tokenizer_config.json, chat_template.jinja.
  std::optional<std::string> side_file(std::string_view name) const override;
  std::string side_file_label(std::string_view name) const override;
  std::vector<std::string> side_files() const override;
  void check_unchanged() const override { file_.check_unchanged(); }

 private:
  void add_tensors();
  bool has_tokenizer() const { return tokenizer_.has_value(); }
  DllamaIds ids() const;

  DllamaFile file_;
  std::string tokenizer_path_;
  std::optional<DllamaTokenizer> tokenizer_;
};

}  // namespace glimmer
