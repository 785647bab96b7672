#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "base/log.h"
#include "format/checkpoint.h"
#include "model/family.h"
#include "model/tensor_names.h"
#include "quant/fp8.h"

namespace glimmer {

class WeightStorage {
 public:
  WeightStorage(const std::filesystem::path& model_dir, const Model::ProgressCallback& progress)
      : checkpoint_(Checkpoint::open(model_dir)), progress_(progress) {}

  const TensorInfo* find(const std::string& name) const { return checkpoint_.find(name); }

  const TensorInfo& require(const std::string& name) {
    const TensorInfo& tensor = checkpoint_.require(name);
    used_.insert(tensor.name);
    return tensor;
  }

  std::byte* allocate(size_t size_bytes) { return buffers_.emplace_back(size_bytes).as<std::byte>(); }

  // Reads the pages of a mapped tensor now rather than in the first forward pass, and reports progress.
  void touch(std::span<const std::byte> data) {
    constexpr size_t kPageBytes = 4096;
    advise(data, Access::kWillNeed);
    volatile std::byte sink{};
    for (size_t at = 0; at < data.size(); at += kPageBytes) sink = data[at];
    (void)sink;
    report(data.size());
  }

  void report(size_t size_bytes) {
    done_bytes_ += static_cast<int64_t>(size_bytes);
    if (progress_) progress_({done_bytes_, static_cast<int64_t>(checkpoint_.total_bytes())});
  }

  // Warns of what no role asked for. Layers from num_hidden_layers on are for multi-token prediction and known to be
  // left, unless they lack its projection: then config.json has too few layers.
  void report_unused(const ModelConfig& config) const {
    std::vector<std::string_view> unused;
    for (const TensorInfo* tensor : checkpoint_.tensors()) {
      // transformers writes shared experts of zero width where a model has none.
      if (used_.contains(tensor->name) || tensor->shape.element_count() == 0) continue;
      const int64_t layer = layer_index(tensor->name).value_or(-1);
      const bool mtp =
          layer >= config.num_hidden_layers && find(fmt::format("model.layers.{}.eh_proj.weight", layer)) != nullptr;
      if (!mtp && !tensor->name.ends_with("rotary_emb.inv_freq")) unused.push_back(tensor->name);
    }
    if (unused.empty()) return;
    log_warning("{}: {} tensors have no role in a model of {} layers and are left out, the first: {}",
                checkpoint_.path().string(), unused.size(), config.num_hidden_layers, quoted_name(unused.front()));
  }

  void mark_used(const std::string& name) { used_.insert(name); }

 private:
  Checkpoint checkpoint_;
  const Model::ProgressCallback& progress_;  // used while binding only
  int64_t done_bytes_ = 0;
  std::vector<Buffer> buffers_;
  std::unordered_set<std::string> used_;
};

namespace {

std::string file_name(const TensorInfo& tensor) { return std::filesystem::path(tensor.file).filename().string(); }

[[noreturn]] void fail_shape(const TensorInfo& tensor, std::span<const Dim> dims) {
  std::vector<std::string> sizes;
  std::vector<std::string_view> fields;
  for (const Dim& dim : dims) {
    sizes.push_back(std::to_string(dim.size));
    fields.push_back(dim.field);
  }
  fail(ErrorCode::kInvalid, "{}: shape {}, config.json says [{}] ({}) in {}", tensor.name, tensor.shape.to_string(),
       fmt::join(sizes, ", "), fmt::join(fields, ", "), file_name(tensor));
}

void check_shape(const TensorInfo& tensor, std::span<const Dim> dims) {
  bool same = tensor.shape.rank() == static_cast<int>(dims.size());
  for (int i = 0; same && i < tensor.shape.rank(); ++i) same = tensor.shape[i] == dims[i].size;
  if (!same) fail_shape(tensor, dims);
}

// The values of a float tensor widened to f32, in `out`. Reads bytes, so that any alignment will do.
void widen(const TensorInfo& tensor, float* out) {
  const auto count = static_cast<size_t>(tensor.shape.element_count());
  const auto each_16_bit = [&](auto convert) {
    for (size_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, tensor.data.data() + 2 * i, sizeof bits);
      out[i] = convert(bits);
    }
  };
  switch (tensor.dtype) {
    case DType::kF32:
      if (count > 0) std::memcpy(out, tensor.data.data(), count * sizeof(float));
      return;
    case DType::kBF16:
      return each_16_bit(bf16_to_f32);
    case DType::kF16:
      return each_16_bit(f16_to_f32);
    default:
      fail(ErrorCode::kUnsupported, "{}: dtype {}, expected one of F32, BF16, F16 in {}", tensor.name,
           dtype_name(tensor.dtype), file_name(tensor));
  }
}

std::vector<float> widened(const TensorInfo& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.element_count()));
  widen(tensor, values.data());
  return values;
}

