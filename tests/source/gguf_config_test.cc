#include "source/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/config.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::HasSubstr;

// Metadata with the bytes that it views.
struct Written {
  std::string bytes;
  GgufContent content;
};
Written written(const std::vector<GgufKeyValue>& metadata) {
  Written out;
  out.bytes = gguf_layout(metadata, {}).header;
  out.content = parse_gguf(std::as_bytes(std::span(out.bytes)), "x.gguf");
  return out;
}

Json fixture(const std::string& name) {
  const auto path = testing::source_dir() / "tests/fixtures" / name / "config.json";
  return parse_json(read_file(path), "config.json");
}

GgufTensorFacts facts_of(const Json& json) {
  const ModelConfig config = parse_config(json, "config.json");
  return {.vocab_size = config.vocab_size,
          .output = !config.tie_word_embeddings,
          .attention_bias = config.attention_bias,
          .attention_output_bias = config.attention_output_bias,
          .mlp_bias = config.mlp_bias,
          .qk_norm = config.use_qk_norm,
          .rope_freqs = gguf_rope_freqs(json, "config.json")};
}

std::vector<GgufKeyValue> metadata_of(const Json& config) {
  return gguf_metadata(config,
                       {.name = "Test", .file_type = 32, .mtp_layers = config.value("num_nextn_predict_layers", 0)},
                       "config.json");
}

Json read_back(const std::vector<GgufKeyValue>& metadata, const GgufTensorFacts& facts,
               const std::vector<int32_t>& eos = {}) {
  const Written file = written(metadata);
  const GgufMetadata& read = file.content.metadata;
  return config_json_of(read, require_gguf_architecture(read.require_text("general.architecture"), read.source()),
                        facts, eos);
}

void expect_equal(const ModelConfig& a, const ModelConfig& b) {
#define GLIMMER_EXPECT_SAME(field) EXPECT_EQ(a.field, b.field) << #field
#define GLIMMER_EXPECT_NEAR(field) EXPECT_NEAR(a.field, b.field, 1e-6 * std::abs(a.field)) << #field
  GLIMMER_EXPECT_SAME(model_type);
  GLIMMER_EXPECT_SAME(architecture);
  GLIMMER_EXPECT_SAME(vocab_size);
  GLIMMER_EXPECT_SAME(hidden_size);
  GLIMMER_EXPECT_SAME(intermediate_size);
  GLIMMER_EXPECT_SAME(num_hidden_layers);
  GLIMMER_EXPECT_SAME(max_position_embeddings);
  GLIMMER_EXPECT_SAME(hidden_act);
  GLIMMER_EXPECT_SAME(rms_norm_eps);
  GLIMMER_EXPECT_SAME(tie_word_embeddings);
  GLIMMER_EXPECT_SAME(attention);
  GLIMMER_EXPECT_SAME(num_attention_heads);
  GLIMMER_EXPECT_SAME(attention_bias);
  GLIMMER_EXPECT_SAME(attention_output_bias);
  GLIMMER_EXPECT_SAME(attention_scale);
  GLIMMER_EXPECT_SAME(num_key_value_heads);
  GLIMMER_EXPECT_SAME(head_dim);
  GLIMMER_EXPECT_SAME(use_qk_norm);
  GLIMMER_EXPECT_SAME(q_lora_rank);
  GLIMMER_EXPECT_SAME(kv_lora_rank);
  GLIMMER_EXPECT_SAME(qk_nope_head_dim);
  GLIMMER_EXPECT_SAME(qk_rope_head_dim);
  GLIMMER_EXPECT_SAME(v_head_dim);
  GLIMMER_EXPECT_SAME(lora_norm_eps);
  GLIMMER_EXPECT_SAME(mlp_layer_types);
  GLIMMER_EXPECT_SAME(mlp_bias);
  GLIMMER_EXPECT_SAME(moe_intermediate_size);
  GLIMMER_EXPECT_SAME(n_routed_experts);
  GLIMMER_EXPECT_SAME(num_experts_per_tok);
  GLIMMER_EXPECT_SAME(n_shared_experts);
  GLIMMER_EXPECT_SAME(n_group);
  GLIMMER_EXPECT_SAME(topk_group);
  GLIMMER_EXPECT_SAME(router_scoring);
  GLIMMER_EXPECT_SAME(norm_topk_prob);
  GLIMMER_EXPECT_SAME(routed_scaling_factor);
  GLIMMER_EXPECT_SAME(num_nextn_predict_layers);
  GLIMMER_EXPECT_SAME(rope_parameters.rope_type);
  GLIMMER_EXPECT_SAME(rope_parameters.rope_theta);
  GLIMMER_EXPECT_SAME(rope_parameters.partial_rotary_factor);
  GLIMMER_EXPECT_SAME(rope_parameters.pairing);
  GLIMMER_EXPECT_SAME(rope_parameters.rotary_dim);
  GLIMMER_EXPECT_SAME(rope_parameters.factor);
  GLIMMER_EXPECT_SAME(rope_parameters.original_max_position_embeddings);
  GLIMMER_EXPECT_SAME(rope_parameters.low_freq_factor);
  GLIMMER_EXPECT_SAME(rope_parameters.high_freq_factor);
  GLIMMER_EXPECT_SAME(rope_parameters.beta_fast);
  GLIMMER_EXPECT_SAME(rope_parameters.beta_slow);
  GLIMMER_EXPECT_SAME(rope_parameters.truncate);
  GLIMMER_EXPECT_SAME(rope_parameters.mscale_all_dim);
  GLIMMER_EXPECT_NEAR(rope_parameters.attention_factor);
#undef GLIMMER_EXPECT_SAME
#undef GLIMMER_EXPECT_NEAR
}

