// Folders of safetensors: what becomes of stacks, and of parts that have no place of their own.
#include <gmock/gmock.h>

#include <string>

#include "base/error.h"
#include "format/safetensors.h"
#include "source/model_source.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<ModelSource> fixture(std::string_view name) {
  return ModelSource::open(testing::source_dir() / "tests/fixtures" / name);
}

TEST(HfSource, MlxStacksBecomeExpertsAndHeadsRows) {
  const auto source = fixture("glm4_moe_lite_mlx_mixed");
  EXPECT_EQ(source->format(), "mlx");
  // 4 experts [32, 64]; 4 heads, qk_nope_head_dim 32, v_head_dim 16, kv_lora_rank 64.
  EXPECT_EQ(source->require("model.layers.1.mlp.experts.3.gate_proj.weight").shape, (Shape{32, 64}));
  const SourceTensor& keys = source->require("model.layers.1.self_attn.embed_q.weight");
  EXPECT_EQ(keys.shape, (Shape{4 * 64, 32}));
  EXPECT_EQ(keys.data.type->name, "mlx8");
  const SourceTensor& values = source->require("model.layers.1.self_attn.unembed_out.weight");
  EXPECT_EQ(values.shape, (Shape{4 * 16, 64}));
  EXPECT_EQ(values.data.type->name, "mlx3");
  EXPECT_EQ(source->require("model.layers.0.mlp.down_proj.weight").data.type->name, "f32");
  EXPECT_EQ(source->find("model.layers.1.mlp.switch_mlp.gate_proj.weight"), nullptr);
}

TEST(HfSource, APlainMlxFolderIsToldByItsStacks) { EXPECT_EQ(fixture("glm4_moe_lite_mlx_plain")->format(), "mlx"); }

TEST(HfSource, PartsOfPackedMatricesHaveNoPlaceOfTheirOwn) {
  for (const char* name : {"glm4_moe_nf4_nested", "glm4_moe_awq", "glm4_moe_gptq", "glm4_moe_ct_int4",
                           "glm4_moe_lite_ct_int8", "glm4_moe_nvfp4", "glm4_moe_mlx4"}) {
    const auto source = fixture(name);
    int packed = 0;
    for (const SourceTensor& tensor : source->tensors()) {
      EXPECT_TRUE(tensor.name.ends_with(".weight") || tensor.name.ends_with(".bias") ||
                  tensor.name.ends_with("e_score_correction_bias"))
          << name << ": " << tensor.name;
      packed += !tensor.data.parts[1].empty() ? 1 : 0;
    }
    EXPECT_GT(packed, 10) << name;
    EXPECT_EQ(source->unknown_tensors(), 0) << name;
  }
}

TEST(HfSource, TooManyExpertsAreRefused) {
  const testing::TempDir dir;
  dir.write("config.json", "{}");
  const std::string zeros(2 * 70000, '\0');
  const NamedTensor stack{"model.layers.0.mlp.switch_mlp.up_proj.weight", {zeros.data(), DType::kBF16, {70000, 1, 1}}};
  write_safetensors(dir.path() / "model.safetensors", std::span(&stack, 1));
  try {
    ModelSource::open(dir.path());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kLimit);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("70000 experts"), HasSubstr("switch_mlp.up_proj")));
  }
}

}  // namespace
}  // namespace glimmer
