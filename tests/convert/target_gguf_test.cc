#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "convert/convert.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/config.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer::convert {
namespace {

using ::testing::HasSubstr;

std::filesystem::path fixture(const std::string& name) { return testing::source_dir() / "tests/fixtures" / name; }

std::vector<std::string> convert(const std::filesystem::path& from, const std::filesystem::path& to,
                                 const std::string& type) {
  ConvertOptions options;
  options.recipe.type = type;
  options.recipe.recipe = "uniform";
  Conversion conversion(ModelSource::open(from), to, options);
  ThreadPool pool(2);
  conversion.write(pool, [](const ConvertProgress&) {});
  return conversion.notes();
}

// Names, types, shapes and bytes of every tensor of a folder.
struct Tensor {
  DType dtype;
  std::string shape;
  std::vector<std::byte> bytes;
  bool operator==(const Tensor&) const = default;
};
std::map<std::string, Tensor> folder_tensors(const std::filesystem::path& folder) {
  std::map<std::string, Tensor> tensors;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string file = entry.path().filename();
    if (!file.starts_with("model") || !file.ends_with(".safetensors")) continue;
    const SafetensorsFile opened(entry.path());
    for (const TensorInfo& info : opened.tensors()) {
      tensors[info.name] = {info.dtype, info.shape.to_string(), {info.data.begin(), info.data.end()}};
    }
  }
  return tensors;
}

// The fixtures in BF16 that GGUF can say.
TEST(GgufTarget, GivesBackTheTensorsOfEveryFamily) {
  std::set<std::string> families;
  for (const auto& dir : testing::fixture_dirs()) {
    const std::string name = dir.filename();
    const ModelConfig config = read_config(dir / "config.json");
    const auto source = ModelSource::open(dir);
    if (config.dtype != "bfloat16" || source->format() != "hf" || source->quantization() != "none") continue;
    if (name.find("fused") != std::string::npos) continue;  // its experts are stacks, and come back one by one
    SCOPED_TRACE(name);
    const testing::TempDir dir_out;
    try {
      convert(dir, dir_out.path() / "m.gguf", "bf16");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
      EXPECT_THAT(error.what(), HasSubstr("GGUF"));
      continue;
    }
    convert(dir_out.path() / "m.gguf", dir_out.path() / "back", "bf16");
    const auto before = folder_tensors(dir);
    const auto after = folder_tensors(dir_out.path() / "back");
    for (const auto& [tensor, value] : before) {
      if (value.bytes.empty()) continue;  // an expert of size 0: no tensor of GGUF's
      ASSERT_TRUE(after.contains(tensor)) << tensor;
      EXPECT_EQ(after.at(tensor).dtype, value.dtype) << tensor << ' ' << dtype_name(after.at(tensor).dtype);
      EXPECT_EQ(after.at(tensor).shape, value.shape) << tensor;
      EXPECT_TRUE(after.at(tensor).bytes == value.bytes) << tensor;
    }
    EXPECT_LE(after.size(), before.size());
    families.insert(config.model_type);
  }
  EXPECT_THAT(families,
              ::testing::IsSupersetOf({"glm", "glm4", "glm4_moe", "glm4_moe_lite", "llama", "qwen3", "qwen3_moe"}));
}

// Byte for byte what tools/gguf_files.py wrote of the same fixture, with the gguf package.
TEST(GgufTarget, WritesTheTensorsOfLlamaCppsLayout) {
  for (const std::string name : {"glm4_moe_mtp", "llama_bias", "llama_rope_llama3", "glm4_moe_lite_flash"}) {
    SCOPED_TRACE(name);
    const GgufFile golden(testing::source_dir() / "tests/source/gguf" / (name + ".gguf"));
    const testing::TempDir dir;
    convert(fixture(name), dir.path() / "m.gguf", "");
    const GgufFile own(dir.path() / "m.gguf");
    size_t compared = 0;
    for (const TensorInfo& expected : golden.tensors()) {
      if (expected.name.find("ffn_gate_up_exps") != std::string::npos) continue;  // two tensors of ours
      const TensorInfo* found = own.find(expected.name);
      ASSERT_NE(found, nullptr) << expected.name;
      EXPECT_EQ(dtype_name(found->dtype), dtype_name(expected.dtype)) << expected.name;
      EXPECT_EQ(found->shape, expected.shape) << expected.name;
      EXPECT_TRUE(std::equal(found->data.begin(), found->data.end(), expected.data.begin(), expected.data.end()))
          << expected.name;
      ++compared;
    }
    EXPECT_GE(compared, golden.tensors().size() - 2);
    // And the metadata says the same, wherever the other has it.
    for (const auto& entry : golden.metadata().entries()) {
      const GgufValue* value = own.metadata().find(entry.key);
      ASSERT_NE(value, nullptr) << entry.key;
      if (entry.key == "general.file_type") continue;  // llama_bias has F16, which the tool does not say
      EXPECT_EQ(value->describe(), entry.value.describe()) << entry.key;
    }
  }
}