// Those whose config.json GGUF has no words for, and what is said of them.
const std::map<std::string, std::string>& inexpressible() {
  static const std::map<std::string, std::string> kFixtures = {
      {"glm4_moe_lite_half_split", "rope_interleave: false: GGUF's deepseek2 rotates interleaved pairs"},
      {"glm4_moe_lite_bias", "attention_bias: true: GGUF's deepseek2 has no biases"},
      {"glm4_moe_lite_yarn", "mscale_all_dim: 0.7: GGUF's deepseek2 has YaRN only with mscale = mscale_all_dim"},
      {"glm4_moe_lite_mixed", "mlp_layer_types: [\"sparse\",\"dense\",\"sparse\"]: GGUF has dense layers first"},
      {"glm4_moe_yarn", "truncate: false: GGUF always rounds"},
      {"qwen3_moe_dense_layers", "GGUF's qwen3moe is sparse throughout"},
      {"qwen3_moe_steps", "GGUF's qwen3moe is sparse throughout"},
  };
  return kFixtures;
}

TEST(GgufConfig, OfEveryFixtureSurvivesTheRoundTrip) {
  std::map<std::string, int> families;
  for (const auto& dir : testing::fixture_dirs()) {
    const std::string name = dir.filename();
    SCOPED_TRACE(name);
    const Json config = fixture(name);
    if (const auto at = inexpressible().find(name); at != inexpressible().end()) {
      try {
        metadata_of(config);
        ADD_FAILURE() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
        EXPECT_THAT(error.what(), HasSubstr(at->second));
      }
      continue;
    }
    const Json back = read_back(metadata_of(config), facts_of(config));
    expect_equal(parse_config(config, "before"), parse_config(back, "after"));
    ++families[config["model_type"]];
  }
  for (const char* family : {"glm", "glm4", "glm4_moe", "glm4_moe_lite", "llama", "qwen3", "qwen3_moe"}) {
    EXPECT_GT(families[family], 0) << family;
  }
}

const GgufOwnedValue* find(const std::vector<GgufKeyValue>& metadata, std::string_view key) {
  for (const GgufKeyValue& entry : metadata) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}
