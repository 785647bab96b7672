#include "convert/recipe.h"

#include <algorithm>
#include <array>
#include <map>
#include <regex>

#include "base/error.h"
#include "base/name_table.h"
#include "base/quoted_name.h"
#include "model/summary.h"
#include "quant/fitting.h"

namespace glimmer::convert {
namespace {

constexpr std::string_view kKvB = ".self_attn.kv_b_proj.weight";
constexpr std::string_view kEmbedQ = ".self_attn.embed_q.weight";
constexpr std::string_view kUnembedOut = ".self_attn.unembed_out.weight";

bool is_float(const QuantType& type) { return type.name == "f32" || type.name == "f16" || type.name == "bf16"; }

void check_matrix(const SourceTensor& tensor, int64_t rows, int64_t columns, std::string_view fields) {
  if (tensor.data.type != nullptr && tensor.shape == Shape({rows, columns})) return;
  fail(ErrorCode::kInvalid, "{}: shape {} of {}, config.json says [{}, {}] ({}) of weights", tensor.name,
       tensor.shape.to_string(), dtype_name(tensor.stored_dtype), rows, columns, fields);
}

// The tensors that targets cut or stack must have the shapes that this is done by.
void check_shape(const SourceTensor& tensor, const ModelConfig& c) {
  const std::string_view name = tensor.name;
  const int64_t heads = c.num_attention_heads;
  if (name.ends_with(kKvB)) {
    check_matrix(tensor, heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank,
                 "num_attention_heads * (qk_nope_head_dim + v_head_dim), kv_lora_rank");
  } else if (name.ends_with(kEmbedQ)) {
    check_matrix(tensor, heads * c.kv_lora_rank, c.qk_nope_head_dim,
                 "num_attention_heads * kv_lora_rank, qk_nope_head_dim");
  } else if (name.ends_with(kUnembedOut)) {
    check_matrix(tensor, heads * c.v_head_dim, c.kv_lora_rank, "num_attention_heads * v_head_dim, kv_lora_rank");
  } else if (name.find(".mlp.experts.") != std::string_view::npos && tensor.shape.rank() != 2) {
    fail(ErrorCode::kInvalid, "{}: shape {}, expected a matrix", tensor.name, tensor.shape.to_string());
  }
}

// kv_b_proj out of its halves: of each head the keys, then the values.
ConvertMatrix joined_kv_b(const SourceTensor& keys, const SourceTensor& values, const ModelConfig& c) {
  const int64_t heads = c.num_attention_heads;
  ConvertMatrix matrix;
  matrix.name = keys.name.substr(0, keys.name.size() - kEmbedQ.size()) + std::string(kKvB);
  matrix.shape = {heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank};
  for (int64_t h = 0; h < heads; ++h) {
    matrix.pieces.push_back({keys.data.slice(h * c.kv_lora_rank, c.kv_lora_rank), true});
    matrix.pieces.push_back({values.data.slice(h * c.v_head_dim, c.v_head_dim)});
  }
  return matrix;
}

std::array<ConvertMatrix, 2> split_kv_b(const SourceTensor& kv_b, const ModelConfig& c) {
  const int64_t heads = c.num_attention_heads;
  const int64_t head_rows = c.qk_nope_head_dim + c.v_head_dim;
  const std::string prefix = kv_b.name.substr(0, kv_b.name.size() - kKvB.size());
  ConvertMatrix keys{.name = prefix + std::string(kEmbedQ), .shape = {heads * c.kv_lora_rank, c.qk_nope_head_dim}};
  ConvertMatrix values{.name = prefix + std::string(kUnembedOut), .shape = {heads * c.v_head_dim, c.kv_lora_rank}};
  for (int64_t h = 0; h < heads; ++h) {
    keys.pieces.push_back({kv_b.data.slice(h * head_rows, c.qk_nope_head_dim), true});
    values.pieces.push_back({kv_b.data.slice(h * head_rows + c.qk_nope_head_dim, c.v_head_dim)});
  }
  return {std::move(keys), std::move(values)};
}

// One step finer, for what few weights are in and many tokens pass through.
std::string_view finer_type(std::string_view type) {
  static const std::map<std::string_view, std::string_view> kFiner = {
      {"q2_k", "q4_k"}, {"q3_k", "q5_k"}, {"q4_k", "q6_k"}, {"q5_k", "q6_k"},   {"q6_k", "q8_0"},   {"q4_0", "q5_0"},
      {"q4_1", "q5_1"}, {"q5_0", "q8_0"}, {"q5_1", "q8_0"}, {"iq4_nl", "q5_k"}, {"iq4_xs", "q5_k"}, {"mxfp4", "q8_0"},
      {"mlx2", "mlx4"}, {"mlx3", "mlx5"}, {"mlx4", "mlx6"}, {"mlx5", "mlx6"},   {"mlx6", "mlx8"}};
  const auto found = kFiner.find(type);
  return found == kFiner.end() ? type : found->second;
}

bool holds(const Target& target, std::string_view type) {
  return std::find(target.types.begin(), target.types.end(), type) != target.types.end();
}

const QuantType& require_type(const Target& target, std::string_view name) {
  if (!holds(target, name)) {
    fail(ErrorCode::kUsage, "--type {}: format {} holds {}", quoted_name(name), target.format,
         fmt::join(target.types, ", "));
  }
  return require_quant_type(name);
}

const QuantType& eight_bit_type(const Target& target) {
  for (const char* name : {"q8_0", "mlx8", "q80"}) {
    if (holds(target, name)) return require_quant_type(name);
  }
  return require_quant_type("bf16");
}

// The finest float that all formats hold: bf16, or f32 where there is no bf16.
const QuantType& float_type(const Target& target) { return require_quant_type(holds(target, "bf16") ? "bf16" : "f32"); }

enum class Recipe { kBalanced, kUniform, kExperts };

struct NamedRecipe {
  std::string_view name;
  Recipe recipe;
};
constexpr std::array<NamedRecipe, 3> kRecipes = {
    {{"balanced", Recipe::kBalanced}, {"uniform", Recipe::kUniform}, {"experts", Recipe::kExperts}}};

Recipe parse_recipe(std::string_view name) {
  if (name.empty()) return Recipe::kBalanced;
  if (const NamedRecipe* found = find_named(kRecipes, name, &NamedRecipe::name)) return found->recipe;
  fail(ErrorCode::kUsage, "--recipe: unknown recipe {}; known: {}", quoted_name(name),
       list_names(kRecipes, &NamedRecipe::name));
}

TensorRole role_in_any_layer(const ConvertMatrix& matrix) {
  return tensor_role(matrix.name, std::numeric_limits<int64_t>::max());  // an MTP layer's tensors like the others
}

const QuantType& recipe_type(const Target& target, Recipe recipe, const QuantType& type, const ConvertMatrix& matrix) {
  if (recipe == Recipe::kUniform || is_float(type)) return type;
  const TensorRole role = role_in_any_layer(matrix);
  if (role == TensorRole::kRoutedExpert) return type;
  if (recipe == Recipe::kExperts) return eight_bit_type(target);
  if (role == TensorRole::kDenseMlp) return type;
  // 8-bit floats and NF4 have nothing finer: embedding and head stay floats, as published checkpoints have them.
  if (type.name == "fp8" || type.name == "nf4") {
    const bool is_end = role == TensorRole::kEmbedding || role == TensorRole::kHead || role == TensorRole::kOther;
    return is_end ? float_type(target) : type;
  }
  const std::string_view finer = finer_type(type.name);
  return holds(target, finer) ? require_quant_type(finer) : type;
}

struct Override {
  std::regex pattern;
  const QuantType* type;
};

std::vector<Override> parse_overrides(const Target& target, const std::vector<std::string>& texts) {
  std::vector<Override> overrides;
  for (const std::string& text : texts) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0) {
      fail(ErrorCode::kUsage, "--tensor-type: '{}' is not REGEX=TYPE", text);
    }
    try {
      overrides.push_back({std::regex(text.substr(0, equals)), &require_type(target, text.substr(equals + 1))});
    } catch (const std::regex_error& error) {
      fail(ErrorCode::kUsage, "--tensor-type: '{}' is no regular expression: {}", text.substr(0, equals), error.what());
    }
  }
  return overrides;
}

