// config.json: both styles, every fault with file and field, nothing unknown let through.
#include "model/config.h"

#include <gmock/gmock.h>

#include <functional>

#include "base/error.h"
#include "model/generation_config.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json flash() {
  return parse_json(R"({"model_type": "glm4_moe_lite", "architectures": ["Glm4MoeLiteForCausalLM"],
    "vocab_size": 154880, "hidden_size": 2048, "intermediate_size": 10240, "num_hidden_layers": 47,
    "num_attention_heads": 20, "num_key_value_heads": 20, "max_position_embeddings": 202752, "hidden_act": "silu",
    "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "q_lora_rank": 768, "kv_lora_rank": 512,
    "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "attention_bias": false,
    "rope_theta": 1000000, "rope_scaling": null, "partial_rotary_factor": 1.0, "moe_intermediate_size": 1536,
    "n_routed_experts": 64, "num_experts_per_tok": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
    "norm_topk_prob": true, "routed_scaling_factor": 1.8, "topk_method": "noaux_tc", "first_k_dense_replace": 1,
    "num_nextn_predict_layers": 1, "eos_token_id": [154820, 154827, 154829]})",
                    "flash");
}

Json air() {
  return parse_json(R"({"model_type": "glm4_moe", "vocab_size": 151552, "hidden_size": 4096,
    "intermediate_size": 10944, "num_hidden_layers": 46, "num_attention_heads": 96, "num_key_value_heads": 8,
    "head_dim": 128, "max_position_embeddings": 131072, "hidden_act": "silu", "rms_norm_eps": 1e-05,
    "tie_word_embeddings": false, "attention_bias": true, "use_qk_norm": false, "rope_theta": 1000000,
    "rope_scaling": null, "partial_rotary_factor": 0.5, "moe_intermediate_size": 1408, "n_routed_experts": 128,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": true,
    "routed_scaling_factor": 1.0, "first_k_dense_replace": 1, "num_nextn_predict_layers": 1,
    "eos_token_id": [151329, 151336, 151338]})",
                    "air");
}

std::string message_of(const Json& json, ErrorCode code = ErrorCode::kInvalid) {
  try {
    parse_config(json, "x/config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(Config, ReadsGlm47Flash) {
  const ModelConfig c = parse_config(flash(), "flash");
  EXPECT_EQ(c.attention, AttentionKind::kMla);
  EXPECT_EQ(c.qk_head_dim(), 256);
  EXPECT_EQ(c.kv_values_per_token_and_layer(), 576);
  EXPECT_DOUBLE_EQ(c.attention_scale, 1.0 / 16);
  EXPECT_EQ(c.rope_parameters.pairing, RopePairing::kInterleaved);
  EXPECT_EQ(c.rope_parameters.rotary_dim, 64);
  EXPECT_EQ(c.rope_parameters.rope_theta, 1e6);
  EXPECT_EQ(c.lora_norm_eps, 1e-6);  // not rms_norm_eps, as in transformers
  EXPECT_FALSE(c.is_sparse(0));
  EXPECT_TRUE(c.is_sparse(1));
  EXPECT_TRUE(c.is_sparse(46));
  EXPECT_THAT(c.eos_token_id, ElementsAre(154820, 154827, 154829));
  EXPECT_THAT(c.defaults_taken, ElementsAre("rope_interleave = true"));
}

TEST(Config, ReadsGlm45Air) {
  const ModelConfig c = parse_config(air(), "air");
  EXPECT_EQ(c.attention, AttentionKind::kGqa);
  EXPECT_EQ(c.rope_parameters.pairing, RopePairing::kHalfSplit);
  EXPECT_EQ(c.rope_parameters.rotary_dim, 64);
  EXPECT_EQ(c.kv_values_per_token_and_layer(), 2048);
  EXPECT_TRUE(c.attention_bias);
  EXPECT_THAT(c.defaults_taken, ElementsAre());
}

TEST(Config, BothStylesMeanTheSame) {
  Json json = air();
  json.erase("rope_theta");
  json.erase("rope_scaling");
  json.erase("partial_rotary_factor");
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 1000000.0}, {"partial_rotary_factor", 0.5}};
  const ModelConfig v5 = parse_config(json, "v5");
  const ModelConfig v4 = parse_config(air(), "v4");
  EXPECT_EQ(v5.rope_parameters.rope_theta, v4.rope_parameters.rope_theta);
  EXPECT_EQ(v5.rope_parameters.rotary_dim, v4.rope_parameters.rotary_dim);

  Json types = flash();
  types.erase("first_k_dense_replace");
  types["mlp_layer_types"] = Json::array();
  for (int i = 0; i < 47; ++i) types["mlp_layer_types"].push_back(i < 2 ? "dense" : "sparse");
  const ModelConfig c = parse_config(types, "types");
  EXPECT_FALSE(c.is_sparse(1));
  EXPECT_TRUE(c.is_sparse(2));
}

