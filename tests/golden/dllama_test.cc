// Distributed Llama's files, written by tools/dllama.py in Python, give the logits of the transformers model whose
// weights they hold.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "golden/expect_logits.h"
#include "source/model_source.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

struct Case {
  std::string name;
  fs::path model;
  fs::path golden;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::vector<Case> cases() {
  const fs::path tests = testing::source_dir() / "tests";
  std::vector<Case> all;
  for (const char* name : {"llama_f32", "llama_q80", "qwen3_q40", "qwen3_moe_f16"}) {
    const fs::path folder = tests / "source/dllama" / name;
    all.push_back({name, folder / "model.m", folder / "golden.safetensors"});
  }
  for (const char* name :
       {"llama_base", "qwen3_moe_base", "glm_no_bias", "glm4_bias", "glm4_moe_mtp", "glm4_moe_lite_flash"}) {
    all.push_back(
        {name, tests / "source/dllama" / fmt::format("{}.m", name), tests / "fixtures" / name / "golden.safetensors"});
  }
  return all;
}

class DllamaGolden : public ::testing::TestWithParam<Case> {};

TEST_P(DllamaGolden, LogitsEqualTransformers) {
  // Weights of the GLM files were bfloat16 and are float16 there, which rounds the smallest of them.
  testing::expect_logits(GetParam().model, GetParam().golden, 1e-4F);
}

INSTANTIATE_TEST_SUITE_P(Files, DllamaGolden, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

// ---- what else a source promises

fs::path file(std::string_view name) { return testing::source_dir() / "tests/source/dllama" / name; }

TEST(DllamaSource, FindsTheTokenizerBesideTheModel) {
  const testing::TempDir dir;
  const fs::path model = dir.path() / "dllama_model_x_q80.m";
  fs::copy(file("llama_q80/model.m"), model);
  const auto names = [&] { return ModelSource::open(dir.path())->side_files(); };
  EXPECT_THAT(names(), ElementsAre("config.json"));
  fs::copy(file("tokenizer.t"), dir.path() / "dllama_tokenizer_x.t");
  EXPECT_THAT(names(), ElementsAre("config.json", "tokenizer.json", "generation_config.json", "tokenizer_config.json",
                                   "chat_template.jinja"));
  // With two files the name decides; without one of that name none is taken.
  fs::copy(file("tokenizer.t"), dir.path() / "other.t");
  EXPECT_THAT(names(), ElementsAre("config.json"));
  fs::copy(file("tokenizer.t"), dir.path() / "dllama_model_x_q80.t");
  const auto source = ModelSource::open(model);
  EXPECT_EQ(source->side_file_label("tokenizer.json"),
            (dir.path() / "dllama_model_x_q80.t").string() + " (tokenizer.json)");
  EXPECT_EQ(source->side_file_label("config.json"), model.string() + " (config.json)");
  EXPECT_THAT(source->side_file("chat_template.jinja").value(), ::testing::StartsWith("{% for message in messages"));
  const Json generation = parse_json(source->side_file("generation_config.json").value(), "generation_config.json");
  EXPECT_EQ(generation["eos_token_id"], Json({291, 292}));
  EXPECT_EQ(generation["bos_token_id"], 290);
  EXPECT_EQ(source->side_file("README.md"), std::nullopt);
}

TEST(DllamaSource, AFolderOfSeveralModelsAsksWhich) {
  const testing::TempDir dir;
  fs::copy(file("llama_q80/model.m"), dir.path() / "a.m");
  EXPECT_EQ(ModelSource::open(dir.path())->format(), "dllama");
  fs::copy(file("llama_q80/model.m"), dir.path() / "b.m");
  EXPECT_THROW(ModelSource::open(dir.path()), Error);
  EXPECT_EQ(ModelSource::open(dir.path() / "b.m")->quantization(), "q80");
}

// Every value of config.json that matters is that of the fixture the file was made from.
TEST(DllamaSource, ConfigIsThatOfTheFixture) {
  for (const char* name : {"glm_no_bias", "glm4_bias", "glm4_moe_mtp", "glm4_moe_lite_flash"}) {
    const auto source = ModelSource::open(file(fmt::format("{}.m", name)));
    const ModelConfig found = parse_config(parse_json(source->side_file("config.json").value(), name), name);
    const ModelConfig expected = read_config(testing::source_dir() / "tests/fixtures" / name / "config.json");
    EXPECT_EQ(found.model_type, expected.model_type);
    EXPECT_EQ(found.rms_norm_eps, expected.rms_norm_eps) << name;
    EXPECT_EQ(found.rope_parameters.rope_theta, expected.rope_parameters.rope_theta) << name;
    EXPECT_EQ(found.rope_parameters.rotary_dim, expected.rope_parameters.rotary_dim) << name;
    EXPECT_EQ(found.rope_parameters.pairing, expected.rope_parameters.pairing) << name;
    EXPECT_EQ(found.mlp_layer_types, expected.mlp_layer_types) << name;
    EXPECT_EQ(found.n_shared_experts, expected.n_shared_experts) << name;
    EXPECT_EQ(found.routed_scaling_factor, expected.routed_scaling_factor) << name;
    EXPECT_EQ(found.num_nextn_predict_layers, expected.num_nextn_predict_layers) << name;
    EXPECT_EQ(found.attention_bias, expected.attention_bias) << name;
    EXPECT_EQ(found.eos_token_id, expected.eos_token_id) << name;
    EXPECT_EQ(found.dtype, expected.dtype) << name;
    EXPECT_EQ(found.max_position_embeddings, expected.max_position_embeddings) << name;
  }
}

}  // namespace
}  // namespace glimmer
