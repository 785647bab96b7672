#include "source/packed_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/name_table.h"
#include "quant/nf4.h"

namespace glimmer {
namespace {

constexpr int64_t kMaxExtent = (int64_t{1} << 31) - 1;
constexpr size_t kMaxStateBytes = 4096;  // of bitsandbytes' quant_state

std::string file_name(const TensorInfo& tensor) { return std::filesystem::path(tensor.file).filename().string(); }

std::string described(const TensorInfo& tensor) {
  return fmt::format("{} {}", dtype_name(tensor.dtype), tensor.shape.to_string());
}

template <typename... Args>
[[noreturn]] void fail_tensor(ErrorCode code, const TensorInfo& tensor, fmt::format_string<Args...> format,
                              Args&&... args) {
  fail(code, "{}: {} in {}", quoted_name(tensor.name), fmt::format(format, std::forward<Args>(args)...),
       file_name(tensor));
}

void expect_dtype(const TensorInfo& tensor, std::initializer_list<DType> dtypes) {
  if (std::find(dtypes.begin(), dtypes.end(), tensor.dtype) != dtypes.end()) return;
  fail_tensor(ErrorCode::kInvalid, tensor, "dtype {}, expected {}", dtype_name(tensor.dtype),
              list_names(dtypes, dtype_name));
}

// So that products of extents, and rows as 32-bit numbers, cannot overflow; an empty matrix cannot be packed.
void expect_extents(const TensorInfo& tensor, int rank, int other_rank) {
  if (tensor.shape.rank() != rank && tensor.shape.rank() != other_rank) {
    fail_tensor(ErrorCode::kInvalid, tensor, "shape {}, expected {} extents", tensor.shape.to_string(), rank);
  }
  for (const int64_t extent : tensor.shape.dims()) {
    if (extent < 1 || extent > kMaxExtent) {
      fail_tensor(ErrorCode::kLimit, tensor, "shape {}, extents must be from 1 to {}", tensor.shape.to_string(),
                  kMaxExtent);
    }
  }
}

template <typename T>
T load(const TensorInfo& tensor, int64_t index) {
  T value;
  std::memcpy(&value, tensor.data.data() + index * static_cast<int64_t>(sizeof value), sizeof value);
  return value;
}

bool take_suffix(std::string_view& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  return true;
}

// The parts have the sizes that the type asks for.
void expect_sizes(const PackedMatrix& matrix) {
  const std::vector<QuantPart> parts = matrix.type->parts(matrix.params, matrix.rows, matrix.columns);
  for (size_t i = 0; i < matrix.parts.size(); ++i) {
    const TensorInfo& tensor = *matrix.parts[i];
    if (tensor.data.size() == dtype_bytes(parts[i].dtype, parts[i].shape.element_count())) continue;
    fail_tensor(ErrorCode::kInvalid, tensor, "{}, expected {} {} for a matrix [{}, {}] of type {}", described(tensor),
                dtype_name(parts[i].dtype), parts[i].shape.to_string(), matrix.rows, matrix.columns, matrix.type->name);
  }
}

// Columns divide into groups, and both are what layouts have.
void expect_columns(const TensorInfo& tensor, int64_t columns, int64_t group, int64_t rows) {
  if (columns > kMaxExtent || rows > kMaxExtent) {
    fail_tensor(ErrorCode::kLimit, tensor, "a matrix [{}, {}]; extents must be below 2^31", rows, columns);
  }
  const bool known = group == 16 || group == 32 || group == 64 || group == 128 || group == 256 || group == columns;
  if (columns % 32 == 0 && known && columns % group == 0) return;
  fail_tensor(
      ErrorCode::kUnsupported, tensor,
      "{} columns in groups of {}; columns must be a multiple of 32 and of the group, known groups: 16, 32, 64, "
      "128, 256, a whole row",
      columns, group);
}

}  // namespace

// A first part, and where the others are looked up.
struct PackedMatrices::Context {
  const Checkpoint& checkpoint;
  const TensorInfo& first;
  std::string module;

