// The safetensors format: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes.
//   {"__metadata__": {"format": "pt"}, "model.norm.weight": {"dtype": "BF16", "shape": [5120], "data_offsets": [0,
//   10240]}}
// Offsets count from the end of the header. The tensors cover the data section without gap or overlap.
// Source: https://github.com/huggingface/safetensors (README.md, safetensors/src/tensor.rs).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "format/tensor_info.h"

namespace glimmer {

inline constexpr size_t kMaxSafetensorsHeaderBytes = 100'000'000;  // as the reference reader

struct SafetensorsContent {
  std::vector<TensorInfo> tensors;              // ascending names
  std::map<std::string, std::string> metadata;  // "__metadata__", often {"format": "pt"}
};

// Reads a whole file that lies in memory; the tensors view `bytes` and `file_name`, which begins every message.
// Strict: throws kInvalid on anything that the format does not allow (truncated, a bad header length, malformed JSON,
// duplicate names, missing or unknown fields, shape x dtype != bytes, offsets out of range, overlaps, holes),
// kUnsupported on an unknown dtype or a rank above Shape::kMaxRank. Messages name the file, the tensor, the field, what
// was expected and what was found.
SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, std::string_view file_name);

// A file, memory-mapped for the object's lifetime.
class SafetensorsFile : public TensorFile {
 public:
  // Throws kNotFound, kIo, or as parse_safetensors.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const override { return file_.path(); }
  size_t size_bytes() const override { return file_.bytes().size(); }
  std::span<const TensorInfo> tensors() const override { return content_.tensors; }
  std::span<const std::byte> mapped_bytes() const override { return file_.bytes(); }
  void check_unchanged() const override { file_.check_unchanged(); }

  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }
  const TensorInfo* find(std::string_view name) const;  // nullptr if there is none

 private:
  MappedFile file_;
  std::string file_name_;  // what TensorInfo::file views
  SafetensorsContent content_;
};

struct NamedTensor {
  std::string name;
  ConstTensorView value;
};

// Writes `tensors` in the reference's order (wide types first, then by name) with an 8-byte aligned data section, so
// that every tensor is aligned. Streams: needs memory for the header only. Atomic: `path` either stays as it was or is
// complete. Throws kInvalid on a name that is twice, "__metadata__" or not UTF-8; kIo when the system refuses, for
// instance on a full disk.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace glimmer
