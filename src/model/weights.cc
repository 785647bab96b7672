#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "model/family.h"
#include "model/tensor_names.h"
#include "source/model_source.h"

namespace glimmer {

class WeightStorage {
 public:
  WeightStorage(std::shared_ptr<const ModelSource> source, const Model::ProgressCallback& progress,
                const Topology& topology)
      : source_(std::move(source)),
        progress_(progress),
        topology_(topology),
        total_bytes_(static_cast<int64_t>(source_->total_bytes())),
        arenas_(static_cast<size_t>(topology.nodes())) {}

  const SourceTensor* find(const std::string& name) const { return source_->find(name); }

  const SourceTensor& require(const std::string& name) {
    const SourceTensor& tensor = source_->require(name);
    used_.insert(tensor.name);
    return tensor;
  }

  // Memory near a NUMA node, aligned to 64, cut from mappings of up to 256 MB so that it is on huge pages; a small
  // model takes one of its own size and an eighth. The unused end of a mapping is never touched and so takes no memory.
  std::byte* allocate(int64_t size_bytes, int node = 0) {
    constexpr int64_t kMostAtOnce = int64_t{256} << 20;
    Arena& arena = arenas_[static_cast<size_t>(node)];
    const int64_t rounded = (size_bytes + 63) / 64 * 64;
    if (rounded > arena.left_bytes) {
      arena.left_bytes = std::max(rounded, std::min(kMostAtOnce, total_bytes_ + total_bytes_ / 8));
      Buffer& buffer = buffers_.emplace_back(static_cast<size_t>(arena.left_bytes));
      if (buffer.size_bytes() >= kMappedBufferBytes) {
        prefer_node(topology_, node, buffer.as<std::byte>(), buffer.size_bytes());
      }
      arena.at = buffer.as<std::byte>();
    }
    arena.left_bytes -= rounded;
    return std::exchange(arena.at, arena.at + rounded);
  }

  // Packs rows in their kernel layout; their transpose as floats; the rows as f32.
  LinearWeight pack(const EncodedMatrix& rows);
  LinearWeight pack_transposed(const EncodedMatrix& rows);
  LinearWeight pack_f32(const EncodedMatrix& rows);
  // As pack(), in one piece of memory, so that single rows can be read.
  WeightMatrix pack_whole(const EncodedMatrix& rows);

  // Drops the tensor's pages of the file after it has been read.
  void report(const SourceTensor& tensor) {
    source_->release(tensor);
    done_bytes_ += static_cast<int64_t>(ModelSource::stored_bytes(tensor));
    if (progress_) progress_({done_bytes_, total_bytes_});
  }

  // Lists tensors that nothing claims in one warning. Layers from num_hidden_layers on are for multi-token prediction
  // and skipped, unless they lack its projection: then config.json states too few layers.
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
  void check_source() const { source_->check_unchanged(); }  // what was read is what the files held

 private:
  struct Arena {
    std::byte* at = nullptr;
    int64_t left_bytes = 0;
  };

  // Calls write(panel, out) for all panels of `matrix`, which are distributed over nodes.
  template <typename Write>
  LinearWeight fill(WeightMatrix matrix, const Write& write);
  template <typename Write>
  std::byte* fill(const WeightMatrix& matrix, PanelRange panels, int node, const Write& write);

