// An MLX folder as mlx-lm writes it (docs/formats.md): experts of a layer stacked in switch_mlp, kv_b_proj in embed_q
// and unembed_out, matrices that are not of the type asked for listed in config.json's `quantization`.
#include <algorithm>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "convert/safetensors_folder.h"
#include "convert/targets.h"

namespace glimmer::convert {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kExperts = ".mlp.experts.";

bool is_float(const QuantType& type) { return type.name == "f32" || type.name == "f16" || type.name == "bf16"; }

// Routers, norms and vectors stay in the model's element type; mlx-lm exempts the correction bias from casts.
const QuantType& vector_type(const ConvertMatrix& matrix, const QuantType& type, const QuantType& stored) {
  if (matrix.name.ends_with("e_score_correction_bias")) return require_quant_type("f32");
  if (is_float(type)) return type;
  return is_float(stored) && stored.name != "f32" ? stored : require_quant_type("bf16");
}

std::string without_weight(std::string_view name) {
  if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
  return std::string(name);
}

// Of an expert's matrix: the module of the stack that it goes into, and its place there. Else nothing.
struct InStack {
  std::string module;
  size_t index = 0;
};
std::optional<InStack> stack_of(std::string_view name) {
  const size_t at = name.find(kExperts);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = name.substr(at + kExperts.size());
  size_t digits = 0;
  size_t index = 0;
  while (digits < rest.size() && digits < 6 && rest[digits] >= '0' && rest[digits] <= '9') {
    index = 10 * index + static_cast<size_t>(rest[digits++] - '0');
  }
  if (digits == 0 || digits == rest.size() || rest[digits] != '.') return std::nullopt;
  const std::string projection = without_weight(rest.substr(digits + 1));
  return InStack{std::string(name.substr(0, at)) + ".mlp.switch_mlp." + projection, index};
}

// A matrix of each head, one under the other.
int64_t heads_of(const ConvertInput& input, std::string_view name) {
  const bool by_head = name.ends_with(".self_attn.embed_q.weight") || name.ends_with(".self_attn.unembed_out.weight");
  return by_head ? input.config.num_attention_heads : 0;
}

void check_stack(const std::string& module, std::span<const ConvertMatrix> matrices,
                 const std::vector<size_t>& members) {
  const ConvertMatrix& first = matrices[members.front()];
  for (const size_t member : members) {
    const ConvertMatrix& matrix = matrices[member];
    if (matrix.type == first.type && matrix.params == first.params && matrix.shape == first.shape) continue;
    fail(ErrorCode::kUnsupported,
         "{}: MLX stacks the experts of a layer in {}, so they must be of one type: {} {} here, {} {} in {}",
         matrix.name, module, matrix.type->name, matrix.shape.to_string(), first.type->name, first.shape.to_string(),
         first.name);
  }
}

// What config.json says of a quantised module.
Json parameters(const ConvertMatrix& matrix) {
  const int64_t group = matrix.type->layout(matrix.params, matrix.columns()).group;
  return {{"group_size", group}, {"bits", matrix.type->name.back() - '0'}, {"mode", "affine"}};
}

// Modules in the order of the source, experts gathered into stacks in the order of their numbers.
std::vector<SafetensorsUnit> gather(const ConvertInput& input, std::span<const ConvertMatrix> matrices) {
  std::vector<SafetensorsUnit> units;
  std::map<std::string, size_t> unit_of_stack;
  std::map<std::string, std::map<size_t, size_t>> members_of_stack;  // place -> matrix
  for (size_t i = 0; i < matrices.size(); ++i) {
    const ConvertMatrix& matrix = matrices[i];
    if (const auto place = stack_of(matrix.name)) {
      const auto [at, is_new] = unit_of_stack.emplace(place->module, units.size());
      if (is_new) units.push_back({.path = place->module, .is_stack = true});
      members_of_stack[place->module][place->index] = i;
      continue;
    }
    const bool is_weight = matrix.name.ends_with(kWeight) && !matrix.is_vector();
    units.push_back({.path = is_weight ? without_weight(matrix.name) : matrix.name,
                     .members = {i},
                     .heads = heads_of(input, matrix.name),
                     .is_bare = !is_weight});
  }
  for (auto& [module, places] : members_of_stack) {
    SafetensorsUnit& unit = units[unit_of_stack.at(module)];
    for (const auto& [index, matrix] : places) {
      if (index != unit.members.size()) {
        fail(ErrorCode::kInvalid, "{}: expert {} is missing, which the stack {} needs", input.source.path().string(),
             unit.members.size(), module);
      }
      unit.members.push_back(matrix);
    }
    check_stack(module, matrices, unit.members);
  }
  return units;
}

// The section `quantization`: the parameters that most modules have, and an entry for every module with others or none.
Json quantization(std::span<const ConvertMatrix> matrices, std::span<const SafetensorsUnit> units) {
  std::map<std::string, size_t> count;  // of modules, by parameters
  for (const SafetensorsUnit& unit : units) {
    const ConvertMatrix& matrix = matrices[unit.members.front()];
    if (!is_float(*matrix.type)) ++count[dump_json(parameters(matrix))];
  }
  if (count.empty()) return {};
  const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
  const Json usual = parse_json(std::max_element(count.begin(), count.end(), fewer)->first, "quantization");
  Json section = usual;
  for (const SafetensorsUnit& unit : units) {
    const ConvertMatrix& matrix = matrices[unit.members.front()];
    if (unit.is_bare || matrix.name.ends_with(".mlp.gate.weight")) continue;  // no module that MLX quantises
    if (is_float(*matrix.type)) {
      section[unit.path] = false;
    } else if (Json own = parameters(matrix); own != usual) {
      section[unit.path] = std::move(own);
    }
  }
  return section;
}

// MLX's scales have the element type of the rest of the model, which is that of its norms.
void follow_element_type(std::span<ConvertMatrix> matrices, const QuantType& element_type) {
  const DType dtype = element_type.name == "f16"   ? DType::kF16
                      : element_type.name == "f32" ? DType::kF32
                                                   : DType::kBF16;
  for (ConvertMatrix& matrix : matrices) {
    const EncodedMatrix& stored = matrix.pieces.front().data;
    const bool kept = stored.type == matrix.type && stored.params == matrix.params;
    if (!is_float(*matrix.type) && !kept) matrix.params.scale_dtype = dtype;
  }
}

OutputPlan plan(const ConvertInput& input, std::span<ConvertMatrix> matrices) {
  OutputPlan plan;
  Json config = config_without_quantization(input.config_json);
  const char* dtype_field = config.contains("torch_dtype") && !config.contains("dtype") ? "torch_dtype" : "dtype";
  for (const ConvertMatrix& matrix : matrices) {
    if (matrix.name != "model.norm.weight") continue;
    config[dtype_field] = torch_dtype_name(*matrix.type);
    follow_element_type(matrices, *matrix.type);
  }
  const std::vector<SafetensorsUnit> units = gather(input, matrices);
  plan_safetensors(matrices, units, kMaxShardBytes, "mlx", plan);
  if (Json section = quantization(matrices, units); !section.is_null()) {
    config["quantization"] = section;
    config["quantization_config"] = std::move(section);
  }
  copy_side_files(input, config, plan);
  return plan;
}

}  // namespace

extern const Target kMlxTarget = {.format = "mlx",
                                  .is_folder = true,
                                  .split_kv_b = true,
                                  .types = {"f32", "f16", "bf16", "mlx2", "mlx3", "mlx4", "mlx5", "mlx6", "mlx8"},
                                  .vector_type = vector_type,
                                  .plan = plan};

}  // namespace glimmer::convert
