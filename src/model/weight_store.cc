#include "model/weight_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "model/tensor_names.h"

namespace glimmer {
namespace {

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

WeightMatrix matrix_of(const EncodedMatrix& rows) {
  return weight_matrix_of(rows.type->layout(rows.params, rows.columns), rows.rows, rows.columns);
}

}  // namespace

WeightStore::WeightStore(std::shared_ptr<const ModelSource> source, Device& device,
                         const Model::ProgressCallback& progress)
    : source_(std::move(source)),
      device_(&device),
      memory_(device.memory()),
      progress_(&progress),
      total_bytes_(static_cast<int64_t>(source_->total_bytes())),
      arenas_(static_cast<size_t>(device.topology().nodes())) {}

const SourceTensor& WeightStore::require(const std::string& name) {
  const SourceTensor& tensor = source_->require(name);
  claimed_.insert(tensor.name);
  return tensor;
}

// Aligned to 64, cut from buffers of up to 256 MB so that host memory is on huge pages; a small model takes one of its
// own size and an eighth. The unused end of a mapping is never touched and so takes no memory.
std::byte* WeightStore::allocate(int64_t size_bytes, int node) {
  constexpr int64_t kMostAtOnce = int64_t{256} << 20;
  Arena& arena = arenas_[static_cast<size_t>(node)];
  const int64_t rounded = (size_bytes + 63) / 64 * 64;
  if (rounded > arena.left_bytes) {
    arena.left_bytes = std::max(rounded, std::min(kMostAtOnce, total_bytes_ + total_bytes_ / 8));
    Buffer& buffer = buffers_.emplace_back(memory_, static_cast<size_t>(arena.left_bytes));
    if (memory_.is_host() && buffer.size_bytes() >= kMappedBufferBytes) {
      prefer_node(device_->topology(), node, buffer.as<std::byte>(), buffer.size_bytes());
    }
    arena.at = buffer.as<std::byte>();
  }
  arena.left_bytes -= rounded;
  return std::exchange(arena.at, arena.at + rounded);
}

void WeightStore::write_all(const WeightMatrix& matrix, PanelRange panels, std::byte* host, const WritePanels& write) {
  constexpr int64_t kGrainBytes = 1 << 16;  // of packed panels per task; below that, handing out work would dominate
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, matrix.panel_bytes));
  device_->host_threads().parallel_for(panels.end - panels.begin, grain, [&](int64_t begin, int64_t end, int) {
    write(panels.begin + begin, panels.begin + end, host + begin * matrix.panel_bytes);
  });
}

std::byte* WeightStore::fill(const WeightMatrix& matrix, PanelRange panels, int node, const WritePanels& write) {
  std::byte* data = allocate((panels.end - panels.begin) * matrix.panel_bytes, node);
  if (memory_.is_host()) {
    write_all(matrix, panels, data, write);
    return data;
  }
  constexpr int64_t kStagedBytes = int64_t{64} << 20;  // host memory beside the device's; copies are long enough
  const int64_t at_once = std::max<int64_t>(1, kStagedBytes / std::max<int64_t>(1, matrix.panel_bytes));
  Buffer staged(static_cast<size_t>(std::min(at_once, panels.end - panels.begin) * matrix.panel_bytes));
  for (int64_t begin = panels.begin; begin < panels.end; begin += at_once) {
    const PanelRange part{begin, std::min(begin + at_once, panels.end)};
    write_all(matrix, part, staged.as<std::byte>(), write);
    memory_.write(data + (begin - panels.begin) * matrix.panel_bytes,
                  {staged.as<std::byte>(), static_cast<size_t>((part.end - part.begin) * matrix.panel_bytes)});
  }
  return data;
}

LinearWeight WeightStore::fill(WeightMatrix matrix, const WritePanels& write) {
  const int nodes_in_all = device_->topology().nodes();
  if (nodes_in_all == 1) {
    matrix.data = fill(matrix, {0, panel_count(matrix)}, 0, write);
    return {.weight = matrix};
  }
  NodePanels& nodes = node_panels_.emplace_back();
  nodes.first = share_panels(panel_count(matrix), nodes_in_all);
  for (int node = 0; node < nodes_in_all; ++node) {
    const auto at = static_cast<size_t>(node);
    nodes.data.push_back(fill(matrix, {nodes.first[at], nodes.first[at + 1]}, node, write));
  }
  matrix.data = nodes.data.front();
  return {.weight = matrix, .nodes = &nodes};
}

LinearWeight WeightStore::pack(const EncodedMatrix& rows) {
  const WeightMatrix matrix = matrix_of(rows);
  return fill(matrix, [&](int64_t begin, int64_t end, std::byte* out) {
    repack_panels(rows, matrix, begin, end, out - begin * matrix.panel_bytes);
  });
}