  std::shared_ptr<const ModelSource> source_;
  const Model::ProgressCallback& progress_;  // used while binding only
  const Topology& topology_;                 // the same
  int64_t total_bytes_ = 0;
  int64_t done_bytes_ = 0;
  std::vector<Arena> arenas_;  // of each node
  std::vector<Buffer> buffers_;
  std::deque<NodePanels> node_panels_;
  std::unordered_set<std::string> used_;
  std::optional<ThreadPool> pool_{std::in_place, available_threads()};  // while binding only
};

namespace {

// The matrix's 16-bit float type in the file, or f32, so that nothing is rounded.
WeightCodes codes_when_transposed(const WeightLayout& layout) {
  const bool halves = layout.codes == WeightCodes::kBF16 || layout.codes == WeightCodes::kF16;
  return halves && is_float_layout(layout) ? layout.codes : WeightCodes::kF32;
}

void store_float(WeightCodes codes, float value, std::byte* out) {
  if (codes == WeightCodes::kF32) {
    std::memcpy(out, &value, sizeof value);
    return;
  }
  const uint16_t half = codes == WeightCodes::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
  std::memcpy(out, &half, sizeof half);
}

}  // namespace

template <typename Write>
std::byte* WeightStorage::fill(const WeightMatrix& matrix, PanelRange panels, int node, const Write& write) {
  constexpr int64_t kGrainBytes = 1 << 16;  // of packed panels per task; below that, handing out work would dominate
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, matrix.panel_bytes));
  std::byte* data = allocate((panels.end - panels.begin) * matrix.panel_bytes, node);
  pool_->parallel_for(panels.end - panels.begin, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) write(panels.begin + i, data + i * matrix.panel_bytes);
  });
  return data;
}

template <typename Write>
LinearWeight WeightStorage::fill(WeightMatrix matrix, const Write& write) {
  if (topology_.nodes() == 1) {
    matrix.data = fill(matrix, {0, panel_count(matrix)}, 0, write);
    return {.weight = matrix};
  }
  NodePanels& nodes = node_panels_.emplace_back();
  nodes.first = share_panels(panel_count(matrix), topology_.nodes());
  for (int node = 0; node < topology_.nodes(); ++node) {
    const auto at = static_cast<size_t>(node);
    nodes.data.push_back(fill(matrix, {nodes.first[at], nodes.first[at + 1]}, node, write));
  }
  matrix.data = nodes.data.front();
  return {.weight = matrix, .nodes = &nodes};
}

LinearWeight WeightStorage::pack(const EncodedMatrix& rows) {
  const WeightMatrix matrix = weight_matrix_of(rows.type->layout(rows.params, rows.columns), rows.rows, rows.columns);
  return fill(matrix, [&](int64_t panel, std::byte* out) {
    repack_panels(rows, matrix, panel, panel + 1, out - panel * matrix.panel_bytes);
  });
}

WeightMatrix WeightStorage::pack_whole(const EncodedMatrix& rows) {
  WeightMatrix matrix = weight_matrix_of(rows.type->layout(rows.params, rows.columns), rows.rows, rows.columns);
  matrix.data = fill(matrix, {0, panel_count(matrix)}, 0, [&](int64_t panel, std::byte* out) {
    repack_panels(rows, matrix, panel, panel + 1, out - panel * matrix.panel_bytes);
  });
  return matrix;
}

LinearWeight WeightStorage::pack_transposed(const EncodedMatrix& rows) {
  const WeightCodes codes = codes_when_transposed(rows.type->layout(rows.params, rows.columns));
  std::vector<float> values(static_cast<size_t>(rows.rows * rows.columns));
  pool_->parallel_for(rows.rows, 16, [&](int64_t begin, int64_t end, int) {
    decode_rows(rows, begin, end, values.data() + begin * rows.columns);
  });
  const WeightMatrix matrix = weight_matrix_of({.codes = codes}, rows.columns, rows.rows);
  const int64_t element_bytes = weight_code_bits(codes) / 8;
  const int64_t stride = rows.rows * element_bytes;
  return fill(matrix, [&](int64_t panel, std::byte* out) {
    const int64_t first = panel * kPanelRows;
    const int64_t count = std::min(kPanelRows, matrix.rows - first);
    std::vector<std::byte> elements(static_cast<size_t>(count * stride));
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t k = 0; k < rows.rows; ++k) {
        store_float(codes, values[static_cast<size_t>(k * rows.columns + first + i)],
                    elements.data() + i * stride + k * element_bytes);
      }
    }
    pack_panel(matrix, count, elements.data(), stride, nullptr, 0, out);
  });
}