  const TensorInfo* find(std::string_view suffix) const { return checkpoint.find(module + std::string(suffix)); }
  const TensorInfo& require(std::string_view suffix) const {
    if (const TensorInfo* tensor = find(suffix); tensor != nullptr) return *tensor;
    fail_tensor(ErrorCode::kInvalid, first, "quantised, but there is no {}{}", module, suffix);
  }
};

namespace {

// Typed fields of the section of config.json.
class Section {
 public:
  Section(const Json& object, std::string_view source, std::string field)
      : object_(&object), source_(source), field_(std::move(field)) {}

  int64_t require_int(std::string_view name) const {
    const auto found = object_->find(name);
    if (found == object_->end() || !found->is_number_integer()) refuse(name, "a whole number");
    if (found->is_number_unsigned() && found->get<uint64_t>() > kMaxExtent) refuse(name, "a whole number below 2^31");
    return found->get<int64_t>();
  }
  bool bool_or(std::string_view name, bool fallback) const {
    const auto found = object_->find(name);
    if (found == object_->end() || found->is_null()) return fallback;
    if (!found->is_boolean()) refuse(name, "true or false");
    return found->get<bool>();
  }
  std::string text_or(std::string_view name, std::string_view fallback) const {
    const auto found = object_->find(name);
    if (found == object_->end() || found->is_null()) return std::string(fallback);
    if (!found->is_string()) refuse(name, "text");
    return found->get<std::string>();
  }
  // The value if it is among the known.
  std::string known_text(std::string_view name, std::string_view fallback,
                         std::initializer_list<std::string_view> known) const {
    std::string value = text_or(name, fallback);
    for (const std::string_view one : known) {
      if (value == one) return value;
    }
    fail(ErrorCode::kUnsupported, "{}: field {}.{} is {}, known: {}", source_, field_, name, quoted_name(value),
         fmt::join(known, ", "));
  }
  // `group_size`: -1 is a whole row.
  int64_t group(int64_t columns) const {
    const int64_t value = require_int("group_size");
    if (value != -1 && value < 1) refuse("group_size", "-1 or a number above 0");
    return value == -1 ? columns : value;
  }
  [[noreturn]] void refuse(std::string_view name, std::string_view expected) const {
    const auto found = object_->find(name);
    fail(ErrorCode::kInvalid, "{}: field {}.{} {}, expected {}", source_, field_, name,
         found == object_->end() ? "is missing" : "is " + quoted_name(dump_json(*found)), expected);
  }

 private:
  const Json* object_;
  std::string source_;
  std::string field_;
};

}  // namespace

PackedMatrices::PackedMatrices(const Json& config, std::string_view source) : source_(source) {
  const auto mlx = config.find("quantization");
  if (mlx != config.end() && !mlx->is_null()) {
    if (!mlx->is_object()) fail(ErrorCode::kInvalid, "{}: field quantization: expected an object", source_);
    quantization_ = *mlx;
    field_ = "quantization";
    method_ = Method::kMlx;
    return;
  }
  const auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) return;
  if (!found->is_object()) fail(ErrorCode::kInvalid, "{}: field quantization_config: expected an object", source_);
  quantization_ = *found;
  field_ = "quantization_config";
  if (!found->contains("quant_method") && found->contains("bits") && found->contains("group_size")) {
    method_ = Method::kMlx;
    return;
  }
  const std::string name =
      Section(quantization_, source_, field_)
          .known_text("quant_method", "", {"fp8", "compressed-tensors", "awq", "gptq", "bitsandbytes", "modelopt"});
  if (name == "bitsandbytes") method_ = Method::kBitsAndBytes;
  if (name == "awq") method_ = Method::kAwq;
  if (name == "gptq") method_ = Method::kGptq;
  if (name == "compressed-tensors") method_ = Method::kCompressedTensors;
  if (name == "modelopt") method_ = Method::kModelOpt;
}

std::optional<std::string_view> PackedMatrices::module_of(const Checkpoint& checkpoint,
                                                          const TensorInfo& tensor) const {
  std::string_view module = tensor.name;
  if (take_suffix(module, ".qweight") || take_suffix(module, ".weight_packed")) return module;
  if (!take_suffix(module, ".weight")) return std::nullopt;
  const auto has = [&](std::string_view suffix) {
    return checkpoint.find(std::string(module) + std::string(suffix)) != nullptr;
  };
  const bool packed = (tensor.dtype == DType::kU32 && has(".scales")) || has(".weight.absmax") ||
                      (tensor.dtype == DType::kU8 && has(".weight_scale_2")) ||
                      (tensor.dtype == DType::kI8 && has(".SCB"));
  return packed ? std::optional(module) : std::nullopt;
}

