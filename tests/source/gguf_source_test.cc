#include "source/gguf_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "base/error.h"
#include "base/mapped_file.h"
#include "format/gguf_writer.h"
#include "format/safetensors.h"
#include "model/config.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A tensor's values, and its shape.
struct Values {
  Shape shape;
  std::vector<float> values;
};

Values values_of(const SourceTensor& tensor) {
  Values out{tensor.shape, std::vector<float>(static_cast<size_t>(tensor.shape.element_count()))};
  decode_rows(tensor.data, 0, tensor.data.rows, out.values.data());
  return out;
}

// The tensors of a fixture, which are floats.
std::map<std::string, Values> fixture_tensors(const std::string& name) {
  std::map<std::string, Values> tensors;
  for (const auto& entry : std::filesystem::directory_iterator(testing::source_dir() / "tests/fixtures" / name)) {
    const std::string file = entry.path().filename();
    if (!file.starts_with("model") || !file.ends_with(".safetensors")) continue;
    const SafetensorsFile opened(entry.path());
    for (const TensorInfo& info : opened.tensors()) {
      EncodedMatrix matrix;
      matrix.type = quant_type_of(info.dtype);
      matrix.columns = info.shape[info.shape.rank() - 1];
      matrix.rows = matrix.stored_rows = info.shape.element_count() / matrix.columns;
      matrix.parts[0] = info.data;
      Values& values = tensors[info.name];
      values.shape = info.shape;
      values.values.resize(static_cast<size_t>(info.shape.element_count()));
      decode_rows(matrix, 0, matrix.rows, values.values.data());
    }
  }
  return tensors;
}

// embed_q and unembed_out in place of kv_b_proj, as model_source.h has them.
void split_kv_b(std::map<std::string, Values>& tensors, const ModelConfig& config) {
  const int64_t heads = config.num_attention_heads;
  const int64_t nope = config.qk_nope_head_dim;
  const int64_t v = config.v_head_dim;
  const int64_t latent = config.kv_lora_rank;
  std::map<std::string, Values> out;
  for (auto& [name, whole] : tensors) {
    const size_t at = name.find("kv_b_proj");
    if (at == std::string::npos) {
      out[name] = whole;
      continue;
    }
    Values keys{{heads * latent, nope}, {}};
    Values values{{heads * v, latent}, {}};
    const auto element = [&](int64_t head, int64_t row, int64_t column) {
      return whole.values[static_cast<size_t>((head * (nope + v) + row) * latent + column)];
    };
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t i = 0; i < latent; ++i) {
        for (int64_t j = 0; j < nope; ++j) keys.values.push_back(element(head, j, i));
      }
      for (int64_t i = 0; i < v; ++i) {
        for (int64_t j = 0; j < latent; ++j) values.values.push_back(element(head, nope + i, j));
      }
    }
    out[name.substr(0, at) + "embed_q.weight"] = keys;
    out[name.substr(0, at) + "unembed_out.weight"] = values;
  }
  tensors = std::move(out);
}

ModelConfig config_of(const ModelSource& source) {
  return parse_config(parse_json(*source.side_file("config.json"), "config.json"), "config.json");
}

class GgufGolden : public ::testing::TestWithParam<const char*> {};