TEST(Config, ADefaultIsTakenAloud) {
  Json json = air();
  json.erase("n_group");
  json.erase("norm_topk_prob");
  EXPECT_THAT(parse_config(json, "x").defaults_taken, ElementsAre("n_group = 1", "norm_topk_prob = true"));
}

TEST(Config, EveryCompulsoryFieldIsNamedWhenAbsentOrOfAnotherType) {
  for (const char* field :
       {"model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "max_position_embeddings", "hidden_act", "rms_norm_eps", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
        "v_head_dim", "moe_intermediate_size", "n_routed_experts", "num_experts_per_tok", "n_shared_experts",
        "q_lora_rank"}) {
    Json absent = flash();
    absent.erase(field);
    EXPECT_THAT(message_of(absent), HasSubstr(fmt::format("x/config.json: field {}: expected", field)));
    for (const Json& wrong : {Json(Json::array()), Json(-1.5e300), Json(false)}) {
      Json json = flash();
      json[field] = wrong;
      if (std::string_view(field) == "rms_norm_eps" && wrong.is_number()) continue;  // tested below
      EXPECT_THAT(message_of(json), HasSubstr(field));
    }
  }
}

struct Fault {
  const char* name;
  std::function<void(Json&)> make;
  ErrorCode code;
  const char* message;
};

class ConfigFault : public ::testing::TestWithParam<Fault> {};

TEST_P(ConfigFault, IsAnErrorThatSaysWhatIsWrong) {
  Json json = flash();
  GetParam().make(json);
  EXPECT_THAT(message_of(json, GetParam().code), HasSubstr(GetParam().message));
}

constexpr ErrorCode kInvalid = ErrorCode::kInvalid;
constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;

