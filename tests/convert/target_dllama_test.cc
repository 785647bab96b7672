// Hugging Face's folders to *.m and *.t and back.
#include <gmock/gmock.h>

#include <cstring>
#include <fstream>
#include <set>

#include "base/error.h"
#include "base/mapped_file.h"
#include "convert/convert.h"
#include "engine/generate.h"
#include "format/dllama.h"
#include "model/forward.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

fs::path fixture(std::string_view name) { return testing::source_dir() / "tests/fixtures" / name; }

std::shared_ptr<const ModelSource> open(const fs::path& path) { return ModelSource::open(path); }

std::vector<std::string> convert(const fs::path& from, const fs::path& to, const std::string& type,
                                 std::vector<std::string> tensor_types = {}) {
  ConvertOptions options;
  options.recipe.type = type;
  options.recipe.tensor_types = std::move(tensor_types);
  Conversion conversion(open(from), to, options);
  ThreadPool pool(2);
  conversion.write(pool, {});
  return conversion.notes();
}

std::vector<float> values_of(const SourceTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.data.rows * tensor.data.columns));
  decode_rows(tensor.data, 0, tensor.data.rows, values.data());
  return values;
}

// Every tensor of `a` that has values is in `b`, bit for bit.
void expect_same_tensors(const ModelSource& a, const ModelSource& b) {
  for (const SourceTensor& tensor : a.tensors()) {
    if (tensor.shape.element_count() == 0) continue;
    const SourceTensor* other = b.find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(tensor.shape, other->shape) << tensor.name;
    const std::vector<float> left = values_of(tensor);
    const std::vector<float> right = values_of(*other);
    ASSERT_EQ(left.size(), right.size()) << tensor.name;
    EXPECT_EQ(std::memcmp(left.data(), right.data(), 4 * left.size()), 0) << tensor.name;
  }
}

std::vector<float> logits_of(const fs::path& path) {
  const Model model = Model::load(path);
  Context context({.backend = "ref", .threads = 1});
  Forward forward(model, context);
  KvCache kv(model.config());
  const std::vector<int32_t> ids = {3, 14, 15, 9, 2, 6, 5, 35, 8};
  const ConstTensorView logits = forward.run(ids, kv, LogitsFor::kAllTokens);
  return {logits.as<float>(), logits.as<float>() + logits.shape.element_count()};
}

// The float that all matrices have; f32, which holds any of them, if they differ.
std::string type_of_all_matrices(const ModelSource& source) {
  std::set<DType> dtypes;
  for (const SourceTensor& tensor : source.tensors()) {
    if (tensor.shape.rank() == 2 && !tensor.name.ends_with("mlp.gate.weight")) dtypes.insert(tensor.stored_dtype);
  }
  if (dtypes == std::set{DType::kBF16}) return "bf16";
  if (dtypes == std::set{DType::kF16}) return "f16";
  return "f32";
}

// Every kind of layer that GLM has, and the other families.
class RoundTrip : public ::testing::TestWithParam<std::string> {};

TEST_P(RoundTrip, ThroughF32NoBitOfAWeightOrLogitChanges) {
  const testing::TempDir dir;
  const fs::path from = fixture(GetParam());
  const fs::path model = dir.path() / "model.m";
  convert(from, model, "f32");
  const auto source = open(from);
  const auto written = open(model);
  expect_same_tensors(*source, *written);
  const DllamaFile file(model);
  EXPECT_EQ(logits_of(model), logits_of(from));
  // And back: in the folder's own type the very bytes.
  const fs::path back = dir.path() / "back";
  const std::string dtype = type_of_all_matrices(*source);
  convert(model, back, dtype);
  const auto returned = open(back);
  expect_same_tensors(*source, *returned);
  expect_same_tensors(*returned, *source);
}