bool PackedMatrices::is_further_part(const Checkpoint& checkpoint, std::string_view name) const {
  struct Part {
    std::string_view suffix;
    std::string_view first;
  };
  static constexpr std::array kParts = {
      Part{".scales", ".weight"},  // MLX
      Part{".biases", ".weight"},
      Part{".scales", ".qweight"},  // AWQ, GPTQ
      Part{".qzeros", ".qweight"},
      Part{".g_idx", ".qweight"},
      Part{".weight_scale", ".weight_packed"},  // compressed-tensors
      Part{".weight_shape", ".weight_packed"},
      Part{".weight_zero_point", ".weight_packed"},
      Part{".weight_g_idx", ".weight_packed"},
      Part{".weight_global_scale", ".weight_packed"},
      Part{".input_global_scale", ".weight_packed"},
      Part{".weight_scale", ".weight"},  // modelopt
      Part{".weight_scale_2", ".weight"},
      Part{".input_scale", ".weight"},
      Part{".weight.absmax", ".weight"},  // bitsandbytes
      Part{".weight.quant_map", ".weight"},
      Part{".weight.nested_absmax", ".weight"},
      Part{".weight.nested_quant_map", ".weight"},
      Part{".weight.quant_state.bitsandbytes__nf4", ".weight"},
      Part{".weight.quant_state.bitsandbytes__fp4", ".weight"},
      Part{".SCB", ".weight"},
      Part{".weight_format", ".weight"},
  };
  for (const Part& part : kParts) {
    std::string_view module = name;
    if (!take_suffix(module, part.suffix)) continue;
    const TensorInfo* first = checkpoint.find(std::string(module) + std::string(part.first));
    if (first != nullptr && module_of(checkpoint, *first)) return true;
  }
  return false;
}

std::optional<PackedMatrix> PackedMatrices::matrix(const Checkpoint& checkpoint, const TensorInfo& tensor) const {
  const auto module = module_of(checkpoint, tensor);
  if (!module) return std::nullopt;
  const Context context{checkpoint, tensor, std::string(*module)};
  const std::string_view suffix = std::string_view(tensor.name).substr(module->size());
  const auto packed_as = [&](Method method) { return method_ == method; };
  if (suffix == ".qweight" && packed_as(Method::kAwq)) return awq(context);
  if (suffix == ".qweight" && packed_as(Method::kGptq)) return gptq(context);
  if (suffix == ".weight_packed" && packed_as(Method::kCompressedTensors)) return compressed_tensors(context);
  if (suffix == ".weight" && packed_as(Method::kMlx) && tensor.dtype == DType::kU32) return mlx(context);
  if (suffix == ".weight" && packed_as(Method::kBitsAndBytes)) return bits_and_bytes(context);
  if (suffix == ".weight" && packed_as(Method::kModelOpt) && tensor.dtype == DType::kU8) return modelopt(context);
  fail_tensor(ErrorCode::kInvalid, tensor, "{}, packed with its scales beside it, which {} of {} does not explain",
              described(tensor), field_.empty() ? "quantization_config" : field_, source_);
}