// The type itself, or what is written in its place in rows of this length.
const QuantType& fitting_type(const Target& target, const QuantType& type, const ConvertMatrix& matrix) {
  const QuantType* fitting = &type;
  while (!fits_columns(*fitting, matrix.columns())) {
    const std::string_view next = fallback_type(fitting->name);
    if (next.empty() || !holds(target, next)) return float_type(target);
    fitting = &require_quant_type(next);
  }
  return *fitting;
}

// Whether the target can hold a matrix as it is stored. Of pieces joined or transposed only floats stay what they are.
bool can_keep(const Target& target, const ConvertMatrix& matrix) {
  const EncodedMatrix& first = matrix.pieces.front().data;
  if (!holds(target, first.type->name)) return false;
  // A Hugging Face folder has one rule for all its quantised matrices.
  if (target.format == "hf" && !is_float(*first.type) && first.params != default_params(*first.type, first.columns)) {
    return false;
  }
  if (!is_float(*first.type)) {
    return matrix.pieces.size() == 1 && !matrix.pieces.front().transposed && first.type->encode != nullptr;
  }
  return std::all_of(matrix.pieces.begin(), matrix.pieces.end(),
                     [&](const ConvertPiece& piece) { return piece.data.type == first.type; });
}

}  // namespace

std::string recipe_help() {
  return "balanced (default: routed experts and dense MLPs get --type, the rest one step finer), uniform (all get "
         "--type), "
         "experts (routed experts get --type, the rest 8 bits)";
}

