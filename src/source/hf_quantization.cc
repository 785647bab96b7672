#include "source/hf_quantization.h"

#include <algorithm>
#include <filesystem>

#include "base/config_reader.h"
#include "base/error.h"

namespace glimmer {
namespace {

std::string file_name(const TensorInfo& tensor) { return std::filesystem::path(tensor.file).filename().string(); }

// Checks the groups; their types: "fp8, int4 (compressed-tensors)".
std::string read_compressed_tensors(const ConfigReader& quantization, const std::string& label) {
  const Json* groups = quantization.find("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty()) {
    quantization.fail_field("config_groups", "an object of quantization groups");
  }
  std::string found;
  for (const auto& [name, group] : groups->items()) {
    const std::string prefix = "quantization_config.config_groups." + name + ".weights.";
    const Json weights = group.is_object() && group.contains("weights") ? group["weights"] : Json();
    const ConfigReader scheme(weights, label, prefix);
    const std::string type = scheme.require_string("type");
    scheme.expect_one_of("type", type, {"float", "int"});
    const int64_t bits = scheme.require_int("num_bits");
    if (bits != 8 && bits != 4) {
      fail(ErrorCode::kUnsupported, "{}: field {}num_bits: {} is not supported; known: 4, 8", label, prefix, bits);
    }
    if (type == "float" && bits == 8 && scheme.has("strategy")) {
      scheme.expect_one_of("strategy", scheme.require_string("strategy"), {"channel", "tensor"});
    }
    const std::string one = fmt::format("{}{}", type == "int" ? "int" : "fp", bits);
    if (found.find(one) == std::string::npos) found.append(found.empty() ? "" : ", ").append(one);
  }
  return found + " (compressed-tensors)";
}

// The scale tensor of an 8-bit float weight: its name with `_scale_inv` (a block each), else `_scale` (a row each, or
// one).
const TensorInfo& require_fp8_scale(const Checkpoint& checkpoint, const TensorInfo& weight) {
  for (const char* suffix : {"_scale_inv", "_scale"}) {
    if (const TensorInfo* scale = checkpoint.find(weight.name + suffix)) return *scale;
  }
  fail(ErrorCode::kInvalid, "{}: dtype F8_E4M3 without scales: neither {}_scale_inv nor {}_scale is in the checkpoint",
       weight.name, weight.name, weight.name);
}

}  // namespace

HfQuantization::HfQuantization(const Json& config, const std::string& label) : packed_(config, label) {
  const ConfigReader reader(config, label);
  if (packed_.is_mlx()) {
    description_ = "MLX";
    return;
  }
  const Json* json = reader.find("quantization_config");
  if (json == nullptr) return;
  const ConfigReader quantization(*json, label, "quantization_config.");
  const std::string method = quantization.require_string("quant_method");
  if (method == "compressed-tensors") {
    description_ = read_compressed_tensors(quantization, label);
    return;
  }
  if (method != "fp8") {
    description_ = method;
    return;
  }
  if (quantization.has("fmt")) quantization.expect_one_of("fmt", quantization.require_string("fmt"), {"e4m3"});
  if (const Json* block = quantization.find("weight_block_size"); block != nullptr) {
    const auto side_ok = [](const Json& side) { return side.is_number_unsigned() && side >= 1 && side <= 65536; };
    if (!block->is_array() || block->size() != 2 || !side_ok((*block)[0]) || !side_ok((*block)[1])) {
      quantization.fail_field("weight_block_size", "two whole numbers from 1 to 65536");
    }
    weight_block_size_[0] = (*block)[0].get<int64_t>();
    weight_block_size_[1] = (*block)[1].get<int64_t>();
  }  // else 128 x 128, or one scale a tensor: the scales' shapes tell
  description_ = fmt::format("fp8, blocks of {} x {}", weight_block_size_[0], weight_block_size_[1]);
}

std::optional<QuantizedTensor> HfQuantization::find(const Checkpoint& checkpoint, const TensorInfo& tensor) const {
  if (tensor.dtype == DType::kF8E4M3 && !tensor.name.ends_with("_scale")) return find_fp8(checkpoint, tensor);
  std::optional<PackedMatrix> packed = packed_.matrix(checkpoint, tensor);
  if (!packed) return std::nullopt;
  Shape shape{packed->rows, packed->columns};
  if (packed->stack != 0) shape = {packed->stack, packed->rows / packed->stack, packed->columns};
  return QuantizedTensor{.name = std::string(*packed_.module_of(checkpoint, tensor)) + ".weight",
                         .shape = shape,
                         .type = packed->type,
                         .params = packed->params,
                         .parts = std::move(packed->parts)};
}

// How the scales divide a matrix is told by their name and number: one a block, one a row, or one in all. A stack has
// as many times more.
std::optional<QuantizedTensor> HfQuantization::find_fp8(const Checkpoint& checkpoint, const TensorInfo& tensor) const {
  const int rank = tensor.shape.rank();
  if (rank != 2 && rank != 3) return std::nullopt;
  const TensorInfo& scale = require_fp8_scale(checkpoint, tensor);
  if (scale.dtype != DType::kF32 && scale.dtype != DType::kBF16 && scale.dtype != DType::kF16) {
    fail(ErrorCode::kUnsupported, "{}: dtype {}, expected one of F32, BF16, F16 in {}", scale.name,
         dtype_name(scale.dtype), file_name(scale));
  }
  const int64_t count = rank == 3 ? tensor.shape[0] : 1;
  const int64_t rows = tensor.shape[rank - 2];
  const int64_t columns = tensor.shape[rank - 1];
  const int64_t block_rows = weight_block_size_[0];
  const int64_t block_columns = weight_block_size_[1];
  const int64_t blocks = ((rows + block_rows - 1) / block_rows) * ((columns + block_columns - 1) / block_columns);
  const int64_t per_matrix = count == 0 ? 0 : scale.shape.element_count() / count;
  const bool whole = per_matrix * count == scale.shape.element_count();
  const bool by_block = scale.name.ends_with("_scale_inv");
  QuantizedTensor found{.name = tensor.name, .shape = tensor.shape, .type = &require_quant_type("fp8")};
  found.params.scale_dtype = scale.dtype;
  found.parts = {&tensor, &scale};
  if (whole && by_block && per_matrix == blocks) {
    found.params.block_rows = block_rows;
    found.params.group = block_columns;
  } else if (whole && per_matrix == rows && !by_block) {
    found.params.block_rows = 1;
    found.params.group = std::max<int64_t>(1, columns);
  } else if (whole && per_matrix == 1) {
    found.params.block_rows = std::max<int64_t>(1, rows);
    found.params.group = std::max<int64_t>(1, columns);
  } else {
    fail(ErrorCode::kInvalid, "{}: shape {}, expected {} for {} {} in {}", scale.name, scale.shape.to_string(),
         by_block ? fmt::format("a scale for each block of {} x {}", block_rows, block_columns)
                  : "a scale a row, or one in all",
         tensor.name, tensor.shape.to_string(), file_name(scale));
  }
  return found;
}

}  // namespace glimmer