PackedMatrix PackedMatrices::mlx(const Context& context) const {
  const TensorInfo& codes = context.first;
  const TensorInfo& scales = context.require(".scales");
  expect_extents(codes, 2, 3);
  expect_extents(scales, 2, 3);

  // A module's own entry, else the section's fields.
  Section section(quantization_, source_, field_);
  if (const auto own = quantization_.find(context.module); own != quantization_.end()) {
    if (own->is_boolean() && !own->get<bool>()) {
      fail_tensor(ErrorCode::kInvalid, codes, "quantised, but {}.{} of {} is false", field_, context.module, source_);
    }
    if (own->is_object()) section = Section(*own, source_, fmt::format("{}.{}", field_, context.module));
    if (!own->is_object() && !own->is_boolean()) section.refuse(context.module, "an object or false");
  }
  const std::string mode = section.known_text("mode", "affine", {"affine", "mxfp4", "nvfp4"});
  const int64_t bits = section.require_int("bits");
  const int64_t group = section.require_int("group_size");
  static constexpr std::array<int64_t, 6> kBits = {2, 3, 4, 5, 6, 8};
  if (std::find(kBits.begin(), kBits.end(), bits) == kBits.end()) section.refuse("bits", "one of 2, 3, 4, 5, 6, 8");
  if (group < 1 || group > 128) section.refuse("group_size", "one of 32, 64, 128");

  const int rank = codes.shape.rank();
  const int64_t words = codes.shape[rank - 1];
  const int64_t columns = scales.shape[scales.shape.rank() - 1] * group;
  const int64_t rows = codes.shape.element_count() / words;
  if (scales.shape.rank() != rank || words * 32 != columns * bits ||
      scales.shape.element_count() / scales.shape[rank - 1] != rows) {
    fail_tensor(
        ErrorCode::kInvalid, codes, "{} with scales {}, but {} of {} says {} bits in groups of {}{}", described(codes),
        described(scales), field_, source_, bits, group,
        columns > 0 && words * 32 % columns == 0 ? fmt::format(" (the shapes say {} bits)", words * 32 / columns) : "");
  }
  PackedMatrix matrix{.stack = rank == 3 ? codes.shape[0] : 0, .rows = rows, .columns = columns};
  expect_columns(codes, columns, group, rows);
  if (mode != "affine") {
    expect_dtype(scales, {DType::kU8});
    matrix.type = &require_quant_type(mode == "mxfp4" ? "mlx_mxfp4" : "nvfp4");
    if (bits != 4) section.refuse("bits", "4");
    if (group != (mode == "mxfp4" ? 32 : 16)) section.refuse("group_size", mode == "mxfp4" ? "32" : "16");
    matrix.parts = {&codes, &scales};
  } else {
    if (group != 32 && group != 64 && group != 128) section.refuse("group_size", "one of 32, 64, 128");
    const TensorInfo& biases = context.require(".biases");
    expect_dtype(scales, {DType::kF16, DType::kBF16, DType::kF32});
    expect_dtype(biases, {scales.dtype});
    matrix.type = &require_quant_type(fmt::format("mlx{}", bits));
    matrix.params = {.bits = static_cast<int>(bits), .group = group, .scale_dtype = scales.dtype};
    matrix.parts = {&codes, &scales, &biases};
  }
  expect_sizes(matrix);
  return matrix;
}

PackedMatrix PackedMatrices::awq(const Context& context) const {
  const Section section(quantization_, source_, field_);
  section.known_text("version", "gemm", {"gemm", "GEMM"});
  if (section.require_int("bits") != 4) section.refuse("bits", "4");
  if (!section.bool_or("zero_point", true)) section.refuse("zero_point", "true");
  const TensorInfo& codes = context.first;
  const TensorInfo& scales = context.require(".scales");
  expect_extents(codes, 2, 2);
  expect_dtype(codes, {DType::kI32});
  expect_dtype(scales, {DType::kF16, DType::kBF16});
  PackedMatrix matrix{.rows = codes.shape[1] * 8, .columns = codes.shape[0]};
  const int64_t group = section.group(matrix.columns);
  expect_columns(codes, matrix.columns, group, matrix.rows);
  matrix.type = &require_quant_type("awq");
  matrix.params = {.bits = 4, .group = group, .scale_dtype = scales.dtype, .symmetric = false};
  matrix.parts = {&codes, &context.require(".qzeros"), &scales};
  expect_dtype(*matrix.parts[1], {DType::kI32});
  expect_sizes(matrix);
  return matrix;
}