ConstTensorView stored_f32(WeightStorage& storage, const TensorInfo& tensor) {
  auto* values = reinterpret_cast<float*>(storage.allocate(tensor.shape.element_count() * sizeof(float)));
  widen(tensor, values);
  storage.report(tensor.data.size());
  return {values, DType::kF32, tensor.shape};
}

// The scale tensor of an 8-bit float weight: its name with `_scale_inv` (a block each), else `_scale` (a row each, or
// one).
const TensorInfo& require_scale(WeightStorage& storage, const TensorInfo& weight) {
  for (const char* suffix : {"_scale_inv", "_scale"}) {
    const std::string name = weight.name + suffix;
    if (storage.find(name) != nullptr) return storage.require(name);
  }
  fail(ErrorCode::kInvalid, "{}: dtype F8_E4M3 without scales: neither {}_scale_inv nor {}_scale is in the checkpoint",
       weight.name, weight.name, weight.name);
}

// How the scales divide a matrix [rows, columns], told by their number: one in all, one a row, or one a block.
// A stack of `count` matrices has `count` times as many.
BlockScales divide_scales(const TensorInfo& weight, const TensorInfo& scale, const QuantizationConfig& quantization,
                          int64_t count, int64_t rows, int64_t columns) {
  const int64_t per_matrix = scale.shape.element_count() / count;
  const int64_t* block = quantization.weight_block_size;
  const int64_t blocks = ((rows + block[0] - 1) / block[0]) * ((columns + block[1] - 1) / block[1]);
  const bool whole = per_matrix * count == scale.shape.element_count();
  const bool by_block = scale.name.ends_with("_scale_inv");
  if (whole && by_block && per_matrix == blocks) return {{}, block[0], block[1]};
  if (whole && per_matrix == rows && !by_block) return {{}, 1, columns};
  if (whole && per_matrix == 1) return {{}, rows, columns};
  fail(ErrorCode::kInvalid, "{}: shape {}, expected {} for {} {} in {}", scale.name, scale.shape.to_string(),
       by_block ? fmt::format("a scale for each block of {} x {}", block[0], block[1]) : "a scale a row, or one in all",
       weight.name, weight.shape.to_string(), file_name(scale));
}

ConstTensorView stored_fp8(WeightStorage& storage, const TensorInfo& tensor, const QuantizationConfig& quantization) {
  const bool stack = tensor.shape.rank() == 3;
  const int64_t count = stack ? tensor.shape[0] : 1;
  const int64_t rows = tensor.shape[stack ? 1 : 0];
  const int64_t columns = tensor.shape[stack ? 2 : 1];
  const TensorInfo& scale = require_scale(storage, tensor);
  const std::vector<float> scales = widened(scale);
  BlockScales division = divide_scales(tensor, scale, quantization, count, rows, columns);
  auto* values = reinterpret_cast<float*>(storage.allocate(tensor.shape.element_count() * sizeof(float)));
  const auto* codes = reinterpret_cast<const uint8_t*>(tensor.data.data());
  const size_t per_matrix = scales.size() / static_cast<size_t>(count);
  for (int64_t i = 0; i < count; ++i) {
    division.scales = {scales.data() + static_cast<size_t>(i) * per_matrix, per_matrix};
    const auto size = static_cast<size_t>(rows * columns);
    expand_fp8({codes + static_cast<size_t>(i) * size, size}, rows, columns, division,
               values + static_cast<size_t>(i) * size);
  }
  storage.report(tensor.data.size());
  return {values, DType::kF32, tensor.shape};
}