INSTANTIATE_TEST_SUITE_P(
    All, ConfigFault,
    ::testing::Values(
        Fault{
            "model_type", [](Json& j) { j["model_type"] = "gpt2"; }, kUnsupported,
            "model_type \"gpt2\" is not supported; known: glm4_moe, glm4_moe_lite, glm4, glm, llama, qwen3, qwen3_moe"},
        Fault{"hidden_act", [](Json& j) { j["hidden_act"] = "gelu"; }, kUnsupported,
              "\"gelu\" is not supported; known: silu"},
        Fault{"rope_type",
              [](Json& j) {
                j["rope_scaling"] = {{"rope_type", "longrope"}, {"factor", 2.0}};
              },
              kUnsupported, "\"longrope\" is not supported; known: default, linear, yarn, llama3"},
        Fault{"rope_factor",
              [](Json& j) {
                j["rope_scaling"] = {{"rope_type", "linear"}};
              },
              kInvalid, "factor: expected"},
        Fault{"partial_rotary", [](Json& j) { j["partial_rotary_factor"] = 0.5; }, kInvalid, "expected 1"},
        Fault{"huge_rotary", [](Json& j) { j["partial_rotary_factor"] = 9e21; }, kInvalid,
              "partial_rotary_factor 9e+21"},
        Fault{"architecture", [](Json& j) { j["architectures"] = {"FooForCausalLM"}; }, kInvalid,
              "field architectures: expected a list with Glm4MoeLiteForCausalLM"},
        Fault{"nested_rope",
              [](Json& j) {
                j["rope_parameters"] = {{"full_attention", {{"rope_theta", 1e6}}}};
              },
              kUnsupported, "rope parameters for each kind of layer (\"full_attention\")"},
        Fault{"yarn_beta",
              [](Json& j) {
                j["rope_scaling"] = {{"rope_type", "yarn"},
                                     {"factor", 2.0},
                                     {"truncate", true},
                                     {"beta_fast", -1.0},
                                     {"original_max_position_embeddings", 64}};
              },
              kInvalid, "beta_fast: expected a number above 0"},
        Fault{"theta", [](Json& j) { j["rope_theta"] = 1; }, kInvalid, "rope_theta: expected a number above 1"},
        Fault{"scoring", [](Json& j) { j["scoring_func"] = "softmax"; }, kUnsupported, "known: sigmoid"},
        Fault{"topk_method", [](Json& j) { j["topk_method"] = "greedy"; }, kUnsupported, "known: noaux_tc"},
        Fault{"groups", [](Json& j) { j["n_group"] = 7; }, kInvalid, "n_group 7"},
        Fault{"topk_group", [](Json& j) { j["topk_group"] = 2; }, kInvalid, "topk_group: expected"},
        Fault{"topk_above_groups", [](Json& j) { j["n_group"] = 32; }, kInvalid, "topk_group 1 groups hold 2 experts"},
        Fault{"kv_heads", [](Json& j) { j["num_key_value_heads"] = 4; }, kInvalid, "num_key_value_heads 4"},
        Fault{"eps", [](Json& j) { j["rms_norm_eps"] = 0; }, kInvalid, "rms_norm_eps: expected a number above 0"},
        Fault{"layers", [](Json& j) { j["num_hidden_layers"] = 1000000000; }, kInvalid, "num_hidden_layers"},
        Fault{"layer_types", [](Json& j) { j["mlp_layer_types"] = {"dense"}; }, kInvalid,
              "a list of num_hidden_layers = 47"},
        Fault{"layer_type", [](Json& j) { j["mlp_layer_types"] = Json(std::vector<std::string>(47, "moe")); }, kInvalid,
              "only \"dense\" and \"sparse\""},
        Fault{"huge", [](Json& j) { j["vocab_size"] = 18446744073709551615ULL; }, kInvalid, "vocab_size: expected"},
        Fault{"eos", [](Json& j) { j["eos_token_id"] = "</s>"; }, kInvalid, "eos_token_id: expected"},
        Fault{"negative_eos", [](Json& j) { j["eos_token_id"] = {-1}; }, kInvalid, "eos_token_id: expected"}),
    [](const auto& test) { return test.param.name; });

TEST(Config, ANonObjectIsAnError) { EXPECT_THAT(message_of(Json::array()), HasSubstr("expected a JSON object")); }

TEST(GenerationConfig, ReadsTheListOfIdsAndFallsBackToConfig) {
  const ModelConfig config = parse_config(flash(), "flash");
  const testing::TempDir dir;
  EXPECT_THAT(read_generation_config(dir.path(), config).eos_token_id, ElementsAre(154820, 154827, 154829));
  dir.write("generation_config.json",
            R"({"eos_token_id": [3, 1, 2], "temperature": 0.6, "top_p": 0.95, "do_sample": true})");
  const GenerationConfig generation = read_generation_config(dir.path(), config);
  EXPECT_THAT(generation.eos_token_id, ElementsAre(3, 1, 2));
  EXPECT_EQ(generation.temperature, 0.6);
  EXPECT_EQ(generation.top_p, 0.95);
  EXPECT_EQ(generation.do_sample, true);
  EXPECT_FALSE(generation.top_k.has_value());
  for (const char* bad : {R"({"temperature": "warm"})", R"({"top_p": 5})", R"({"top_k": -2})", R"({"min_p": -0.1})"}) {
    dir.write("generation_config.json", bad);
    EXPECT_THROW(read_generation_config(dir.path(), config), Error) << bad;
  }
}

}  // namespace
}  // namespace glimmer
