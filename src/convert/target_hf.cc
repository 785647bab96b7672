// A folder of Hugging Face's: config.json, tokenizer files, safetensors of at most 5 GB. Floats, fp8 (blocks of 128 x
// 128, `weight_scale_inv`) and nf4 (bitsandbytes).
#include <algorithm>

#include "base/error.h"
#include "convert/safetensors_folder.h"
#include "convert/targets.h"

namespace glimmer::convert {
namespace {

bool is_float(const QuantType& type) { return type.name == "f32" || type.name == "f16" || type.name == "bf16"; }

// transformers keeps the correction bias in f32 whatever the model's dtype is.
const QuantType& vector_type(const ConvertMatrix& matrix, const QuantType& type, const QuantType& stored) {
  if (matrix.name.ends_with("e_score_correction_bias")) return require_quant_type("f32");
  if (is_float(type)) return type;
  return is_float(stored) && stored.name != "f32" ? stored : require_quant_type("bf16");
}

bool any_is(std::span<const ConvertMatrix> matrices, std::string_view type) {
  return std::any_of(matrices.begin(), matrices.end(), [&](const auto& matrix) { return matrix.type->name == type; });
}

Json quantization_config(std::span<const ConvertMatrix> matrices) {
  Json kept = Json::array();
  for (const ConvertMatrix& matrix : matrices) {
    if (matrix.is_vector() || !is_float(*matrix.type) || !matrix.name.ends_with(".weight")) continue;
    kept.push_back(matrix.name.substr(0, matrix.name.size() - std::string_view(".weight").size()));
  }
  if (any_is(matrices, "fp8")) {
    return {{"quant_method", "fp8"},
            {"fmt", "e4m3"},
            {"activation_scheme", "dynamic"},
            {"weight_block_size", {128, 128}},
            {"modules_to_not_convert", kept}};
  }
  return {{"quant_method", "bitsandbytes"},
          {"_load_in_4bit", true},
          {"load_in_4bit", true},
          {"_load_in_8bit", false},
          {"load_in_8bit", false},
          {"bnb_4bit_quant_type", "nf4"},
          {"bnb_4bit_use_double_quant", false},
          {"bnb_4bit_quant_storage", "uint8"},
          {"bnb_4bit_compute_dtype", "bfloat16"},
          {"llm_int8_skip_modules", kept}};
}

OutputPlan plan(const ConvertInput& input, std::span<ConvertMatrix> matrices) {
  OutputPlan plan;
  std::vector<SafetensorsUnit> units;
  const QuantType* floats = nullptr;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const ConvertMatrix& matrix = matrices[i];
    const bool bare = is_float(*matrix.type) || !matrix.name.ends_with(".weight");
    const std::string path =
        bare ? matrix.name : matrix.name.substr(0, matrix.name.size() - std::string_view(".weight").size());
    units.push_back({.path = path, .members = {i}, .is_bare = bare});
    if (floats == nullptr && matrix.name == "model.norm.weight") floats = matrix.type;
  }
  plan_safetensors(matrices, units, kMaxShardBytes, "pt", plan);
  Json config = config_without_quantization(input.config_json);
  const char* dtype_field = config.contains("torch_dtype") && !config.contains("dtype") ? "torch_dtype" : "dtype";
  if (floats != nullptr) config[dtype_field] = torch_dtype_name(*floats);
  const bool fp8 = any_is(matrices, "fp8");
  const bool nf4 = any_is(matrices, "nf4");
  if (fp8 && nf4) {
    fail(ErrorCode::kUnsupported, "a Hugging Face folder is quantised by one method: fp8 or nf4, not both");
  }
  if (fp8 || nf4) config["quantization_config"] = quantization_config(matrices);
  copy_side_files(input, config, plan);
  return plan;
}

}  // namespace

extern const Target kHfTarget = {.format = "hf",
                                 .is_folder = true,
                                 .types = {"f32", "f16", "bf16", "fp8", "nf4"},
                                 .vector_type = vector_type,
                                 .plan = plan};

}  // namespace glimmer::convert