std::vector<std::string> round_trips() {
  std::vector<std::string> names;
  for (const char* name : {"glm_bias",
                           "glm_no_bias",
                           "glm4_bias",
                           "glm4_no_bias",
                           "glm4_yarn_tied",
                           "glm4_moe_base",
                           "glm4_moe_bias",
                           "glm4_moe_fused",
                           "glm4_moe_groups",
                           "glm4_moe_mtp",
                           "glm4_moe_no_topk_norm",
                           "glm4_moe_qk_norm",
                           "glm4_moe_shared0",
                           "glm4_moe_shared2",
                           "glm4_moe_tied",
                           "glm4_moe_yarn",
                           "glm4_moe_lite_base",
                           "glm4_moe_lite_bias",
                           "glm4_moe_lite_flash",
                           "glm4_moe_lite_half_split",
                           "glm4_moe_lite_mixed",
                           "glm4_moe_lite_no_q_lora",
                           "glm4_moe_lite_two_dense",
                           "glm4_moe_lite_yarn"}) {
    names.emplace_back(name);
  }
  // Fixtures of the other families, but for those that the format has no place for.
  for (const fs::path& path : testing::fixture_dirs()) {
    const std::string name = path.filename().string();
    const bool refused = name == "llama_bias" || name == "qwen3_tied" || name == "qwen3_moe_dense_layers" ||
                         name == "qwen3_moe_steps";  // biases, norm_topk_prob false
    if ((name.starts_with("llama") || name.starts_with("qwen3")) && !refused) names.push_back(name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, RoundTrip, ::testing::ValuesIn(round_trips()),
                         [](const auto& test) { return test.param; });

// The Python writer, from the documentation alone, and this one write the same bytes.
TEST(DllamaTarget, WritesTheGoldensOfThePythonWriter) {
  const std::pair<const char*, const char*> goldens[] = {{"llama_base", "f32"},   {"qwen3_moe_base", "f16"},
                                                         {"glm_no_bias", "f16"},  {"glm4_bias", "f32"},
                                                         {"glm4_moe_mtp", "f16"}, {"glm4_moe_lite_flash", "f16"}};
  for (const auto& [name, type] : goldens) {
    const testing::TempDir dir;
    convert(fixture(name), dir.path() / "x.m", type, {"model.embed_tokens=f32", "layers.*.embed_tokens=f32"});
    EXPECT_EQ(read_file(dir.path() / "x.m"),
              read_file(testing::source_dir() / "tests/source/dllama" / fmt::format("{}.m", name)))
        << name;
  }
}

// A file of Distributed Llama's is copied byte for byte.
TEST(DllamaTarget, CopiesWhatIsOfItsKind) {
  for (const char* name : {"llama_f32", "llama_q80", "qwen3_q40", "qwen3_moe_f16"}) {
    const testing::TempDir dir;
    const fs::path from = testing::source_dir() / "tests/source/dllama" / name / "model.m";
    convert(from, dir.path() / "x.m", "");
    const std::string before = read_file(from);
    const std::string after = read_file(dir.path() / "x.m");
    const DllamaFile a(from);
    const DllamaFile b(dir.path() / "x.m");
    EXPECT_FALSE(b.header().has_extension_keys) << name;
    EXPECT_EQ(before.substr(static_cast<size_t>(a.header().header_bytes)),
              after.substr(static_cast<size_t>(b.header().header_bytes)))
        << name;
  }
}

TEST(DllamaTarget, QuantisesTheDemoAndKeepsItsTokenizer) {
  const testing::TempDir dir;
  const fs::path demo = testing::source_dir() / "models/demo";
  const fs::path model = dir.path() / "demo.m";
  const std::vector<std::string> notes = convert(demo, model, "q80");
  const auto source = open(model);
  EXPECT_EQ(source->quantization(), "q80");
  EXPECT_TRUE(fs::exists(dir.path() / "demo.t"));
  EXPECT_EQ(parse_json(source->side_file("tokenizer.json").value(), "a"),
            parse_json(read_file(demo / "tokenizer.json"), "b"));
  EXPECT_EQ(source->side_file("chat_template.jinja"), read_file(demo / "chat_template.jinja"));
  EXPECT_EQ(parse_json(source->side_file("tokenizer_config.json").value(), "a"),
            parse_json(read_file(demo / "tokenizer_config.json"), "b"));
  EXPECT_EQ(parse_json(source->side_file("generation_config.json").value(), "a"),
            parse_json(read_file(demo / "generation_config.json"), "b"));
  EXPECT_THAT(notes, IsEmpty());
  EXPECT_EQ(source->require("model.layers.1.mlp.gate.weight").stored_dtype, DType::kF32);
  EXPECT_EQ(source->require("model.layers.1.mlp.experts.3.up_proj.weight").stored_dtype, DType::kQ8_0);
  const std::vector<float> before = logits_of(demo);
  const std::vector<float> after = logits_of(model);
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    error += (before[i] - after[i]) * (before[i] - after[i]);
    size += before[i] * before[i];
  }
  EXPECT_LT(error, 0.01 * size);
  EXPECT_GT(error, 0);
}

TEST(DllamaTarget, RowsThatAreNoWholeBlocksKeepAnotherType) {
  const testing::TempDir dir;
  convert(fixture("glm4_moe_base"), dir.path() / "x.m", "q40");  // experts 32 x 12 and 12 x 32
  const DllamaFile file(dir.path() / "x.m");
  EXPECT_EQ(file.header().weights, DType::kQ4_0);
  EXPECT_FALSE(file.header().tensor_types.empty());
  EXPECT_THAT(logits_of(dir.path() / "x.m"),
              ::testing::Each(::testing::Truly([](float x) { return std::isfinite(x); })));
}

// A folder with other fields in config.json.
fs::path changed_fixture(const testing::TempDir& dir, std::string_view name, const std::function<void(Json&)>& change) {
  const fs::path copy = dir.path() / "changed";
  fs::copy(fixture(name), copy);
  Json config = parse_json(read_file(copy / "config.json"), "config.json");
  change(config);
  std::ofstream(copy / "config.json") << config.dump();
  return copy;
}

TEST(DllamaTarget, LlamaWithoutSpecialWishesIsReadableByDistributedLlama) {
  const testing::TempDir dir;
  const auto notes = convert(fixture("llama_base"), dir.path() / "x.m", "f16", {"lm_head=f32"});
  const DllamaFile file(dir.path() / "x.m");
  EXPECT_FALSE(file.header().has_extension_keys);
  EXPECT_EQ(file.in_file_order().front().dtype, DType::kF32);
  EXPECT_EQ(file.in_file_order().back().name, "lm_head.weight");
  EXPECT_EQ(file.in_file_order().back().dtype, DType::kF16);
  EXPECT_THAT(notes, Contains(HasSubstr("2 matrices take the type that Distributed Llama expects of them")));
  EXPECT_THAT(notes, Contains(HasSubstr("in which eos_token_id would stand")));
}

TEST(DllamaTarget, TiedEmbeddingsOfLlamaTakeAKeyOfGlimmers) {
  const testing::TempDir dir;
  const auto notes = convert(fixture("llama_tied"), dir.path() / "x.m", "f16");
  const DllamaFile file(dir.path() / "x.m");
  EXPECT_TRUE(file.header().tie_word_embeddings);
  EXPECT_EQ(file.in_file_order().back().name, "model.norm.weight");
  EXPECT_THAT(notes, Contains(HasSubstr("Distributed Llama itself cannot read the file")));
}

TEST(DllamaTarget, LlamaHasOneTypeSoThatItsRowsMustFit) {
  const testing::TempDir dir;
  try {
    convert(fixture("llama_base"), dir.path() / "x.m", "q80");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("down_proj.weight: rows of 48 values, expected whole blocks of 32"));
  }
}

