// A checkpoint's tensor as its file describes it, whatever the file's format: a name, a type, a shape, borrowed bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/quoted_name.h"
#include "tensor/tensor.h"

namespace glimmer {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;                      // element_count() is known not to overflow, nor times the type's size
  std::span<const std::byte> data;  // element_count() * dtype_size_bytes(dtype) bytes, little-endian, row-major
  std::string_view file;            // path of the file that holds it, for messages; owned by the TensorFile

  // Files need not align their tensors (MLX pads no header): then `data` may be copied, but not read through a float*.
  bool is_aligned() const;

  // The tensor itself if it is aligned, else a copy of it in `copy`, which then has to outlive the view.
  ConstTensorView view(Tensor& copy) const;
};

// One open file of named tensors. Each format is a class of this kind; Checkpoint joins the files of a model.
class TensorFile {
 public:
  TensorFile() = default;
  TensorFile(const TensorFile&) = delete;
  TensorFile& operator=(const TensorFile&) = delete;
  virtual ~TensorFile() = default;

  virtual const std::filesystem::path& path() const = 0;
  virtual size_t size_bytes() const = 0;                        // of the whole file
  virtual std::span<const TensorInfo> tensors() const = 0;      // ascending names, each once
  virtual std::span<const std::byte> mapped_bytes() const = 0;  // the whole file; empty if it is not mapped
  virtual void check_unchanged() const = 0;                     // as MappedFile
};

// How memory that is backed by a file is about to be used.
enum class Access {
  kNormal,
  kSequential,  // from front to back, once: read ahead far, drop behind
  kWillNeed,    // soon: start to read now
  kDontNeed,    // not again: its pages may go; they would be read from the file again
};

// Tells the operating system. Advice only: it cannot fail, and never changes what is read. `bytes` must lie in a mapped
// file: kDontNeed would empty other memory.
void advise(std::span<const std::byte> bytes, Access access);

}  // namespace glimmer
