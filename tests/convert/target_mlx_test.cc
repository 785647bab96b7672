#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>

#include "base/error.h"
#include "base/mapped_file.h"
#include "convert/convert.h"
#include "format/checkpoint.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer::convert {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

fs::path fixture(std::string_view name) { return testing::source_dir() / "tests/fixtures" / name; }

void convert(const fs::path& from, const fs::path& to, std::string format, RecipeOptions recipe) {
  ThreadPool pool(2);
  Conversion conversion(ModelSource::open(from), to, {.format = std::move(format), .recipe = std::move(recipe)});
  conversion.write(pool, {});
  conversion.verify(pool, {});
}

Json config_of(const fs::path& folder) {
  return parse_json(read_file(folder / "config.json", size_t{1} << 20), "config.json");
}

// Type, shape and bytes of every tensor.
std::map<std::string, std::string> tensors_of(const fs::path& folder) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  std::map<std::string, std::string> tensors;
  for (const TensorInfo* tensor : checkpoint.tensors()) {
    if (tensor->shape.element_count() == 0) continue;
    tensors[tensor->name] = fmt::format("{} {} ", dtype_name(tensor->dtype), tensor->shape.to_string()) +
                            std::string(reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size());
  }
  return tensors;
}

void expect_same_tensors(const fs::path& found_folder, const fs::path& expected_folder) {
  const auto found = tensors_of(found_folder);
  const auto expected = tensors_of(expected_folder);
  for (const auto& [name, tensor] : expected) {
    const auto at = found.find(name);
    ASSERT_NE(at, found.end()) << name << " is missing";
    EXPECT_TRUE(at->second == tensor) << name << ": " << at->second.substr(0, 20) << ", " << tensor.substr(0, 20);
  }
  EXPECT_EQ(found.size(), expected.size());
}

std::vector<float> values_of(const SourceTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.data.rows * tensor.data.columns));
  decode_rows(tensor.data, 0, tensor.data.rows, values.data());
  return values;
}

TEST(TargetMlx, ThereAndBackAgainIsTheSameByteForByte) {
  for (const char* name : {"glm4_moe_base", "glm4_moe_mtp", "glm4_moe_tied", "glm4_moe_qk_norm", "glm4_moe_lite_base",
                           "glm4_moe_lite_flash", "glm4_moe_lite_no_q_lora", "glm4_bias", "qwen3_moe_base"}) {
    SCOPED_TRACE(name);
    const testing::TempDir dir;
    convert(fixture(name), dir.path() / "mlx", "mlx", {});
    convert(dir.path() / "mlx", dir.path() / "hf", "hf", {});
    expect_same_tensors(dir.path() / "hf", fixture(name));
    EXPECT_FALSE(config_of(dir.path() / "mlx").contains("quantization"));
    for (const char* field : {"model_type", "num_hidden_layers", "rope_parameters", "rope_theta"}) {
      EXPECT_EQ(config_of(dir.path() / "hf").value(field, Json()), config_of(fixture(name)).value(field, Json()));
    }
  }
}

TEST(TargetMlx, StacksExpertsAndSplitsKvBByHead) {
  const testing::TempDir dir;
  convert(fixture("glm4_moe_lite_base"), dir.path() / "mlx", "mlx", {});
  const Checkpoint mlx = Checkpoint::open(dir.path() / "mlx");
  const Checkpoint hf = Checkpoint::open(fixture("glm4_moe_lite_base"));
  // 4 heads, qk_nope_head_dim 12, v_head_dim 14, kv_lora_rank 20; 6 experts of 12.
  const TensorInfo& keys = mlx.require("model.layers.1.self_attn.embed_q.weight");
  const TensorInfo& values = mlx.require("model.layers.1.self_attn.unembed_out.weight");
  const TensorInfo& whole = hf.require("model.layers.1.self_attn.kv_b_proj.weight");
  EXPECT_EQ(keys.shape, (Shape{4, 20, 12}));
  EXPECT_EQ(values.shape, (Shape{4, 14, 20}));
  const auto at = [](const TensorInfo& tensor, int64_t index) {
    float value;
    std::memcpy(&value, tensor.data.data() + 4 * index, sizeof value);
    return value;
  };
  for (int64_t head = 0; head < 4; ++head) {
    for (int64_t latent = 0; latent < 20; ++latent) {
      for (int64_t i = 0; i < 12; ++i) {
        ASSERT_EQ(at(keys, (head * 20 + latent) * 12 + i), at(whole, (head * 26 + i) * 20 + latent));
      }
      for (int64_t i = 0; i < 14; ++i) {
        ASSERT_EQ(at(values, (head * 14 + i) * 20 + latent), at(whole, (head * 26 + 12 + i) * 20 + latent));
      }
    }
  }
  const TensorInfo& stack = mlx.require("model.layers.1.mlp.switch_mlp.down_proj.weight");
  EXPECT_EQ(stack.shape, (Shape{6, 32, 12}));
  const TensorInfo& expert = hf.require("model.layers.1.mlp.experts.4.down_proj.weight");
  EXPECT_EQ(std::memcmp(stack.data.data() + 4 * expert.data.size(), expert.data.data(), expert.data.size()), 0);
  EXPECT_EQ(mlx.find("model.layers.1.self_attn.kv_b_proj.weight"), nullptr);
  EXPECT_EQ(mlx.find("model.layers.1.mlp.experts.0.down_proj.weight"), nullptr);
  EXPECT_EQ(mlx.require("model.layers.1.mlp.gate.e_score_correction_bias").dtype, DType::kF32);
}