// Files that tools/gguf_files.py wrote from fixtures in the layout of llama.cpp's converter.
TEST_P(GgufGolden, HoldsTheTensorsOfItsFixture) {
  const std::string name = GetParam();
  const GgufSource source(testing::source_dir() / "tests/source/gguf" / (name + ".gguf"));
  EXPECT_EQ(source.format(), "gguf");
  EXPECT_EQ(source.unknown_tensors(), 0);
  const ModelConfig config = config_of(source);
  std::map<std::string, Values> expected = fixture_tensors(name);
  if (config.attention == AttentionKind::kMla) split_kv_b(expected, config);
  std::set<std::string> names;
  for (const SourceTensor& tensor : source.tensors()) {
    EXPECT_TRUE(names.insert(tensor.name).second) << tensor.name;
    ASSERT_TRUE(expected.contains(tensor.name)) << tensor.name;
    const Values& own = expected[tensor.name];
    EXPECT_EQ(tensor.shape, own.shape) << tensor.name << tensor.shape.to_string();
    EXPECT_EQ(values_of(tensor).values, own.values) << tensor.name;
    EXPECT_THAT(std::string(tensor.file), HasSubstr(name + ".gguf"));
    EXPECT_EQ(source.find(tensor.name), &tensor);
  }
  EXPECT_EQ(names.size(), expected.size());

  const ModelConfig fixture = read_config(testing::source_dir() / "tests/fixtures" / name / "config.json");
  EXPECT_EQ(config.model_type, fixture.model_type);
  EXPECT_EQ(config.num_hidden_layers, fixture.num_hidden_layers);
  EXPECT_EQ(config.num_nextn_predict_layers, fixture.num_nextn_predict_layers);
  EXPECT_EQ(config.attention_bias, fixture.attention_bias);
  EXPECT_EQ(config.attention_output_bias, fixture.attention_output_bias);
  EXPECT_EQ(config.mlp_bias, fixture.mlp_bias);
  EXPECT_EQ(config.tie_word_embeddings, fixture.tie_word_embeddings);
  EXPECT_EQ(config.rope_parameters.rotary_dim, fixture.rope_parameters.rotary_dim);
  EXPECT_EQ(config.rope_parameters.rope_theta, fixture.rope_parameters.rope_theta);
  EXPECT_EQ(config.rms_norm_eps, fixture.rms_norm_eps);
  EXPECT_EQ(config.routed_scaling_factor, fixture.routed_scaling_factor);
  EXPECT_THAT(source.side_files(), ElementsAre("config.json"));  // the fixtures have no tokenizer
  EXPECT_FALSE(source.side_file("tokenizer.json"));
  EXPECT_THAT(source.side_file_label("config.json"), ::testing::EndsWith(name + ".gguf (config.json)"));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GgufGolden,
                         ::testing::Values("glm4_moe_mtp", "glm4_moe_lite_flash", "glm_bias", "llama_bias"),
                         [](const auto& test) { return std::string(test.param); });

// Its parameters are none that are published, and llama.cpp's converter keeps only what they amount to.
TEST(GgufSource, RefusesARopeThatItCannotName) {
  try {
    GgufSource(testing::source_dir() / "tests/source/gguf/llama_rope_llama3.gguf");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("rope_freqs.weight"));
  }
}

// A file of F32 tensors; element i of each is i.
class Builder {
 public:
  explicit Builder(const char* architecture) : prefix_(std::string(architecture) + ".") {
    metadata.push_back({"general.architecture", std::string(architecture)});
    for (const auto& [key, value] : std::map<std::string, uint32_t>{{"block_count", 1},
                                                                    {"context_length", 64},
                                                                    {"embedding_length", 8},
                                                                    {"feed_forward_length", 8},
                                                                    {"attention.head_count", 2},
                                                                    {"attention.head_count_kv", 1},
                                                                    {"rope.dimension_count", 4}}) {
      u32(key, value);
    }
    metadata.push_back({prefix_ + "attention.layer_norm_rms_epsilon", 1e-5F});
    tensor("token_embd.weight", {16, 8});
  }
  void u32(const std::string& key, uint32_t value) { metadata.push_back({prefix_ + key, value}); }
  void tensor(const std::string& name, Shape shape, DType dtype = DType::kF32) {
    tensors.push_back({name, dtype, shape});
  }
  std::filesystem::path write(const testing::TempDir& dir) const {
    const GgufLayout layout = gguf_layout(metadata, tensors);
    std::string file = layout.header;
    file.resize(layout.file_bytes);
    for (size_t t = 0; t < tensors.size(); ++t) {
      if (tensors[t].dtype != DType::kF32) continue;
      for (uint64_t i = 0; i < layout.size_bytes[t] / 4; ++i) {
        const auto value = static_cast<float>(i);
        std::memcpy(file.data() + layout.offsets[t] + i * 4, &value, 4);
      }
    }
    return dir.write("m.gguf", file);
  }

  std::vector<GgufKeyValue> metadata;
  std::vector<GgufTensorSpec> tensors;

 private:
  std::string prefix_;
};

std::string refusal(const Builder& builder, ErrorCode code = ErrorCode::kInvalid) {
  const testing::TempDir dir;
  try {
    GgufSource(builder.write(dir));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
    return error.what();
  }
  return "no error";
}