TEST(GgufTarget, StacksQuantisedExperts) {
  const testing::TempDir dir;
  convert(fixture("glm4_moe_mtp"), dir.path() / "m.gguf", "q8_0");
  const GgufFile file(dir.path() / "m.gguf");
  EXPECT_EQ(file.metadata().integer("general.file_type"), 7);
  const TensorInfo* gate = file.find("blk.1.ffn_gate_exps.weight");
  ASSERT_NE(gate, nullptr);
  EXPECT_EQ(gate->dtype, DType::kQ8_0);
  EXPECT_EQ(gate->shape, (Shape{8, 12, 32}));
  EXPECT_EQ(file.find("blk.1.ffn_gate_inp.weight")->dtype, DType::kF32);
  EXPECT_EQ(file.find("blk.1.exp_probs_b.bias")->dtype, DType::kF32);
}

// To GGUF and on to GGUF: what the first wrote is taken as it lies, the pairs of llama's rows among it.
TEST(GgufTarget, CopiesItsOwnFiles) {
  for (const std::string name : {"llama_bias", "glm4_moe_mtp", "glm4_moe_lite_flash"}) {
    SCOPED_TRACE(name);
    const testing::TempDir dir;
    convert(fixture(name), dir.path() / "a.gguf", "");
    convert(dir.path() / "a.gguf", dir.path() / "b.gguf", "");
    const GgufFile a(dir.path() / "a.gguf");
    const GgufFile b(dir.path() / "b.gguf");
    ASSERT_EQ(a.tensors().size(), b.tensors().size());
    for (size_t i = 0; i < a.tensors().size(); ++i) {
      const TensorInfo& before = a.tensors()[i];
      const TensorInfo& after = b.tensors()[i];
      EXPECT_EQ(after.name, before.name);
      EXPECT_EQ(after.dtype, before.dtype) << before.name;
      EXPECT_TRUE(std::equal(before.data.begin(), before.data.end(), after.data.begin(), after.data.end()))
          << before.name;
    }
  }
}

TEST(GgufTarget, CarriesWhatAFileSaysOfItself) {
  const testing::TempDir dir;
  convert(fixture("llama_tied"), dir.path() / "a.gguf", "");
  EXPECT_EQ(GgufFile(dir.path() / "a.gguf").metadata().text("general.name"), "llama_tied");
  convert(dir.path() / "a.gguf", dir.path() / "b.gguf", "f16");
  const GgufFile b(dir.path() / "b.gguf");
  EXPECT_EQ(b.metadata().text("general.name"), "llama_tied");
  EXPECT_EQ(b.metadata().integer("general.file_type"), 1);
}

TEST(GgufTarget, CarriesSamplingDefaults) {
  const testing::TempDir dir;
  std::filesystem::copy(fixture("glm_bias"), dir.path() / "hf");
  const auto round_trip = [&](const char* text) -> std::string {
    std::ofstream(dir.path() / "hf/generation_config.json") << text;
    std::filesystem::remove(dir.path() / "m.gguf");
    convert(dir.path() / "hf", dir.path() / "m.gguf", "");
    const auto made = ModelSource::open(dir.path() / "m.gguf")->side_file("generation_config.json");
    return made ? Json::parse(*made).dump() : "none";
  };
  EXPECT_EQ(round_trip(R"({"do_sample": true, "temperature": 0.6, "top_p": 0.95, "top_k": 40})"),
            R"({"do_sample":true,"temperature":0.6,"top_p":0.95,"top_k":40})");
  EXPECT_EQ(round_trip(R"({"temperature": 0.6, "repetition_penalty": 1.1})"), "none");  // greedy, says transformers
  EXPECT_EQ(round_trip(R"({"do_sample": true, "min_p": 0.05, "repetition_penalty": 1.1})"),
            R"({"do_sample":true,"min_p":0.05,"repetition_penalty":1.1})");
}

TEST(GgufTarget, SaysWhatItHasNoRoomFor) {
  const testing::TempDir dir;
  EXPECT_THAT(convert(fixture("glm_bias"), dir.path() / "m.gguf", ""),
              ::testing::Contains(HasSubstr("no tokenizer.json")));
  try {
    convert(fixture("glm4_moe_lite_half_split"), dir.path() / "n.gguf", "");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("rope_interleave"));
  }
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "n.gguf"));
}

}  // namespace
}  // namespace glimmer::convert
