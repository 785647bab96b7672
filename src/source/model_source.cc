#include "source/model_source.h"

#include <algorithm>
#include <system_error>

#include "base/error.h"
#include "source/dllama_source.h"
#include "source/gguf_source.h"
#include "source/hf_source.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

// How alike two names are: what they share at the front and at the back.
size_t likeness(std::string_view a, std::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  size_t front = 0;
  while (front < limit && a[front] == b[front]) ++front;
  size_t back = 0;
  while (back < limit - front && a[a.size() - 1 - back] == b[b.size() - 1 - back]) ++back;
  return front + back;
}

std::string place(const SourceTensor& tensor) {
  return fmt::format("{} ({} in {})", quoted_name(tensor.stored_name), tensor.name,
                     fs::path(tensor.file).filename().string());
}

void check_parts(const SourceTensor& tensor) {
  const EncodedMatrix& data = tensor.data;
  const QuantType& type = *data.type;
  if (data.columns % type.block != 0) {
    fail(ErrorCode::kUnsupported, "{}: rows of {} values, expected whole blocks of {} for type {}", place(tensor),
         data.columns, type.block, type.name);
  }
  const WeightLayout layout = type.layout(data.params, data.columns);
  if (!weight_layout_fits(layout, data.columns)) {
    fail(ErrorCode::kUnsupported, "{}: rows of {} values in groups of {} are not supported for type {}", place(tensor),
         data.columns, layout.group, type.name);
  }
  const std::vector<QuantPart> parts = type.parts(data.params, data.stored_rows, data.columns);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].content.empty()) continue;  // known without reading it
    const size_t expected = dtype_bytes(parts[i].dtype, parts[i].shape.element_count());
    if (data.parts[i].size() != expected) {
      fail(ErrorCode::kInvalid, "{}: {} bytes for {}, expected {}: {} {}", place(tensor), data.parts[i].size(),
           parts[i].suffix, expected, dtype_name(parts[i].dtype), parts[i].shape.to_string());
    }
  }
}

}  // namespace

std::unique_ptr<ModelSource> ModelSource::open(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    fail(ErrorCode::kNotFound, "{}: no such model file or folder{}{}", path.string(), error ? ": " : "",
         error ? error.message() : "");
  }
  if (const auto model = gguf_model_at(path)) return std::make_unique<GgufSource>(*model);
  if (const auto model = dllama_model_at(path)) return std::make_unique<DllamaSource>(*model);
  if (!fs::is_directory(path, error) && path.extension() != ".safetensors") {
    fail(ErrorCode::kUsage, "{}: not a model: expected a folder, or a .gguf, .m or .safetensors file", path.string());
  }
  return open_hf(path);
}

ModelSource::~ModelSource() = default;

EncodedMatrix ModelSource::whole_matrix(const TensorInfo& tensor) {
  EncodedMatrix matrix;
  const int rank = tensor.shape.rank();
  matrix.type = quant_type_of(tensor.dtype);
  matrix.columns = rank == 0 ? 1 : tensor.shape[rank - 1];
  matrix.stored_rows = 1;
  for (int i = 0; i + 1 < rank; ++i) matrix.stored_rows *= tensor.shape[i];
  matrix.rows = matrix.stored_rows;
  matrix.parts[0] = tensor.data;
  return matrix;
}

void ModelSource::add(SourceTensor tensor) {
  if (tensor.data.type != nullptr) check_parts(tensor);
  tensors_.push_back(std::move(tensor));
}

void ModelSource::finish() {
  by_name_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto [at, is_new] = by_name_.emplace(tensors_[i].name, i);
    if (!is_new) {
      fail(ErrorCode::kInvalid, "{}: tensor {} is there twice: {} and {}", path_.string(), tensors_[i].name,
           place(tensors_[at->second]), place(tensors_[i]));
    }
  }
}

const SourceTensor* ModelSource::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &tensors_[at->second];
}

const SourceTensor& ModelSource::require(std::string_view name) const {
  if (const SourceTensor* tensor = find(name)) return *tensor;
  if (tensors_.empty()) fail(ErrorCode::kInvalid, "{}: the weight files hold no tensor", path_.string());
  const auto nearest = std::max_element(tensors_.begin(), tensors_.end(), [&](const auto& a, const auto& b) {
    return likeness(a.name, name) < likeness(b.name, name);
  });
  fail(ErrorCode::kNotFound, "{}: tensor {} is missing; of its {} tensors the nearest is {}", path_.string(),
       quoted_name(name), tensors_.size(), quoted_name(nearest->name));
}

uint64_t ModelSource::total_bytes() const {
  uint64_t total = 0;
  for (const SourceTensor& tensor : tensors_) total += stored_bytes(tensor);
  return total;
}

uint64_t ModelSource::stored_bytes(const SourceTensor& tensor) {
  uint64_t bytes = 0;
  for (const auto& part : tensor.data.parts) bytes += part.size();
  // A view of some rows stands for its share of the stored matrix, and one that repeats rows for as many.
  if (tensor.data.stored_rows != tensor.data.rows) {
    bytes = bytes / static_cast<uint64_t>(tensor.data.stored_rows) * static_cast<uint64_t>(tensor.data.rows);
  }
  return bytes;
}

std::string_view ModelSource::stored_type(const SourceTensor& tensor) {
  const bool alone = tensor.data.type == nullptr || tensor.data.parts[1].empty();
  return alone ? dtype_name(tensor.stored_dtype) : tensor.data.type->name;
}

void ModelSource::release(const SourceTensor& tensor) const {
  const EncodedMatrix& data = tensor.data;
  if (data.rows == data.stored_rows || data.row_map != nullptr) {
    for (const auto& part : data.parts) {
      if (!part.empty()) advise(part, Access::kDontNeed);
    }
    return;
  }
  // Some rows of a stack: its other rows may still be wanted.
  const auto stored = static_cast<size_t>(data.stored_rows);
  for (const auto& part : data.parts) {
    if (part.empty() || part.size() % stored != 0) continue;
    const size_t row_bytes = part.size() / stored;
    advise(part.subspan(static_cast<size_t>(data.first_row) * row_bytes, static_cast<size_t>(data.rows) * row_bytes),
           Access::kDontNeed);
  }
}

}  // namespace glimmer
