#include "source/hf_source.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/quoted_name.h"
#include "format/checkpoint.h"
#include "source/chatglm.h"
#include "source/hf_quantization.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = size_t{64} << 20;
constexpr size_t kMaxSideFileBytes = size_t{256} << 20;
constexpr std::string_view kFusedGateUp = ".mlp.experts.gate_up_proj";
constexpr std::string_view kFusedDown = ".mlp.experts.down_proj";
constexpr int64_t kMaxExperts = 65536;
constexpr std::string_view kSwitchMlp = ".mlp.switch_mlp.";  // MLX

// Matrix `index` of `count` that lie one after the other in each part.
EncodedMatrix matrix_of_stack(const EncodedMatrix& stack, int64_t index, int64_t count) {
  EncodedMatrix matrix = stack;
  matrix.rows = stack.stored_rows / count;
  matrix.stored_rows = matrix.rows;
  for (auto& part : matrix.parts) {
    const size_t bytes = part.size() / static_cast<size_t>(count);
    part = part.subspan(static_cast<size_t>(index) * bytes, bytes);
  }
  return matrix;
}

class HfSource : public ModelSource {
 public:
  HfSource(const fs::path& path, fs::path folder, const Json& config)
      : ModelSource(path, "hf"), folder_(std::move(folder)), checkpoint_(Checkpoint::open(path)) {
    const std::string label = (folder_ / "config.json").string();
    const HfQuantization quantization(config, label);
    if (is_chatglm(config)) {
      glm_config_ = glm_config_of(config, label);
      chatglm_rows_ = chatglm_rows(*glm_config_);
    }
    quantization_ = quantization.description();
    const auto is_mlx = [](const TensorInfo* tensor) { return tensor->name.find(kSwitchMlp) != std::string::npos; };
    if (quantization.is_mlx() || std::any_of(checkpoint_.tensors().begin(), checkpoint_.tensors().end(), is_mlx)) {
      format_ = "mlx";
    }
    files_ = static_cast<int64_t>(checkpoint_.files().size());
    add_all(quantization);
  }

  std::optional<std::string> side_file(std::string_view name) const override {
    if (glm_config_ && name == "config.json") return glm_config_->dump(2);
    const fs::path path = folder_ / name;
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return std::nullopt;
    return read_file(path, kMaxSideFileBytes);
  }

  std::string side_file_label(std::string_view name) const override { return (folder_ / name).string(); }

  void check_unchanged() const override {
    for (const auto& file : checkpoint_.files()) file->check_unchanged();
  }

  std::vector<std::string> side_files() const override {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::recursive_directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
      if (at->is_directory(error)) {
        if (at->path().filename() != "additional_chat_templates") at.disable_recursion_pending();
        continue;
      }
      const std::string extension = at->path().extension().string();
      const std::string name = at->path().filename().string();
      const bool is_side_file = extension == ".json" || extension == ".jinja" || extension == ".txt" ||
                                extension == ".py" || extension == ".model" || name.starts_with("LICENSE");
      if (!is_side_file || name == "model.safetensors.index.json") continue;
      names.push_back(fs::relative(at->path(), folder_, error).generic_string());
    }
    if (error) fail(ErrorCode::kIo, "{}: cannot list the folder: {}", folder_.string(), error.message());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  void add_all(const HfQuantization& quantization) {
    std::unordered_set<const TensorInfo*> part_of_another;
    std::vector<QuantizedTensor> quantized;
    for (const TensorInfo* tensor : checkpoint_.tensors()) {
      if (part_of_another.contains(tensor)) continue;
      if (auto found = quantization.find(checkpoint_, *tensor)) {
        for (const TensorInfo* part : found->parts) part_of_another.insert(part);
        quantized.push_back(std::move(*found));
      }
    }
    for (const QuantizedTensor& tensor : quantized) {
      EncodedMatrix matrix{.type = tensor.type, .params = tensor.params};
      const int rank = tensor.shape.rank();
      matrix.columns = tensor.shape[rank - 1];
      matrix.stored_rows = tensor.shape.element_count() / std::max<int64_t>(1, matrix.columns);
      matrix.rows = matrix.stored_rows;
      for (size_t i = 0; i < tensor.parts.size(); ++i) matrix.parts[i] = tensor.parts[i]->data;
      add_canonical(tensor.name, tensor.shape, matrix, *tensor.parts.front());
    }
    for (const TensorInfo* tensor : checkpoint_.tensors()) {
      if (!part_of_another.contains(tensor) && !quantization.is_further_part(checkpoint_, tensor->name)) {
        add_canonical(tensor->name, tensor->shape, whole_matrix(*tensor), *tensor);
      }
    }
    finish();
  }