bool is_never_quantized(const ConvertMatrix& matrix) {
  if (matrix.is_vector()) return true;
  return role_in_any_layer(matrix) == TensorRole::kRouter;
}

std::vector<ConvertMatrix> convert_matrices(const ModelSource& source, const ModelConfig& config, const Target& target,
                                            std::vector<std::string>& notes) {
  std::vector<ConvertMatrix> matrices;
  for (const SourceTensor& tensor : source.tensors()) {
    if (tensor.shape.element_count() == 0) continue;
    check_shape(tensor, config);
    if (tensor.data.type == nullptr) {
      notes.push_back(
          fmt::format("{} is left out: {} is no type of weights", tensor.name, dtype_name(tensor.stored_dtype)));
      continue;
    }
    if (tensor.name.ends_with("rotary_emb.inv_freq")) continue;  // follows from config.json
    const std::string_view name = tensor.name;
    if (target.split_kv_b && name.ends_with(kKvB)) {
      for (ConvertMatrix& half : split_kv_b(tensor, config)) matrices.push_back(std::move(half));
    } else if (!target.split_kv_b && name.ends_with(kEmbedQ)) {
      const std::string prefix(name.substr(0, name.size() - kEmbedQ.size()));
      const SourceTensor& values = source.require(prefix + std::string(kUnembedOut));
      check_shape(values, config);
      matrices.push_back(joined_kv_b(tensor, values, config));
    } else if (!target.split_kv_b && name.ends_with(kUnembedOut)) {
      continue;  // went with embed_q
    } else {
      if (tensor.shape.rank() != 1 && tensor.shape.rank() != 2) {
        fail(ErrorCode::kUnsupported, "{}: shape {}, expected a matrix or a vector", tensor.name,
             tensor.shape.to_string());
      }
      matrices.push_back({.name = tensor.name, .shape = tensor.shape, .pieces = {{tensor.data}}});
    }
  }
  return matrices;
}

void choose_types(const ModelConfig& config, const Target& target, const RecipeOptions& options,
                  std::vector<ConvertMatrix>& matrices, std::vector<std::string>& notes) {
  const Recipe recipe = parse_recipe(options.recipe);
  const std::vector<Override> overrides = parse_overrides(target, options.tensor_types);
  const QuantType* wanted = options.type.empty() ? nullptr : &require_type(target, options.type);
  std::map<std::string, int64_t> replaced;
  (void)config;
  for (ConvertMatrix& matrix : matrices) {
    const EncodedMatrix& stored = matrix.pieces.front().data;
    if (is_never_quantized(matrix)) {
      matrix.type = &target.vector_type(matrix, wanted != nullptr ? *wanted : *stored.type, *stored.type);
      continue;
    }
    const QuantType* type = nullptr;
    for (const Override& override_ : overrides) {
      if (std::regex_search(matrix.name, override_.pattern)) type = override_.type;
    }
    if (type == nullptr && wanted == nullptr && can_keep(target, matrix)) {
      matrix.type = stored.type;
      matrix.params = stored.params;
      continue;
    }
    if (type == nullptr) {
      type = wanted != nullptr ? &recipe_type(target, recipe, *wanted, matrix) : &float_type(target);
    }
    matrix.type = &fitting_type(target, *type, matrix);
    matrix.params = default_params(*matrix.type, matrix.columns());
    if (matrix.type != type) {
      ++replaced[fmt::format("{} instead of {} in rows of {} values", matrix.type->name, type->name, matrix.columns())];
    }
  }
  for (const auto& [what, count] : replaced) notes.push_back(fmt::format("{} tensors become {}", count, what));
}

}  // namespace glimmer::convert