namespace {

// Column c of the file must be column c of the matrix, in group c / group. A file made without desc_act is believed
// after its first and last entry, so that opening a model does not read a page for every row of every expert.
void expect_columns_in_order(const TensorInfo& g_idx, int64_t columns, int64_t group, bool desc_act) {
  expect_dtype(g_idx, {DType::kI32});
  if (g_idx.shape.element_count() != columns) {
    fail_tensor(ErrorCode::kInvalid, g_idx, "{}, expected {} entries", described(g_idx), columns);
  }
  for (int64_t i = 0; i < columns; i = desc_act || i == columns - 1 ? i + 1 : columns - 1) {
    const int32_t found = load<int32_t>(g_idx, i);
    if (found == i / group) continue;
    fail_tensor(ErrorCode::kUnsupported, g_idx,
                "entry {} is {}, expected {}: columns ordered by their activation (desc_act) are not supported; use a "
                "checkpoint made with desc_act false",
                i, found, i / group);
  }
}

// What to add to stored zero points. The first format stores zero - 1. Symmetric checkpoints have the one zero
// 2^(bits - 1), and some that call themselves the first format store it as it is, so the tensor decides.
int zero_offset_of(const Section& section, const TensorInfo& zeros, int bits, bool symmetric) {
  const std::string format = section.known_text("checkpoint_format", "gptq", {"gptq", "gptq_v2"});
  if (!symmetric) return format == "gptq" ? 1 : 0;
  const int half = 1 << (bits - 1);
  const auto stored = static_cast<int>(load<uint32_t>(zeros, 0) & ((1U << bits) - 1));
  if (stored == half || stored == half - 1) return half - stored;
  fail_tensor(ErrorCode::kInvalid, zeros, "the first zero point is {}, expected {} or {} in a symmetric checkpoint",
              stored, half - 1, half);
}

}  // namespace

PackedMatrix PackedMatrices::gptq(const Context& context) const {
  const Section section(quantization_, source_, field_);
  const int64_t bits = section.require_int("bits");
  if (bits != 4 && bits != 8) section.refuse("bits", "4 or 8");
  const TensorInfo& codes = context.first;
  const TensorInfo& zeros = context.require(".qzeros");
  const TensorInfo& scales = context.require(".scales");
  expect_extents(codes, 2, 2);
  expect_dtype(codes, {DType::kI32});
  expect_dtype(zeros, {DType::kI32});
  expect_dtype(scales, {DType::kF16, DType::kBF16, DType::kF32});
  PackedMatrix matrix{.rows = codes.shape[1], .columns = codes.shape[0] * (32 / bits)};
  const int64_t group = section.group(matrix.columns);
  expect_columns(codes, matrix.columns, group, matrix.rows);
  if (matrix.rows % (32 / bits) != 0) {
    fail_tensor(ErrorCode::kInvalid, codes, "{} rows, expected a multiple of {}", matrix.rows, 32 / bits);
  }
  if (const TensorInfo* g_idx = context.find(".g_idx"); g_idx != nullptr) {
    expect_columns_in_order(*g_idx, matrix.columns, group, section.bool_or("desc_act", false));
  }
  matrix.type = &require_quant_type("gptq");
  matrix.params = {.bits = static_cast<int>(bits), .group = group, .scale_dtype = scales.dtype, .symmetric = false};
  matrix.parts = {&codes, &zeros, &scales};
  expect_sizes(matrix);
  matrix.params.zero_offset = zero_offset_of(section, zeros, static_cast<int>(bits), section.bool_or("sym", false));
  return matrix;
}

namespace {

// The `weights` of that config group which stores `bits` bits of `type`.
void expect_weights_of(const Json& quantization, std::string_view source, int64_t bits, std::string_view type,
                       const TensorInfo& tensor) {
  const auto groups = quantization.find("config_groups");
  if (groups == quantization.end() || !groups->is_object()) {
    fail(ErrorCode::kInvalid, "{}: field quantization_config.config_groups: expected an object", source);
  }
  for (const auto& [name, group] : groups->items()) {
    const auto weights = group.is_object() ? group.find("weights") : group.end();
    if (!group.is_object() || weights == group.end() || !weights->is_object()) continue;
    const Section section(*weights, source, fmt::format("quantization_config.config_groups.{}.weights", name));
    if (section.require_int("num_bits") == bits && section.text_or("type", "int") == type) return;
  }
  fail_tensor(ErrorCode::kInvalid, tensor,
              "{} says {} bits of type {}, but no group of quantization_config in {} has them", described(tensor), bits,
              type, source);
}

// A finite scale above 0, from a tensor of one value.
float one_scale(const TensorInfo& tensor) {
  expect_dtype(tensor, {DType::kF32});
  if (tensor.shape.element_count() != 1) {
    fail_tensor(ErrorCode::kInvalid, tensor, "{}, expected one value", described(tensor));
  }
  const float value = load<float>(tensor, 0);
  if (!(value > 0) || !std::isfinite(value) || !std::isfinite(1 / value)) {
    fail_tensor(ErrorCode::kInvalid, tensor, "value {}, expected a number above 0", value);
  }
  return value;
}

PackedMatrix nvfp4_matrix(const TensorInfo& codes, const TensorInfo& scales, float tensor_scale) {
  expect_extents(codes, 2, 2);
  expect_dtype(codes, {DType::kU8});
  expect_dtype(scales, {DType::kF8E4M3});
  PackedMatrix matrix{.type = &require_quant_type("nvfp4"),
                      .params = {.bits = 4, .group = 16, .tensor_scale = tensor_scale},
                      .rows = codes.shape[0],
                      .columns = codes.shape[1] * 2,
                      .parts = {&codes, &scales}};
  expect_columns(codes, matrix.columns, 16, matrix.rows);
  expect_sizes(matrix);
  return matrix;
}

}  // namespace