void replace(std::vector<GgufKeyValue>& metadata, std::string_view key, GgufOwnedValue value) {
  for (GgufKeyValue& entry : metadata) {
    if (entry.key == key) {
      entry.value = std::move(value);
      return;
    }
  }
  metadata.push_back({std::string(key), std::move(value)});
}
void remove(std::vector<GgufKeyValue>& metadata, std::string_view key) {
  ASSERT_NE(find(metadata, key), nullptr) << key;
  std::erase_if(metadata, [&](const GgufKeyValue& entry) { return entry.key == key; });
}

TEST(GgufMetadata, OfTheFlashIsThatOfLlamaCpp) {
  const std::vector<GgufKeyValue> metadata = metadata_of(fixture("glm4_moe_lite_flash"));
  const auto u32 = [&](std::string_view key) { return std::get<uint32_t>(*find(metadata, key)); };
  EXPECT_EQ(std::get<std::string>(metadata[0].value), "deepseek2");
  EXPECT_EQ(u32("general.file_type"), 32u);
  EXPECT_EQ(u32("general.quantization_version"), 2u);
  EXPECT_EQ(u32("general.alignment"), 32u);
  EXPECT_EQ(u32("deepseek2.block_count"), 3u);  // two and the MTP block
  EXPECT_EQ(u32("deepseek2.nextn_predict_layers"), 1u);
  EXPECT_EQ(u32("deepseek2.attention.head_count_kv"), 1u);
  EXPECT_EQ(u32("deepseek2.attention.key_length"), 28u);  // kv_lora_rank 20 and 8 rotated
  EXPECT_EQ(u32("deepseek2.attention.value_length"), 20u);
  EXPECT_EQ(u32("deepseek2.attention.key_length_mla"), 20u);  // 12 and 8
  EXPECT_EQ(u32("deepseek2.attention.value_length_mla"), 14u);
  EXPECT_EQ(u32("deepseek2.attention.q_lora_rank"), 24u);
  EXPECT_EQ(u32("deepseek2.attention.kv_lora_rank"), 20u);
  EXPECT_EQ(u32("deepseek2.rope.dimension_count"), 8u);
  EXPECT_EQ(u32("deepseek2.leading_dense_block_count"), 1u);
  EXPECT_EQ(u32("deepseek2.expert_gating_func"), 2u);
  EXPECT_EQ(u32("deepseek2.expert_shared_count"), 1u);
  EXPECT_EQ(u32("deepseek2.expert_feed_forward_length"), 12u);
  EXPECT_EQ(u32("deepseek2.vocab_size"), 72u);
  EXPECT_EQ(std::get<float>(*find(metadata, "deepseek2.expert_weights_scale")), 1.8F);
  EXPECT_EQ(std::get<bool>(*find(metadata, "deepseek2.expert_weights_norm")), true);
  EXPECT_EQ(std::get<float>(*find(metadata, "deepseek2.rope.freq_base")), 1e6F);
  EXPECT_EQ(std::get<float>(*find(metadata, "deepseek2.attention.layer_norm_rms_epsilon")), 1e-5F);
}

std::string refusal(const std::vector<GgufKeyValue>& metadata, const GgufTensorFacts& facts) {
  try {
    read_back(metadata, facts);
  } catch (const Error& error) {
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
    return error.what();
  }
  return "no error";
}

// llama.cpp infers it from the sizes of GLM-4.7-Flash.
TEST(GgufConfig, InfersTheGatingFunctionOfTheFlash) {
  const Json config = fixture("glm4_moe_lite_base");
  std::vector<GgufKeyValue> metadata = metadata_of(config);
  GgufTensorFacts facts = facts_of(config);
  remove(metadata, "deepseek2.expert_gating_func");
  EXPECT_THAT(refusal(metadata, facts), HasSubstr("absent: this architecture is supported with sigmoid, 2 (so"));
  facts.vocab_size = 154880;
  EXPECT_THAT(refusal(metadata, facts), HasSubstr("expert_gating_func"));
  for (const uint32_t blocks : {47, 48}) {
    replace(metadata, "deepseek2.block_count", blocks);
    EXPECT_EQ(read_back(metadata, facts)["num_hidden_layers"], blocks);
  }
  replace(metadata, "deepseek2.expert_gating_func", uint32_t{1});
  EXPECT_THAT(refusal(metadata, facts), HasSubstr("u32 1: this architecture is supported with sigmoid"));
}