TEST(GgufSource, ReadsTheUnsplitHalvesOfOlderFiles) {
  Builder builder("deepseek2");
  for (const auto& [key, value] : std::map<std::string, uint32_t>{{"attention.q_lora_rank", 4},
                                                                  {"attention.kv_lora_rank", 4},
                                                                  {"attention.key_length", 6},
                                                                  {"attention.value_length", 4},
                                                                  {"expert_count", 2},
                                                                  {"expert_used_count", 1},
                                                                  {"expert_shared_count", 0},
                                                                  {"expert_feed_forward_length", 4},
                                                                  {"expert_gating_func", 2}}) {
    builder.u32(key, value);
  }
  builder.tensor("blk.0.attn_kv_b.weight", {12, 4});
  builder.tensor("blk.0.exp_probs_b", {2});
  builder.tensor("blk.0.strange.weight", {2});
  const testing::TempDir dir;
  const GgufSource source(builder.write(dir));
  EXPECT_EQ(source.unknown_tensors(), 1);
  EXPECT_EQ(source.require("model.layers.0.self_attn.kv_b_proj.weight").shape, (Shape{12, 4}));
  EXPECT_EQ(source.require("model.layers.0.mlp.gate.e_score_correction_bias").shape, (Shape{2}));
  const ModelConfig config = config_of(source);
  EXPECT_EQ(config.qk_nope_head_dim, 2);
  EXPECT_EQ(config.v_head_dim, 4);
  EXPECT_TRUE(config.tie_word_embeddings);  // no output.weight
}

TEST(GgufSource, UndoesThePairsOfLlama) {
  Builder builder("llama");
  builder.tensor("output.weight", {16, 8});
  builder.tensor("blk.0.attn_k.weight", {4, 1});
  const testing::TempDir dir;
  const GgufSource source(builder.write(dir));
  EXPECT_FALSE(config_of(source).tie_word_embeddings);
  EXPECT_THAT(values_of(source.require("model.layers.0.self_attn.k_proj.weight")).values, ElementsAre(0, 2, 1, 3));
}

TEST(GgufSource, KeepsReorderedVectorsWhenReleased) {
  Builder builder("llama");
  builder.metadata.erase(builder.metadata.begin() + 3, builder.metadata.end());
  for (const auto& [key, value] : std::map<std::string, uint32_t>{{"block_count", 1},
                                                                  {"context_length", 64},
                                                                  {"embedding_length", 8},
                                                                  {"feed_forward_length", 8},
                                                                  {"attention.head_count", 1024},
                                                                  {"attention.key_length", 4},
                                                                  {"attention.value_length", 4},
                                                                  {"rope.dimension_count", 4}}) {
    std::erase_if(builder.metadata, [&](const GgufKeyValue& entry) { return entry.key == "llama." + key; });
    builder.u32(key, value);
  }
  builder.metadata.push_back({"llama.attention.layer_norm_rms_epsilon", 1e-5F});
  builder.tensor("blk.0.attn_q.bias", {4096});
  builder.tensor("blk.0.attn_output.bias", {8});
  const testing::TempDir dir;
  const GgufSource source(builder.write(dir));
  const SourceTensor& bias = source.require("model.layers.0.self_attn.q_proj.bias");
  const std::vector<float> before = values_of(bias).values;
  EXPECT_THAT(std::vector<float>(before.begin(), before.begin() + 4), ElementsAre(0, 2, 1, 3));
  EXPECT_EQ(before[4095], 4095);
  source.release(bias);
  EXPECT_EQ(values_of(bias).values, before);
}

TEST(GgufSource, IsFoundInItsFolder) {
  const testing::TempDir dir;
  EXPECT_EQ(gguf_model_at(dir.path()), std::nullopt);
  const auto first = dir.write("m-00001-of-00002.gguf", "");
  dir.write("m-00002-of-00002.gguf", "");
  dir.write("config.json", "{}");
  EXPECT_EQ(gguf_model_at(dir.path()), first);
  EXPECT_EQ(gguf_model_at(first), first);
  EXPECT_EQ(gguf_model_at(dir.path() / "config.json"), std::nullopt);
  const auto other = dir.write("a.gguf", "");
  try {
    gguf_model_at(dir.path());
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("2 models (*.gguf) in the folder: name one of them, as " + other.string()));
  }
  dir.write("model.safetensors", "");
  EXPECT_EQ(gguf_model_at(dir.path()), std::nullopt);
  EXPECT_EQ(ModelSource::open(testing::source_dir() / "tests/source/gguf/glm_bias.gguf")->format(), "gguf");
}