LinearWeight WeightStorage::pack_f32(const EncodedMatrix& rows) {
  const WeightMatrix matrix = weight_matrix_of({.codes = WeightCodes::kF32}, rows.rows, rows.columns);
  return fill(matrix, [&](int64_t panel, std::byte* out) {
    const int64_t first = panel * kPanelRows;
    const int64_t count = std::min(kPanelRows, matrix.rows - first);
    std::vector<float> values(static_cast<size_t>(count * rows.columns));
    decode_rows(rows, first, first + count, values.data());
    pack_panel(matrix, count, reinterpret_cast<const std::byte*>(values.data()),
               rows.columns * static_cast<int64_t>(sizeof(float)), nullptr, 0, out);
  });
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

float* stored_f32(WeightStorage& storage, const SourceTensor& tensor) {
  const int64_t count = tensor.shape.element_count();
  auto* values = reinterpret_cast<float*>(storage.allocate(count * static_cast<int64_t>(sizeof(float))));
  decode_rows(tensor.data, 0, tensor.data.rows, values);
  storage.report(tensor);
  return values;
}

}  // namespace

bool WeightBinder::has(std::string_view name) const { return storage_.find(prefix_ + std::string(name)) != nullptr; }

LinearWeight WeightBinder::linear(std::string_view name, Dim out, Dim in, Bias bias) {
  const Part whole{.rows = out.size};
  return linear_parts(name, out, in, {&whole, 1}, bias).front();
}

std::vector<LinearWeight> WeightBinder::linear_parts(std::string_view name, Dim out, Dim in,
                                                     std::span<const Part> parts, Bias bias) {
  const SourceTensor& tensor = storage_.require(prefix_ + std::string(name) + ".weight");
  check_shape(tensor, std::array{out, in});
  std::vector<LinearWeight> weights;
  int64_t first = 0;
  for (const Part& part : parts) {
    const EncodedMatrix rows = tensor.data.slice(first, part.rows);
    weights.push_back(part.transposed ? storage_.pack_transposed(rows) : storage_.pack(rows));
    // A transposed part reads other columns than the tensor does, so it does not carry the tensor's name.
    if (!part.transposed) weights.back().name = tensor.name;
    first += part.rows;
  }
  GLIMMER_CHECK(first == out.size, "{}: parts of {} rows, of {}", tensor.name, first, out.size);
  storage_.report(tensor);
  if (bias == Bias::kRequired) {
    const auto* values = f32(std::string(name) + ".bias", {out}).as<float>();
    for (size_t i = 0; i < parts.size(); values += parts[i].rows, ++i) {
      if (!parts[i].transposed) weights[i].bias = values;
    }
  }
  return weights;
}

LinearWeight WeightBinder::linear_f32(std::string_view name, Dim out, Dim in) {
  const SourceTensor& tensor = storage_.require(prefix_ + std::string(name) + ".weight");
  check_shape(tensor, std::array{out, in});
  const LinearWeight weight = storage_.pack_f32(tensor.data);
  storage_.report(tensor);
  return weight;
}

LinearWeight WeightBinder::table(std::string_view name, Dim out, Dim in) {
  const SourceTensor& tensor = storage_.require(prefix_ + std::string(name) + ".weight");
  check_shape(tensor, std::array{out, in});
  const LinearWeight weight{.weight = storage_.pack_whole(tensor.data), .name = tensor.name};
  storage_.report(tensor);
  return weight;
}

ConstTensorView WeightBinder::f32(std::string_view name, std::initializer_list<Dim> shape) {
  const SourceTensor& tensor = storage_.require(prefix_ + std::string(name));
  check_shape(tensor, std::span(shape.begin(), shape.size()));
  return {stored_f32(storage_, tensor), DType::kF32, tensor.shape};
}

std::unique_ptr<Weights> bind_weights(std::shared_ptr<const ModelSource> source, const Family& family,
                                      const ModelConfig& config, const Model::ProgressCallback& progress,
                                      const Topology& topology) {
  auto weights = std::make_unique<Weights>();
  auto storage = std::make_shared<WeightStorage>(std::move(source), progress, topology);
  const Dim vocab{config.vocab_size, "vocab_size"};
  const Dim hidden{config.hidden_size, "hidden_size"};
  WeightBinder top(*storage, config, "", -1);
  const LinearWeight embed_tokens = top.table("model.embed_tokens", vocab, hidden);
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
  storage->check_source();
  weights->storage = std::move(storage);
  return weights;
}

}  // namespace glimmer