TEST(GgufConfig, ReadsFilesFromBeforeTheHalvesWereSplit) {
  const Json config = fixture("glm4_moe_lite_base");
  std::vector<GgufKeyValue> metadata = metadata_of(config);
  remove(metadata, "deepseek2.attention.key_length_mla");
  remove(metadata, "deepseek2.attention.value_length_mla");
  replace(metadata, "deepseek2.attention.key_length", uint32_t{20});
  replace(metadata, "deepseek2.attention.value_length", uint32_t{14});
  replace(metadata, "deepseek2.attention.head_count_kv", uint32_t{4});
  expect_equal(parse_config(config, "before"), parse_config(read_back(metadata, facts_of(config)), "after"));
}

TEST(GgufConfig, TakesWhatLlamaCppTakesForAbsentKeys) {
  const Json config = fixture("glm_bias");
  std::vector<GgufKeyValue> metadata = metadata_of(config);
  const GgufTensorFacts facts = facts_of(config);
  // As the converter of chatglm leaves them out: heads of hidden_size / num_attention_heads, all of it rotated.
  remove(metadata, "chatglm.attention.key_length");
  remove(metadata, "chatglm.attention.value_length");
  remove(metadata, "chatglm.rope.dimension_count");
  remove(metadata, "chatglm.rope.freq_base");
  const Json back = read_back(metadata, facts, {7, 9});
  EXPECT_EQ(back["head_dim"], 8);
  EXPECT_EQ(back["rope_parameters"]["partial_rotary_factor"], 1.0);
  EXPECT_EQ(back["rope_parameters"]["rope_theta"], 10000.0);
  EXPECT_EQ(back["rms_norm_eps"], 1.5625e-07);
  EXPECT_EQ(back["eos_token_id"], Json::parse("[7, 9]"));
  EXPECT_EQ(back["dtype"], "bfloat16");
}

TEST(GgufConfig, ReadsArraysThatSayTheSameForAllLayers) {
  const Json config = fixture("llama_base");
  std::vector<GgufKeyValue> metadata = metadata_of(config);
  const auto heads = std::get<uint32_t>(*find(metadata, "llama.attention.head_count"));
  replace(metadata, "llama.attention.head_count", std::vector<uint32_t>{heads, heads});
  EXPECT_EQ(read_back(metadata, facts_of(config))["num_attention_heads"], heads);
  replace(metadata, "llama.attention.head_count", std::vector<uint32_t>{heads, heads + 1});
  EXPECT_THAT(refusal(metadata, facts_of(config)), HasSubstr("layers of different sizes"));
  replace(metadata, "llama.attention.head_count", std::vector<uint32_t>{});
  EXPECT_THAT(refusal(metadata, facts_of(config)), HasSubstr("expected a number for each layer"));
}