  void add_one(std::string name, const Shape& shape, const EncodedMatrix& matrix, const TensorInfo& info) {
    add({.name = std::move(name),
         .shape = shape,
         .data = matrix,
         .file = info.file,
         .stored_name = info.name,
         .stored_dtype = info.dtype});
  }

  // Cuts stacks of experts into matrices, and makes one matrix of MLX's stack over heads.
  void add_canonical(const std::string& name, const Shape& shape, const EncodedMatrix& matrix, const TensorInfo& info) {
    if (glm_config_) return add_chatglm(name, shape, matrix, info);
    if (shape.rank() != 3 || shape.element_count() == 0) return add_one(name, shape, matrix, info);
    const size_t at = name.find(kSwitchMlp);
    const bool by_head = name.ends_with(".self_attn.embed_q.weight") || name.ends_with(".self_attn.unembed_out.weight");
    const bool fused = name.ends_with(kFusedGateUp) || name.ends_with(kFusedDown);
    if ((fused || at != std::string::npos) && shape[0] > kMaxExperts) {
      fail(ErrorCode::kLimit, "{}: {} experts, at most {} in {}", quoted_name(name), shape[0], kMaxExperts, info.file);
    }
    if (fused) return add_fused(name, shape, matrix, info);
    if (at != std::string::npos) {
      const std::string projection = name.substr(at + kSwitchMlp.size());
      for (int64_t e = 0; e < shape[0]; ++e) {
        add_one(fmt::format("{}.mlp.experts.{}.{}", name.substr(0, at), e, projection), {shape[1], shape[2]},
                matrix_of_stack(matrix, e, shape[0]), info);
      }
      return;
    }
    add_one(name, by_head ? Shape{shape[0] * shape[1], shape[2]} : shape, matrix, info);
  }

  // The layout of glm-4-9b as first published: rows of one matrix are several tensors here.
  void add_chatglm(const std::string& name, const Shape& shape, const EncodedMatrix& matrix, const TensorInfo& info) {
    const auto parts = chatglm_parts(name, chatglm_rows_);
    if (!parts) return add_one(name, shape, matrix, info);
    for (const ChatglmPart& part : *parts) {
      if (part.rows == 0) {
        add_one(part.name, shape, matrix, info);
        continue;
      }
      const bool is_bias = shape.rank() == 1;
      const int64_t stored_rows = is_bias ? matrix.columns : matrix.rows;
      if (part.first_row + part.rows > stored_rows) {
        fail(ErrorCode::kInvalid, "{}: shape {}, config.json says at least {} rows for {} in {}", name,
             shape.to_string(), part.first_row + part.rows, part.name, info.file);
      }
      if (!is_bias) {
        add_one(part.name, {part.rows, matrix.columns}, matrix.slice(part.first_row, part.rows), info);
        continue;
      }
      EncodedMatrix values = matrix;
      const size_t value_bytes = matrix.parts[0].size() / static_cast<size_t>(stored_rows);
      values.columns = part.rows;
      values.parts[0] = matrix.parts[0].subspan(static_cast<size_t>(part.first_row) * value_bytes,
                                                static_cast<size_t>(part.rows) * value_bytes);
      add_one(part.name, {part.rows}, values, info);
    }
  }

  void add_fused(const std::string& name, const Shape& shape, const EncodedMatrix& matrix, const TensorInfo& info) {
    const bool gate_up = name.ends_with(kFusedGateUp);
    const int64_t count = shape[0];
    const std::string prefix = name.substr(0, name.rfind('.') + 1);
    for (int64_t e = 0; e < count; ++e) {
      const EncodedMatrix expert = matrix_of_stack(matrix, e, count);
      const auto add_part = [&](std::string_view projection, const EncodedMatrix& part) {
        add_one(fmt::format("{}{}.{}.weight", prefix, e, projection), {part.rows, part.columns}, part, info);
      };
      if (!gate_up) {
        add_part("down_proj", expert);
        continue;
      }
      const int64_t width = expert.rows / 2;
      if (2 * width != expert.rows) {
        fail(ErrorCode::kInvalid, "{}: shape {}, expected [experts, 2 * moe_intermediate_size, hidden_size] in {}",
             name, shape.to_string(), info.file);
      }
      add_part("gate_proj", expert.slice(0, width));
      add_part("up_proj", expert.slice(width, width));
    }
  }

  fs::path folder_;
  Checkpoint checkpoint_;
  std::optional<Json> glm_config_;  // of chatglm's layout: config.json as it is presented
  ChatglmRows chatglm_rows_;
};

}  // namespace

std::unique_ptr<ModelSource> open_hf(const fs::path& path) {
  std::error_code error;
  const fs::path folder = fs::is_directory(path, error) ? path : path.parent_path();
  const fs::path config_path = folder / "config.json";
  const Json config = parse_json(read_file(config_path, kMaxConfigBytes), config_path.string());
  return std::make_unique<HfSource>(path, folder, config);
}

}  // namespace glimmer