TEST(GgufSource, RefusesShapesThatAreNotThoseOfTheName) {
  const auto with = [](const char* architecture, const std::string& name, Shape shape, DType dtype = DType::kF32) {
    Builder builder(architecture);
    builder.tensor(name, shape, dtype);
    return builder;
  };
  EXPECT_THAT(refusal(with("llama", "blk.0.ffn_up.weight", {2, 2, 2})), HasSubstr("[2, 2, 2], expected 1 or 2 dim"));
  EXPECT_THAT(refusal(with("llama", "blk.0.attn_q.weight", {6, 8})), HasSubstr("[6, 8], expected 8 rows: heads of 4"));
  EXPECT_THAT(refusal(with("llama", "blk.0.attn_k.bias", {32}, DType::kQ4_0)), HasSubstr("expected 4 rows"));
  EXPECT_THAT(refusal(with("llama", "blk.0.attn_q.bias", {8}), ErrorCode::kUnsupported), HasSubstr("only both with"));
  EXPECT_THAT(refusal(with("llama", "rope_freqs.weight", {2}, DType::kF16)), HasSubstr("type F16, expected F32"));
  EXPECT_THAT(refusal(with("glm4", "blk.0.attn_qkv.weight", {15, 8})), HasSubstr("expected 16 rows: of q, k and v"));
  EXPECT_THAT(refusal(with("glm4", "blk.0.attn_norm.weight", {8}, DType::kI32), ErrorCode::kUnsupported),
              HasSubstr("\"blk.0.attn_norm.weight\": weights of type I32 are not supported"));
  Builder experts("qwen3moe");
  experts.u32("expert_count", 4);
  experts.u32("expert_used_count", 2);
  experts.u32("expert_feed_forward_length", 8);
  experts.tensor("blk.0.ffn_gate_exps.weight", {3, 8, 8});
  EXPECT_THAT(refusal(experts), HasSubstr("[3, 8, 8], expected [4 (expert_count)"));
  experts.tensors.pop_back();
  experts.tensor("blk.0.ffn_gate_up_exps.weight", {4, 7, 8});
  EXPECT_THAT(refusal(experts), HasSubstr("a multiple of 2"));
  experts.tensors.pop_back();
  experts.tensor("blk.0.ffn_gate_exps.weight", {4, 8});
  EXPECT_THAT(refusal(experts), HasSubstr("expected 3 dimensions"));
}

TEST(GgufSource, LimitsTheExpertsOfSmallFiles) {
  Builder builder("qwen3moe");
  builder.u32("expert_count", 1 << 19);
  builder.u32("expert_used_count", 2);
  builder.u32("expert_feed_forward_length", 1);
  for (const char* part : {"gate", "up", "down"}) {
    builder.tensor(fmt::format("blk.0.ffn_{}_exps.weight", part), {1 << 19, 1, 1}, DType::kF16);
  }
  EXPECT_THAT(refusal(builder, ErrorCode::kLimit), HasSubstr("more than 1048576 matrices, each expert counted"));
}

TEST(GgufSource, RefusesWhatIsNoLanguageModel) {
  Builder builder("llama");
  builder.tensors.clear();
  EXPECT_THAT(refusal(builder), HasSubstr("\"token_embd.weight\" is missing"));
  Builder vision("llama");
  vision.metadata[0].value = std::string("clip");
  EXPECT_THAT(refusal(vision, ErrorCode::kUnsupported), HasSubstr("\"clip\" is not supported; known: glm4moe"));
  Builder nameless("llama");
  nameless.metadata[0].key = "general.name";
  EXPECT_THAT(refusal(nameless), HasSubstr("\"general.architecture\": expected a string, found no such key"));
  Builder both("llama");
  both.tensor("blk.0.attn_norm.weight", {8});
  both.tensor("blk.00.attn_norm.weight", {8});
  EXPECT_EQ(refusal(both), "no error");  // the second is unknown
}

}  // namespace
}  // namespace glimmer
