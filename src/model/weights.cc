#include "model/weights.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "model/family.h"
#include "model/tensor_names.h"
#include "source/model_source.h"

namespace glimmer {

class WeightStorage {
 public:
  WeightStorage(std::shared_ptr<const ModelSource> source, const Model::ProgressCallback& progress)
      : source_(std::move(source)), progress_(progress), total_bytes_(static_cast<int64_t>(source_->total_bytes())) {}

  const SourceTensor* find(const std::string& name) const { return source_->find(name); }

  const SourceTensor& require(const std::string& name) {
    const SourceTensor& tensor = source_->require(name);
    used_.insert(tensor.name);
    return tensor;
  }

  std::byte* allocate(int64_t size_bytes) {
    return buffers_.emplace_back(static_cast<size_t>(size_bytes)).as<std::byte>();
  }

  // Reads the pages of a mapped tensor now rather than in the first forward pass.
  static void touch(std::span<const std::byte> data) {
    constexpr size_t kPageBytes = 4096;
    advise(data, Access::kWillNeed);
    volatile std::byte sink{};
    for (size_t at = 0; at < data.size(); at += kPageBytes) sink = data[at];
    (void)sink;
  }

  void repack(const EncodedMatrix& matrix, WeightMatrix& out);

  // The tensor has been read: its pages may go if nothing views them.
  enum class Pages { kStillViewed, kDone };
  void report(const SourceTensor& tensor, Pages pages) {
    if (pages == Pages::kDone) source_->release(tensor);
    done_bytes_ += static_cast<int64_t>(ModelSource::stored_bytes(tensor));
    if (progress_) progress_({done_bytes_, total_bytes_});
  }

  // Warns of what no role asked for. Layers from num_hidden_layers on are for multi-token prediction and known to be
  // left, unless they lack its projection: then config.json has too few layers.
  void report_unused(const ModelConfig& config) const {
    std::vector<std::string_view> unused;
    for (const SourceTensor& tensor : source_->tensors()) {
      // transformers writes shared experts of zero width where a model has none.
      if (used_.contains(tensor.name) || tensor.shape.element_count() == 0) continue;
      const int64_t layer = layer_index(tensor.name).value_or(-1);
      const bool mtp =
          layer >= config.num_hidden_layers && find(fmt::format("model.layers.{}.eh_proj.weight", layer)) != nullptr;
      if (!mtp && !tensor.name.ends_with("rotary_emb.inv_freq")) unused.push_back(tensor.name);
    }
    if (unused.empty()) return;
    log_warning("{}: {} tensors have no role in a model of {} layers and are left out, the first: {}",
                source_->path().string(), unused.size(), config.num_hidden_layers, quoted_name(unused.front()));
  }

  void mark_used(const std::string& name) { used_.insert(name); }
  void end_binding() { pool_.reset(); }

 private:
  std::shared_ptr<const ModelSource> source_;
  const Model::ProgressCallback& progress_;  // used while binding only
  int64_t total_bytes_ = 0;
  int64_t done_bytes_ = 0;
  std::deque<Buffer> buffers_;
  std::unordered_set<std::string> used_;
  std::optional<ThreadPool> pool_{std::in_place, available_threads()};  // while binding only
};

void WeightStorage::repack(const EncodedMatrix& matrix, WeightMatrix& out) {
  auto* codes = allocate(out.rows * out.code_row_bytes);
  auto* scales = out.scale_row_bytes > 0 ? allocate(out.rows * out.scale_row_bytes) : nullptr;
  constexpr int64_t kGrainBytes = 1 << 16;
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, out.code_row_bytes));
  pool_->parallel_for(out.rows, grain, [&](int64_t begin, int64_t end, int) {
    repack_rows(matrix, begin, end, codes + begin * out.code_row_bytes, scales + begin * out.scale_row_bytes);
  });
  out.code_data = codes;
  out.scale_data = scales;
}