PackedMatrix PackedMatrices::compressed_tensors(const Context& context) const {
  const TensorInfo& codes = context.first;
  const TensorInfo& scales = context.require(".weight_scale");
  if (codes.dtype == DType::kU8) {
    expect_weights_of(quantization_, source_, 4, "float", codes);
    return nvfp4_matrix(codes, scales, 1 / one_scale(context.require(".weight_global_scale")));
  }
  if (const TensorInfo* g_idx = context.find(".weight_g_idx"); g_idx != nullptr) {
    fail_tensor(ErrorCode::kUnsupported, *g_idx,
                "columns ordered by their activation (actorder group) are not supported");
  }
  const TensorInfo& shape = context.require(".weight_shape");
  expect_extents(codes, 2, 2);
  expect_extents(scales, 2, 2);
  expect_dtype(codes, {DType::kI32});
  expect_dtype(scales, {DType::kF16, DType::kBF16, DType::kF32});
  expect_dtype(shape, {DType::kI64});
  if (shape.shape.element_count() != 2) {
    fail_tensor(ErrorCode::kInvalid, shape, "{}, expected I64 [2]", described(shape));
  }
  PackedMatrix matrix{.rows = load<int64_t>(shape, 0), .columns = load<int64_t>(shape, 1)};
  const int64_t words = codes.shape[1];
  const int64_t groups = scales.shape[1];
  if (matrix.rows != codes.shape[0] || matrix.columns < 1 || matrix.columns > kMaxExtent ||
      words * 32 % matrix.columns != 0 || matrix.columns % groups != 0) {
    fail_tensor(ErrorCode::kInvalid, shape, "[{}, {}], but the codes are {} and the scales {}", matrix.rows,
                matrix.columns, described(codes), described(scales));
  }
  const int64_t bits = words * 32 / matrix.columns;
  if (bits != 4 && bits != 8) {
    fail_tensor(ErrorCode::kUnsupported, codes, "packed integers of {} bits, known: 4, 8", bits);
  }
  expect_weights_of(quantization_, source_, bits, "int", codes);
  const TensorInfo* zeros = context.find(".weight_zero_point");
  expect_columns(codes, matrix.columns, matrix.columns / groups, matrix.rows);
  matrix.type = &require_quant_type("ct_int");
  matrix.params = {.bits = static_cast<int>(bits),
                   .group = matrix.columns / groups,
                   .scale_dtype = scales.dtype,
                   .symmetric = zeros == nullptr};
  matrix.parts = {&codes, &scales, &shape};
  if (zeros != nullptr) {
    expect_dtype(*zeros, {DType::kI32});
    matrix.parts.push_back(zeros);
  }
  expect_sizes(matrix);
  return matrix;
}

PackedMatrix PackedMatrices::modelopt(const Context& context) const {
  Section(quantization_, source_, field_).known_text("quant_algo", "", {"NVFP4"});
  return nvfp4_matrix(context.first, context.require(".weight_scale"), one_scale(context.require(".weight_scale_2")));
}

