// An opened model of any format, presented as a Hugging Face folder: side files (config.json, tokenizer.json,
// chat_template.jinja, ...) and tensors under the names they have there, the values still encoded as in the file. GGUF,
// MLX and Distributed Llama are told apart here and nowhere above.
//
// What differs from a folder as transformers writes it:
//   - experts are always single matrices, `model.layers.L.mlp.experts.E.{gate,up,down}_proj.weight`: stacks are cut
//   - a quantised matrix is one tensor, `<path>.weight`: its scales, zero points, ... are parts of its EncodedMatrix
//   - kv_b_proj of MLA may be in the two halves that GGUF and MLX store,
//       self_attn.embed_q.weight      [num_attention_heads * kv_lora_rank, qk_nope_head_dim]: keys, transposed by head
//       self_attn.unembed_out.weight  [num_attention_heads * v_head_dim, kv_lora_rank]: values
//     and then there is no self_attn.kv_b_proj.weight
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "format/tensor_info.h"
#include "quant/quant_type.h"

namespace glimmer {

struct SourceTensor {
  std::string name;                  // Hugging Face's
  Shape shape;                       // [rows, columns] or [columns]
  EncodedMatrix data;                // of one row if the shape has rank 1
  std::string_view file;             // that holds it, for messages; owned by the source
  std::string stored_name;           // what that file calls it: the first of its parts
  DType stored_dtype = DType::kF32;  // of that part. Where data.type is null, it is none that weights can have
};

class ModelSource {
 public:
  // `path`: a folder (config.json and safetensors, MLX's as well; or GGUF or .m files alone), a *.safetensors file, a
  // *.gguf file (of a split model any one of its files), or a *.m file. Maps the files and checks their headers and
  // that every tensor's parts have the sizes its type asks for; reads no weights.
  // Throws kNotFound, kIo, kInvalid, kUnsupported, naming file, field or tensor, expected and found.
  static std::unique_ptr<ModelSource> open(const std::filesystem::path& path);
  virtual ~ModelSource();
  ModelSource(const ModelSource&) = delete;
  ModelSource& operator=(const ModelSource&) = delete;

  const std::filesystem::path& path() const { return path_; }  // as given
  std::string_view format() const { return format_; }          // "hf", "mlx", "gguf", "dllama"

  const std::string& quantization() const { return quantization_; }  // for people: "none", "fp8, blocks of 128 x 128"

  // The text of a side file, as it is in the folder or as made from the file's metadata; nothing if there is none.
  // Throws kIo, kInvalid if the metadata cannot be said in that form.
  virtual std::optional<std::string> side_file(std::string_view name) const = 0;
  // How messages should call a side file: its path, or "<file>.gguf (config.json)".
  virtual std::string side_file_label(std::string_view name) const = 0;
  // Names of the side files that there are, those of the folder that are no weights among them.
  virtual std::vector<std::string> side_files() const = 0;

  const std::vector<SourceTensor>& tensors() const { return tensors_; }  // in the order of the file
  const SourceTensor* find(std::string_view name) const;                 // nullptr if there is none
  const SourceTensor& require(std::string_view name) const;  // throws kNotFound, with the nearest name as a hint

  uint64_t total_bytes() const;                                 // of all tensors as stored
  int64_t unknown_tensors() const { return unknown_tensors_; }  // of the files, that no name could be found for

  static uint64_t stored_bytes(const SourceTensor& tensor);
  static std::string_view stored_type(const SourceTensor& tensor);  // "BF16", "Q4_K", "mlx4", ...: for people
  int64_t files() const { return files_; }                          // of weights

  // The matrix of a tensor that stands alone, of float or block type; its type is null for other types.
  static EncodedMatrix whole_matrix(const TensorInfo& tensor);

  // Throws kIo, naming the file, if tensors that were read since it was opened may not be what it held then. Ask before
  // they are relied on.
  virtual void check_unchanged() const = 0;

  // Lets the pages that hold the tensor go: it will not be read again soon.
  void release(const SourceTensor& tensor) const;

 protected:
  ModelSource(std::filesystem::path path, std::string_view format) : path_(std::move(path)), format_(format) {}
  // Checks the sizes of the parts against the type and adds the tensor. Throws kInvalid, kUnsupported (columns that are
  // no whole blocks or groups).
  void add(SourceTensor tensor);
  // Call when all are added. Throws kInvalid if a name is there twice.
  void finish();

  std::filesystem::path path_;
  std::string_view format_;
  std::string quantization_ = "none";
  int64_t files_ = 1;
  std::vector<SourceTensor> tensors_;
  int64_t unknown_tensors_ = 0;

 private:
  std::unordered_map<std::string_view, size_t> by_name_;  // views of tensors_' names: filled by finish()
};

}  // namespace glimmer
