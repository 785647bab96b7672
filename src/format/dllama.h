// Distributed Llama's model file (.m): a header, then the tensors' bytes one after the other, without names, padding or
// an index. Which tensors there are, and their shapes and types, follows from the header: the plan.
// docs/formats.md, section "Distributed Llama", has the plan of every architecture.
// Source: b4rtaz/distributed-llama 8d624a7, converter/convert-hf.py, src/llm.cpp (loadLlmNetWeight).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "format/dllama_header.h"
#include "format/tensor_info.h"

namespace glimmer {

// A place of the plan. Names are Hugging Face's, since the file has none.
struct DllamaTensor {
  std::string name;
  Shape shape;  // [rows, columns] or [columns]
  DType dtype = DType::kF32;
  bool any_type = false;  // its type may be set by itself (header.tensor_types); others are F32 always
};

// Calls `place` for each tensor of the file in order, until it returns false. LLAMA's q_proj and k_proj are stored with
// their rows permuted (dllama_stored_row).
void for_each_dllama_tensor(const DllamaHeader& header, const std::function<bool(const DllamaTensor&)>& place);

// Where row `row` of q_proj or k_proj as Hugging Face has it (halves of a head rotated together) is stored in a LLAMA
// file (neighbours rotated together): row 2 i + j of a head for its row j * head_dim / 2 + i.
int64_t dllama_stored_row(int64_t row, int64_t head_dim);

struct DllamaContent {
  DllamaHeader header;
  std::vector<TensorInfo> tensors;  // in the order of the file; Q40 is Q4_0, Q80 is Q8_0
};

// Reads a whole file that lies in memory; the tensors view `bytes` and `file_name`, which begins every message.
// Throws as parse_dllama_header; kInvalid if the plan's bytes are not exactly the file's, if the columns of a quantised
// tensor are no multiple of 32, or if a type is given for a tensor that there is not or that is F32 always; kLimit on
// more than kMaxDllamaTensors tensors.
DllamaContent parse_dllama(std::span<const std::byte> bytes, std::string_view file_name);

// A file, memory-mapped for the object's lifetime.
class DllamaFile : public TensorFile {
 public:
  // Throws kNotFound, kIo, or as parse_dllama.
  explicit DllamaFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const override { return file_.path(); }
  size_t size_bytes() const override { return file_.bytes().size(); }
  std::span<const TensorInfo> tensors() const override { return by_name_; }
  std::span<const std::byte> mapped_bytes() const override { return file_.bytes(); }
  void check_unchanged() const override { file_.check_unchanged(); }

  const DllamaHeader& header() const { return content_.header; }
  std::span<const TensorInfo> in_file_order() const { return content_.tensors; }

 private:
  MappedFile file_;
  std::string file_name_;  // what TensorInfo::file views
  DllamaContent content_;
  std::vector<TensorInfo> by_name_;
};

}  // namespace glimmer