TEST(DllamaTarget, SaysWhatHasNoPlace) {
  const testing::TempDir dir;
  const auto notes = convert(fixture("glm4_moe_lite_flash"), dir.path() / "x.m", "f32");
  EXPECT_THAT(notes, Contains(HasSubstr("there is no tokenizer.json, so no *.t file is written")));
}

TEST(DllamaTarget, RefusesFieldsThatTheFormatHasNoPlaceFor) {
  const auto refusal = [](std::string_view name) -> std::string {
    const testing::TempDir dir;
    try {
      convert(fixture(name), dir.path() / "x.m", "f32");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal("llama_bias"), HasSubstr("field mlp_bias: true, for which Distributed Llama's format has no"));
  EXPECT_THAT(refusal("qwen3_moe_dense_layers"), HasSubstr("field attention_bias: true"));
  EXPECT_THAT(refusal("qwen3_moe_steps"), HasSubstr("field norm_topk_prob: false"));
}

TEST(DllamaTarget, RefusesATensorThatConfigSpeaksOfAndIsNotThere) {
  const testing::TempDir dir;
  const fs::path folder = changed_fixture(dir, "glm4_moe_base", [](Json& config) { config["use_qk_norm"] = true; });
  try {
    convert(folder, dir.path() / "x.m", "f32");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("q_norm.weight is missing"));
  }
  EXPECT_FALSE(fs::exists(dir.path() / "x.m"));
}

}  // namespace
}  // namespace glimmer::convert
