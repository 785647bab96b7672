#include "source/importance.h"

#include <cmath>
#include <cstring>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr std::string_view kFormat = "glimmer-imatrix-1";
constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCount = ".count";

float value_at(const TensorInfo& tensor, int64_t index) {
  float value;
  std::memcpy(&value, tensor.data.data() + static_cast<size_t>(index) * sizeof value, sizeof value);
  return value;
}

void check_shape(const std::filesystem::path& path, const TensorInfo& tensor, DType dtype, bool right_shape,
                 std::string_view expected) {
  if (tensor.dtype == dtype && right_shape) return;
  fail(ErrorCode::kInvalid, "{}: {}: expected {}, found {} {}", path.string(), quoted_name(tensor.name), expected,
       dtype_name(tensor.dtype), tensor.shape.to_string());
}

void check_sums(const std::filesystem::path& path, const TensorInfo& tensor) {
  check_shape(path, tensor, DType::kF32, tensor.shape.rank() == 1 && tensor.shape[0] > 0, "F32 [columns]");
  for (int64_t i = 0; i < tensor.shape[0]; ++i) {
    const float value = value_at(tensor, i);
    if (std::isfinite(value) && value >= 0) continue;
    fail(ErrorCode::kInvalid, "{}: {}: value {} is {}, expected a finite one of at least 0", path.string(),
         quoted_name(tensor.name), i, value);
  }
}

int64_t read_count(const std::filesystem::path& path, const TensorInfo& tensor) {
  check_shape(path, tensor, DType::kI64, tensor.shape == Shape({1}), "I64 [1]");
  int64_t count;
  std::memcpy(&count, tensor.data.data(), sizeof count);
  if (count < 1) {
    fail(ErrorCode::kInvalid, "{}: {}: expected at least 1, found {}", path.string(), quoted_name(tensor.name), count);
  }
  return count;
}

}  // namespace

void write_importance(const std::filesystem::path& path, std::span<const WeightImportance> weights,
                      std::map<std::string, std::string> metadata) {
  std::vector<NamedTensor> tensors;
  for (const WeightImportance& weight : weights) {
    GLIMMER_CHECK(weight.count >= 1 && !weight.sum_of_squares.empty(), "{}: {} tokens", weight.name, weight.count);
    for (const float value : weight.sum_of_squares) {
      if (std::isfinite(value)) continue;
      fail(ErrorCode::kInvalid, "{}: the squares of its inputs sum to {}: the model's weights are broken",
           quoted_name(weight.name), value);
    }
    const auto columns = static_cast<int64_t>(weight.sum_of_squares.size());
    tensors.push_back({weight.name + std::string(kSums), {weight.sum_of_squares.data(), DType::kF32, {columns}}});
    tensors.push_back({weight.name + std::string(kCount), {&weight.count, DType::kI64, {1}}});
  }
  metadata["format"] = kFormat;
  write_safetensors(path, tensors, metadata);
}

Importance Importance::load(const std::filesystem::path& path) {
  Importance importance(path);
  const auto& metadata = importance.file_->metadata();
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat) {
    fail(ErrorCode::kInvalid, "{}: __metadata__: format: expected \"{}\", found {}; glimmer imatrix writes such files",
         path.string(), kFormat, format == metadata.end() ? "none" : quoted_name(format->second));
  }
  for (const TensorInfo& tensor : importance.file_->tensors()) {
    const std::string_view name = tensor.name;
    if (name.ends_with(kSums)) {
      check_sums(path, tensor);
      importance.entries_[std::string(name.substr(0, name.size() - kSums.size()))].sum_of_squares = &tensor;
    } else if (name.ends_with(kCount)) {
      importance.entries_[std::string(name.substr(0, name.size() - kCount.size()))].count = read_count(path, tensor);
    } else {
      fail(ErrorCode::kInvalid, "{}: {}: expected a name that ends in {} or {}", path.string(), quoted_name(name),
           kSums, kCount);
    }
  }
  for (const auto& [name, entry] : importance.entries_) {
    if (entry.sum_of_squares != nullptr && entry.count > 0) continue;
    const std::string_view there = entry.count > 0 ? kCount : kSums;
    const std::string_view missing = entry.count > 0 ? kSums : kCount;
    fail(ErrorCode::kInvalid, "{}: there is {}, but no {}", path.string(), quoted_name(name + std::string(there)),
         quoted_name(name + std::string(missing)));
  }
  return importance;
}

const Importance::Entry* Importance::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

int64_t Importance::count(std::string_view name) const {
  const Entry* entry = find(name);
  return entry == nullptr ? 0 : entry->count;
}

std::vector<float> Importance::mean_squares(std::string_view name) const {
  const Entry* entry = find(name);
  if (entry == nullptr) return {};
  std::vector<float> means(static_cast<size_t>(entry->sum_of_squares->shape[0]));
  for (size_t i = 0; i < means.size(); ++i) {
    const double sum = value_at(*entry->sum_of_squares, static_cast<int64_t>(i));
    means[i] = static_cast<float>(sum / static_cast<double>(entry->count));
  }
  return means;
}

std::vector<float> Importance::mean_squares(std::string_view name, int64_t columns) const {
  std::vector<float> means = mean_squares(name);
  if (!means.empty() && static_cast<int64_t>(means.size()) != columns) {
    fail(ErrorCode::kInvalid, "{}: {} has {} columns, the model's has {}: it was measured on another model",
         file_->path().string(), quoted_name(name), means.size(), columns);
  }
  return means;
}

}  // namespace glimmer