TEST(TargetMlx, KeepsWhatIsQuantisedAlready) {
  for (const char* name : {"glm4_moe_mlx4", "glm4_moe_mlx_mixed", "glm4_moe_lite_mlx4", "glm4_moe_lite_mlx_mixed"}) {
    SCOPED_TRACE(name);
    const testing::TempDir dir;
    convert(fixture(name), dir.path() / "mlx", "mlx", {});
    expect_same_tensors(dir.path() / "mlx", fixture(name));
  }
}

TEST(TargetMlx, QuantisesEveryWidth) {
  const testing::TempDir dir;
  convert(fixture("glm4_moe_lite_ct_int8"), dir.path() / "plain", "hf", {.type = "bf16"});
  const auto plain = ModelSource::open(dir.path() / "plain");
  double last_error = INFINITY;
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    SCOPED_TRACE(bits);
    const fs::path folder = dir.path() / std::to_string(bits);
    const std::string type = "mlx" + std::to_string(bits);
    convert(dir.path() / "plain", folder, "mlx", {.type = type, .recipe = "uniform"});
    const Json config = config_of(folder);
    EXPECT_EQ(config["quantization"], config["quantization_config"]);
    EXPECT_EQ(config["quantization"]["bits"], bits);
    // Rows of 32 values in groups of 32, of 64 in groups of 64: one of the two is the usual, the other has entries.
    EXPECT_GT(config["quantization"].size(), 3U);
    for (const auto& [module, entry] : config["quantization"].items())
      EXPECT_THAT(module, ::testing::Not(HasSubstr("norm")));

    const auto written = ModelSource::open(folder);
    double error = 0;
    for (const SourceTensor& tensor : plain->tensors()) {
      const SourceTensor* found = written->find(tensor.name);
      if (found == nullptr) continue;  // kv_b_proj
      const bool matrix = tensor.shape.rank() == 2 && !tensor.name.ends_with(".mlp.gate.weight");
      EXPECT_EQ(found->data.type->name == type, matrix) << tensor.name;
      const std::vector<float> a = values_of(tensor);
      const std::vector<float> b = values_of(*found);
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i) error += std::pow(a[i] - b[i], 2);
    }
    EXPECT_LT(error, last_error / 3);
    last_error = error;
  }
}

TEST(TargetMlx, ModulesOfOtherTypesAreListed) {
  const testing::TempDir dir;
  convert(fixture("glm4_moe_mlx4"), dir.path() / "plain", "hf", {.type = "bf16"});
  convert(
      dir.path() / "plain", dir.path() / "mlx", "mlx",
      {.type = "mlx4", .recipe = "uniform", .tensor_types = {"q_proj=mlx8", "embed_tokens=bf16", "down_proj=mlx3"}});
  const Json section = config_of(dir.path() / "mlx")["quantization"];
  const Json expected = {{"group_size", 64}, {"bits", 8}, {"mode", "affine"}};
  EXPECT_EQ(section["model.layers.0.self_attn.q_proj"], expected);
  EXPECT_EQ(section["model.embed_tokens"], Json(false));
  EXPECT_EQ(section["model.layers.1.mlp.switch_mlp.down_proj"]["bits"], 3);
  EXPECT_FALSE(section.contains("model.layers.0.self_attn.k_proj"));
  EXPECT_FALSE(section.contains("model.layers.1.mlp.gate"));
  EXPECT_EQ(ModelSource::open(dir.path() / "mlx")->format(), "mlx");
}

TEST(TargetMlx, ExpertsOfALayerMustBeAlike) {
  const testing::TempDir dir;
  try {
    convert(fixture("glm4_moe_mlx4"), dir.path() / "mlx", "mlx",
            {.type = "mlx4", .recipe = "uniform", .tensor_types = {"experts.2.up_proj=mlx8"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("experts.2.up_proj"), HasSubstr("mlx8"), HasSubstr("switch_mlp.up_proj")));
  }
}

}  // namespace
}  // namespace glimmer::convert