WeightMatrix WeightStore::pack_whole(const EncodedMatrix& rows) {
  WeightMatrix matrix = matrix_of(rows);
  matrix.data = fill(matrix, {0, panel_count(matrix)}, 0, [&](int64_t begin, int64_t end, std::byte* out) {
    repack_panels(rows, matrix, begin, end, out - begin * matrix.panel_bytes);
  });
  return matrix;
}

LinearWeight WeightStore::pack_transposed(const EncodedMatrix& rows) {
  const WeightCodes codes = codes_when_transposed(rows.type->layout(rows.params, rows.columns));
  std::vector<float> values(static_cast<size_t>(rows.rows * rows.columns));
  device_->host_threads().parallel_for(rows.rows, 16, [&](int64_t begin, int64_t end, int) {
    decode_rows(rows, begin, end, values.data() + begin * rows.columns);
  });
  const WeightMatrix matrix = weight_matrix_of({.codes = codes}, rows.columns, rows.rows);
  const int64_t element_bytes = weight_code_bits(codes) / 8;
  const int64_t stride = rows.rows * element_bytes;
  return fill(matrix, [&](int64_t begin, int64_t end, std::byte* out) {
    std::vector<std::byte> elements(static_cast<size_t>(kPanelRows * stride));
    for (int64_t panel = begin; panel < end; ++panel, out += matrix.panel_bytes) {
      const int64_t first = panel * kPanelRows;
      const int64_t count = std::min(kPanelRows, matrix.rows - first);
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t k = 0; k < rows.rows; ++k) {
          store_float(codes, values[static_cast<size_t>(k * rows.columns + first + i)],
                      elements.data() + i * stride + k * element_bytes);
        }
      }
      pack_panel(matrix, count, elements.data(), stride, nullptr, 0, out);
    }
  });
}

LinearWeight WeightStore::pack_f32(const EncodedMatrix& rows) {
  const WeightMatrix matrix = weight_matrix_of({.codes = WeightCodes::kF32}, rows.rows, rows.columns);
  return fill(matrix, [&](int64_t begin, int64_t end, std::byte* out) {
    std::vector<float> values(static_cast<size_t>(kPanelRows * rows.columns));
    for (int64_t panel = begin; panel < end; ++panel, out += matrix.panel_bytes) {
      const int64_t first = panel * kPanelRows;
      const int64_t count = std::min(kPanelRows, matrix.rows - first);
      decode_rows(rows, first, first + count, values.data());
      pack_panel(matrix, count, reinterpret_cast<const std::byte*>(values.data()),
                 rows.columns * static_cast<int64_t>(sizeof(float)), nullptr, 0, out);
    }
  });
}

const float* WeightStore::f32(const EncodedMatrix& rows) {
  std::vector<float> values(static_cast<size_t>(rows.rows * rows.columns));
  decode_rows(rows, 0, rows.rows, values.data());
  const auto bytes = std::as_bytes(std::span(values));
  std::byte* data = allocate(static_cast<int64_t>(bytes.size()));
  memory_.write(data, bytes);
  return reinterpret_cast<const float*>(data);
}

void WeightStore::report(const SourceTensor& tensor) {
  source_->release(tensor);
  done_bytes_ += static_cast<int64_t>(ModelSource::stored_bytes(tensor));
  if (*progress_) (*progress_)({done_bytes_, total_bytes_});
}

void WeightStore::report_unclaimed(const ModelConfig& config, const Placement& placement) const {
  std::vector<std::string_view> unused;
  for (const SourceTensor& tensor : source_->tensors()) {
    // transformers writes shared experts of zero width where a model has none.
    if (claimed_.contains(tensor.name) || tensor.shape.element_count() == 0) continue;
    const int64_t layer = layer_index(tensor.name).value_or(-1);
    const bool is_top = layer < 0;
    const Range own = placement.layers();
    const bool is_others =
        is_top ? placement.form.pp > 1 : layer < config.num_hidden_layers && (layer < own.begin || layer >= own.end);
    if (is_others) continue;
    const bool mtp =
        layer >= config.num_hidden_layers && find(fmt::format("model.layers.{}.eh_proj.weight", layer)) != nullptr;
    if (!mtp && !tensor.name.ends_with("rotary_emb.inv_freq")) unused.push_back(tensor.name);
  }
  if (unused.empty()) return;
  log_warning("{}: {} tensors have no role in a model of {} layers and are left out, the first: {}",
              source_->path().string(), unused.size(), config.num_hidden_layers, quoted_name(unused.front()));
}

void WeightStore::end_binding() {
  device_ = nullptr;
  progress_ = nullptr;
  source_->check_unchanged();  // what was read is what the files held
}

}  // namespace glimmer
