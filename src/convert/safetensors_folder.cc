#include "convert/safetensors_folder.h"

#include "base/check.h"
#include "base/error.h"
#include "format/safetensors_layout.h"

namespace glimmer::convert {
namespace {

// A tensor of the file, and whose part it is.
struct Placed {
  size_t unit = 0;
  size_t part = 0;
};

std::vector<QuantPart> parts_of(const ConvertMatrix& matrix) {
  if (matrix.is_vector()) {
    std::vector<QuantPart> parts = matrix.type->parts(matrix.params, 1, matrix.columns());
    GLIMMER_CHECK(parts.size() == 1, "{}: a vector as {}", matrix.name, matrix.type->name);
    parts[0].shape = matrix.shape;
    return parts;
  }
  return matrix.type->parts(matrix.params, matrix.rows(), matrix.columns());
}

// The first extent divided into `heads` and the rest.
Shape by_head(const Shape& shape, int64_t heads) {
  std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
  GLIMMER_CHECK(dims[0] % heads == 0, "{} rows of {} heads", dims[0], heads);
  dims[0] /= heads;
  dims.insert(dims.begin(), heads);
  return Shape(dims);
}

Shape stacked(const Shape& shape, size_t count) {
  std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
  dims.insert(dims.begin(), static_cast<int64_t>(count));
  return Shape(dims);
}

std::vector<SafetensorsSpec> specs_of(std::span<const ConvertMatrix> matrices, const SafetensorsUnit& unit) {
  std::vector<SafetensorsSpec> specs;
  for (const QuantPart& part : parts_of(matrices[unit.members.front()])) {
    SafetensorsSpec spec;
    spec.name = unit.is_bare ? unit.path : unit.path + std::string(part.suffix);
    spec.dtype = part.dtype;
    spec.shape = unit.is_stack ? stacked(part.shape, unit.members.size()) : part.shape;
    if (unit.heads != 0) spec.shape = by_head(part.shape, unit.heads);
    specs.push_back(std::move(spec));
  }
  return specs;
}

bool is_weight_file(std::string_view name) {
  return name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
}

}  // namespace

void plan_safetensors(std::span<const ConvertMatrix> matrices, std::span<const SafetensorsUnit> units,
                      uint64_t max_shard_bytes, std::string_view framework, OutputPlan& plan) {
  std::vector<uint64_t> unit_bytes;
  for (const SafetensorsUnit& unit : units) {
    uint64_t bytes = 0;
    for (const SafetensorsSpec& spec : specs_of(matrices, unit)) bytes += spec.size_bytes();
    unit_bytes.push_back(bytes);
  }
  const std::vector<size_t> shard_of = split_into_shards(unit_bytes, max_shard_bytes);
  const size_t shards = shard_of.empty() ? 1 : shard_of.back() + 1;
  Json weight_map = Json::object();
  uint64_t total_size = 0;
  for (size_t shard = 0; shard < shards; ++shard) {
    std::vector<SafetensorsSpec> specs;
    std::vector<Placed> placed;
    for (size_t u = 0; u < units.size(); ++u) {
      if (shard_of[u] != shard) continue;
      std::vector<SafetensorsSpec> own = specs_of(matrices, units[u]);
      for (size_t part = 0; part < own.size(); ++part) {
        total_size += own[part].size_bytes();
        weight_map[own[part].name] = shard_name(shard, shards);
        specs.push_back(std::move(own[part]));
        placed.push_back({u, part});
      }
    }
    SafetensorsLayout layout = safetensors_layout(specs, {{"format", std::string(framework)}});
    std::map<size_t, std::array<uint64_t, kMaxQuantParts>> offsets_of_unit;
    std::map<size_t, std::array<uint64_t, kMaxQuantParts>> bytes_of_unit;
    for (size_t i = 0; i < placed.size(); ++i) {
      offsets_of_unit[placed[i].unit][placed[i].part] = layout.offsets[i];
      bytes_of_unit[placed[i].unit][placed[i].part] = specs[i].size_bytes();
    }
    for (const auto& [u, offsets] : offsets_of_unit) {
      const std::vector<size_t>& members = units[u].members;
      for (size_t m = 0; m < members.size(); ++m) {
        OutputMatrix out{.matrix = members[m], .file = shard, .offsets = offsets};
        for (size_t part = 0; part < out.offsets.size(); ++part) {
          out.offsets[part] += bytes_of_unit[u][part] / members.size() * m;
        }
        plan.matrices.push_back(out);
      }
    }
    plan.files.push_back({shard_name(shard, shards), std::move(layout.header), layout.file_bytes});
  }
  if (shards > 1) {
    const Json index = {{"metadata", {{"total_size", total_size}}}, {"weight_map", std::move(weight_map)}};
    plan.side_files["model.safetensors.index.json"] = index.dump(2) + "\n";
  }
}

Json config_without_quantization(const Json& config) {
  Json out = config;
  for (const char* field : {"quantization", "quantization_config", "compression_config"}) out.erase(field);
  return out;
}

void copy_side_files(const ConvertInput& input, const Json& config, OutputPlan& plan) {
  for (const std::string& name : input.source.side_files()) {
    if (name == "config.json" || is_weight_file(name)) continue;
    if (auto text = input.source.side_file(name)) plan.side_files[name] = std::move(*text);
  }
  plan.side_files["config.json"] = config.dump(2) + "\n";
}

std::string_view torch_dtype_name(const QuantType& type) {
  if (type.name == "f32") return "float32";
  return type.name == "f16" ? "float16" : "bfloat16";
}

}  // namespace glimmer::convert