namespace {

std::string file_name(const SourceTensor& tensor) { return std::filesystem::path(tensor.file).filename().string(); }

[[noreturn]] void fail_shape(const SourceTensor& tensor, std::span<const Dim> dims) {
  std::vector<std::string> sizes;
  std::vector<std::string_view> fields;
  for (const Dim& dim : dims) {
    sizes.push_back(std::to_string(dim.size));
    fields.push_back(dim.field);
  }
  fail(ErrorCode::kInvalid, "{}: shape {}, config.json says [{}] ({}) in {}", tensor.name, tensor.shape.to_string(),
       fmt::join(sizes, ", "), fmt::join(fields, ", "), file_name(tensor));
}

void check_shape(const SourceTensor& tensor, std::span<const Dim> dims) {
  bool same = tensor.shape.rank() == static_cast<int>(dims.size());
  for (int i = 0; same && i < tensor.shape.rank(); ++i) same = tensor.shape[i] == dims[i].size;
  if (!same) fail_shape(tensor, dims);
  if (tensor.data.type == nullptr) {
    fail(ErrorCode::kUnsupported, "{}: dtype {}, expected one of F32, BF16, F16, F8_E4M3 or a quantised type in {}",
         tensor.name, dtype_name(tensor.stored_dtype), file_name(tensor));
  }
}

ConstTensorView stored_f32(WeightStorage& storage, const SourceTensor& tensor) {
  const int64_t count = tensor.shape.element_count();
  auto* values = reinterpret_cast<float*>(storage.allocate(count * static_cast<int64_t>(sizeof(float))));
  decode_rows(tensor.data, 0, tensor.data.rows, values);
  storage.report(tensor, WeightStorage::Pages::kDone);
  return {values, DType::kF32, tensor.shape};
}

// A matrix in its kernel layout: mapped floats as they are, else repacked.
WeightMatrix stored_matrix(WeightStorage& storage, const SourceTensor& tensor) {
  const EncodedMatrix& data = tensor.data;
  WeightMatrix matrix{
      .layout = data.type->layout(data.params, data.columns), .rows = data.rows, .columns = data.columns};
  matrix.code_row_bytes = weight_code_row_bytes(matrix.layout, data.columns);
  matrix.scale_row_bytes = weight_scale_row_bytes(matrix.layout, data.columns);
  const std::span<const std::byte> stored = data.parts[0];
  const auto alignment = static_cast<uintptr_t>(weight_code_bits(matrix.layout.codes) / 8);
  const bool mapped = is_float_layout(matrix.layout) && data.row_map == nullptr &&
                      reinterpret_cast<uintptr_t>(stored.data()) % alignment == 0;
  if (mapped) {
    matrix.code_data = stored.data() + data.first_row * matrix.code_row_bytes;
    WeightStorage::touch({matrix.code_data, static_cast<size_t>(matrix.rows * matrix.code_row_bytes)});
  } else {
    storage.repack(data, matrix);
  }
  storage.report(tensor, mapped ? WeightStorage::Pages::kStillViewed : WeightStorage::Pages::kDone);
  return matrix;
}

}  // namespace

bool WeightBinder::has(std::string_view name) const { return storage_.find(prefix_ + std::string(name)) != nullptr; }

LinearWeight WeightBinder::linear(std::string_view name, Dim out, Dim in, Bias bias) {
  const SourceTensor& tensor = storage_.require(prefix_ + std::string(name) + ".weight");
  check_shape(tensor, std::array{out, in});
  LinearWeight weight{.weight = stored_matrix(storage_, tensor), .name = tensor.name};
  if (bias == Bias::kRequired) weight.bias = f32(std::string(name) + ".bias", {out}).as<float>();
  return weight;
}

ConstTensorView WeightBinder::f32(std::string_view name, std::initializer_list<Dim> shape) {
  const SourceTensor& tensor = storage_.require(prefix_ + std::string(name));
  check_shape(tensor, std::span(shape.begin(), shape.size()));
  return stored_f32(storage_, tensor);
}

std::unique_ptr<Weights> bind_weights(std::shared_ptr<const ModelSource> source, const Family& family,
                                      const ModelConfig& config, const Model::ProgressCallback& progress) {
  auto weights = std::make_unique<Weights>();
  auto storage = std::make_shared<WeightStorage>(std::move(source), progress);
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
  storage->end_binding();
  weights->storage = std::move(storage);
  return weights;
}

}  // namespace glimmer