// A matrix, or a stack of them, in a type that kernels read.
ConstTensorView stored_matrix(WeightStorage& storage, const TensorInfo& tensor,
                              const QuantizationConfig& quantization) {
  switch (tensor.dtype) {
    case DType::kBF16:
    case DType::kF32: {
      if (tensor.is_aligned()) {
        storage.touch(tensor.data);
        return {tensor.data.data(), tensor.dtype, tensor.shape};
      }
      std::byte* copy = storage.allocate(tensor.data.size());
      std::memcpy(copy, tensor.data.data(), tensor.data.size());
      storage.report(tensor.data.size());
      return {copy, tensor.dtype, tensor.shape};
    }
    case DType::kF16:
      return stored_f32(storage, tensor);
    case DType::kF8E4M3:
      return stored_fp8(storage, tensor, quantization);
    default:
      fail(ErrorCode::kUnsupported, "{}: dtype {}, expected one of F32, BF16, F16, F8_E4M3 in {}", tensor.name,
           dtype_name(tensor.dtype), file_name(tensor));
  }
}

}  // namespace

bool WeightBinder::has(std::string_view name) const { return storage_.find(prefix_ + std::string(name)) != nullptr; }

LinearWeight WeightBinder::linear(std::string_view name, Dim out, Dim in, Bias bias) {
  const std::string path = prefix_ + std::string(name);
  const TensorInfo& tensor = storage_.require(path + ".weight");
  check_shape(tensor, std::array{out, in});
  LinearWeight weight;
  weight.weight = stored_matrix(storage_, tensor, config_.quantization);
  if (bias == Bias::kRequired) weight.bias = f32(std::string(name) + ".bias", {out}).as<float>();
  return weight;
}

std::vector<LinearWeight> WeightBinder::linear_stack(std::string_view name, Dim count, Dim out, Dim in) {
  const TensorInfo& tensor = storage_.require(prefix_ + std::string(name));
  check_shape(tensor, std::array{count, out, in});
  const ConstTensorView stack = stored_matrix(storage_, tensor, config_.quantization);
  const LinearWeight rows{.weight = {stack.data, stack.dtype, {count.size * out.size, in.size}}};
  std::vector<LinearWeight> matrices;
  for (int64_t i = 0; i < count.size; ++i) matrices.push_back(rows_of(rows, i * out.size, out.size));
  return matrices;
}

ConstTensorView WeightBinder::f32(std::string_view name, std::initializer_list<Dim> shape) {
  const TensorInfo& tensor = storage_.require(prefix_ + std::string(name));
  check_shape(tensor, std::span(shape.begin(), shape.size()));
  return stored_f32(storage_, tensor);
}

LinearWeight WeightBinder::transposed(const LinearWeight& weight) {
  const int64_t out = weight.out_features();
  const int64_t in = weight.in_features();
  const size_t item_bytes = dtype_size_bytes(weight.weight.dtype);
  std::byte* copy = storage_.allocate(weight.weight.size_bytes());
  const auto* source = static_cast<const std::byte*>(weight.weight.data);
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t column = 0; column < in; ++column) {
      std::memcpy(copy + (column * out + row) * item_bytes, source + (row * in + column) * item_bytes, item_bytes);
    }
  }
  return {.weight = {copy, weight.weight.dtype, {in, out}}};
}

std::unique_ptr<Weights> bind_weights(const std::filesystem::path& model_dir, const Family& family,
                                      const ModelConfig& config, const Model::ProgressCallback& progress) {
  auto weights = std::make_unique<Weights>();
  auto storage = std::make_shared<WeightStorage>(model_dir, progress);
  const Dim vocab{config.vocab_size, "vocab_size"};
  const Dim hidden{config.hidden_size, "hidden_size"};
  WeightBinder top(*storage, config, "", -1);
  const LinearWeight embed_tokens = top.linear("model.embed_tokens", vocab, hidden);
  weights->embed_tokens = embed_tokens.weight;
  weights->layers.resize(static_cast<size_t>(config.num_hidden_layers));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    WeightBinder binder(*storage, config, fmt::format("model.layers.{}.", layer), layer);
    family.bind_layer(binder, config, weights->layers[layer]);
  }
  weights->norm = top.f32("model.norm.weight", {hidden});
  if (config.tie_word_embeddings) {
    weights->lm_head = embed_tokens;
    storage->mark_used("lm_head.weight");  // where a file has it all the same, the tie wins
  } else {
    weights->lm_head = top.linear("lm_head", vocab, hidden);
  }
  storage->report_unused(config);
  weights->storage = std::move(storage);
  return weights;
}

}  // namespace glimmer