namespace {

// What bitsandbytes writes beside a matrix, as JSON.
struct QuantState {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t block = 0;
  bool nested = false;
  float offset = 0;
};

QuantState read_quant_state(const TensorInfo& tensor) {
  expect_dtype(tensor, {DType::kU8});
  if (tensor.data.size() > kMaxStateBytes) {
    fail_tensor(ErrorCode::kLimit, tensor, "{} bytes, at most {}", tensor.data.size(), kMaxStateBytes);
  }
  const std::string_view text(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
  const std::string label = fmt::format("{}: {}", file_name(tensor), quoted_name(tensor.name));
  const Json json = parse_json(text, label);
  if (!json.is_object()) fail(ErrorCode::kInvalid, "{}: expected a JSON object", label);
  const Section section(json, label, "quant_state");
  section.known_text("quant_type", "", {"nf4"});
  QuantState state{.block = section.require_int("blocksize")};
  if (state.block != 64 && state.block != 128 && state.block != 256) {
    fail_tensor(ErrorCode::kUnsupported, tensor, "blocks of {}, known: 64, 128, 256", state.block);
  }
  const auto shape = json.find("shape");
  if (shape == json.end() || !shape->is_array() || shape->size() != 2) section.refuse("shape", "two whole numbers");
  const auto extent = [&](size_t i) {
    if (!(*shape)[i].is_number_unsigned() || (*shape)[i].get<uint64_t>() > kMaxExtent) {
      section.refuse("shape", "two whole numbers below 2^31");
    }
    return (*shape)[i].get<int64_t>();
  };
  state.rows = extent(0);
  state.columns = extent(1);
  state.nested = json.contains("nested_offset");
  if (!state.nested) return state;
  if (section.require_int("nested_blocksize") != 256) section.refuse("nested_blocksize", "256");
  section.known_text("nested_dtype", "float32", {"float32"});
  if (!json["nested_offset"].is_number()) section.refuse("nested_offset", "a number");
  state.offset = json["nested_offset"].get<float>();
  if (!std::isfinite(state.offset)) section.refuse("nested_offset", "a finite number");
  return state;
}

}  // namespace

PackedMatrix PackedMatrices::bits_and_bytes(const Context& context) const {
  const TensorInfo& codes = context.first;
  if (context.find(".SCB") != nullptr) {
    fail_tensor(ErrorCode::kUnsupported, codes, "8-bit integers of bitsandbytes (LLM.int8) are not supported, NF4 is");
  }
  if (context.find(".weight.quant_state.bitsandbytes__fp4") != nullptr) {
    fail_tensor(ErrorCode::kUnsupported, codes, "4-bit type fp4 of bitsandbytes is not supported, nf4 is");
  }
  const QuantState state = read_quant_state(context.require(".weight.quant_state.bitsandbytes__nf4"));
  PackedMatrix matrix{.rows = state.rows, .columns = state.columns};
  if (state.rows < 1 || state.columns < 1 || state.columns % state.block != 0) {
    fail_tensor(ErrorCode::kUnsupported, codes, "a matrix [{}, {}] in blocks of {}: rows must be whole blocks",
                state.rows, state.columns, state.block);
  }
  const TensorInfo& map = context.require(".weight.quant_map");
  const std::span<const float, 16> table = nf4_table();
  expect_dtype(map, {DType::kF32});
  if (map.data.size() != table.size_bytes() || std::memcmp(map.data.data(), table.data(), map.data.size()) != 0) {
    fail_tensor(ErrorCode::kUnsupported, map, "another table than NF4's");
  }
  const TensorInfo& absmax = context.require(".weight.absmax");
  matrix.params = {.bits = 4, .group = state.block, .scale_offset = state.offset};
  if (state.nested) {
    expect_dtype(absmax, {DType::kU8});
    matrix.type = &require_quant_type("nf4_nested");
    matrix.parts = {&codes, &absmax, &context.require(".weight.nested_absmax"),
                    &context.require(".weight.nested_quant_map")};
    expect_dtype(*matrix.parts[2], {DType::kF32});
    expect_dtype(*matrix.parts[3], {DType::kF32});
  } else {
    expect_dtype(absmax, {DType::kF32});
    matrix.type = &require_quant_type("nf4");
    matrix.parts = {&codes, &absmax};  // its map and state are settled
  }
  expect_sizes(matrix);
  return matrix;
}

}  // namespace glimmer