TEST(GgufConfig, RecognisesTheRopeOfLlama3) {
  Json config = fixture("llama_rope_llama3");
  config.erase("rope_scaling");
  config["head_dim"] = 64;
  config["rope_parameters"] = {{"rope_type", "llama3"},   {"rope_theta", 500000.0},
                               {"factor", 32.0},          {"low_freq_factor", 1.0},
                               {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
  std::vector<GgufKeyValue> metadata = metadata_of(config);
  for (const char* key :
       {"original_context_length", "llama3.factor", "llama3.low_freq_factor", "llama3.high_freq_factor"}) {
    remove(metadata, fmt::format("llama.rope.scaling.{}", key));  // as llama.cpp's converter leaves them out
  }
  GgufTensorFacts facts = facts_of(config);
  ASSERT_EQ(facts.rope_freqs.size(), 32u);
  EXPECT_EQ(facts.rope_freqs[0], 1);
  EXPECT_EQ(facts.rope_freqs[31], 32);
  expect_equal(parse_config(config, "before"), parse_config(read_back(metadata, facts), "after"));
  facts.rope_freqs[16] *= 1.1F;
  EXPECT_THAT(refusal(metadata, facts), HasSubstr("its 32 divisors are not those of rope_type llama3 with factor 32"));
  facts.rope_freqs.pop_back();
  EXPECT_THAT(refusal(metadata, facts), HasSubstr("its 31 divisors"));
}

struct Change {
  const char* name;
  const char* fixture;
  const char* key;
  GgufOwnedValue value;
  const char* message;
};
void PrintTo(const Change& change, std::ostream* out) { *out << change.name; }

class GgufConfigFault : public ::testing::TestWithParam<Change> {};

TEST_P(GgufConfigFault, IsRefused) {
  const Json config = fixture(GetParam().fixture);
  std::vector<GgufKeyValue> metadata = metadata_of(config);
  replace(metadata, GetParam().key, GetParam().value);
  const std::string message = refusal(metadata, facts_of(config));
  EXPECT_THAT(message, HasSubstr(GetParam().key));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Metadata, GgufConfigFault,
    ::testing::Values(
        Change{"Blocks0", "llama_base", "llama.block_count", uint32_t{0}, "expected a whole number from 1"},
        Change{"BlocksText", "llama_base", "llama.block_count", std::string("2"), "expected an integer, found \"2\""},
        Change{"OnlyMtp", "glm4_moe_mtp", "glm4moe.block_count", uint32_t{1}, "more than nextn_predict_layers 1"},
        Change{"ContextHuge", "llama_base", "llama.context_length", uint64_t{1} << 40,
               "expected a whole number from 1"},
        Change{"Experts", "llama_base", "llama.expert_count", uint32_t{8}, "experts are not supported here"},
        Change{"ValueLength", "glm4_moe_base", "glm4moe.attention.value_length", uint32_t{4}, "only the key_length"},
        Change{"Rotated", "glm4_moe_base", "glm4moe.rope.dimension_count", uint32_t{64}, "a head has 8 values"},
        Change{"PartOfAHead", "llama_base", "llama.rope.dimension_count", uint32_t{2}, "a head has"},
        Change{"RotatedMla", "glm4_moe_lite_base", "deepseek2.rope.dimension_count", uint32_t{20}, "less than the 20"},
        Change{"Softmax", "glm4_moe_base", "glm4moe.expert_gating_func", uint32_t{1}, "sigmoid"},
        Change{"Sigmoid", "qwen3_moe_base", "qwen3moe.expert_gating_func", uint32_t{2}, "softmax"},
        Change{"Vision", "glm4_moe_base", "glm4moe.rope.dimension_sections", std::vector<int32_t>{8, 12, 12, 0},
               "vision"},
        Change{"LongRope", "llama_base", "llama.rope.scaling.type", std::string("longrope"), "known are none, linear"},
        Change{"Window", "llama_base", "llama.attention.sliding_window", uint32_t{4096}, "not supported"},
        Change{"Eps", "llama_base", "llama.attention.layer_norm_rms_epsilon", std::string("x"), "expected a number"},
        Change{"Norm", "glm4_moe_base", "glm4moe.expert_weights_norm", uint32_t{1}, "expected a bool"},
        Change{"ExtFactor", "glm4_yarn_tied", "glm4.rope.scaling.yarn_ext_factor", 0.5F, "only 1 is supported"},
        Change{"LogMultiplier", "glm4_yarn_tied", "glm4.rope.scaling.yarn_log_multiplier", 0.1F, "deepseek2 only"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace glimmer
