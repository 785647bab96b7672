// config.json of the families llama, qwen3 and qwen3_moe, as their makers publish it.
#include <gmock/gmock.h>

#include <functional>

#include "base/error.h"
#include "model/config.h"

namespace glimmer {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json llama31() {
  return parse_json(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 128256})",
                    "llama31");
}

Json qwen3() {
  return parse_json(R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "bos_token_id": 151643,
    "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072,
    "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16,
    "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null,
    "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "use_sliding_window": false, "vocab_size": 151936})",
                    "qwen3");
}

Json qwen3_moe() {
  return parse_json(R"({"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "bos_token_id": 151643,
    "decoder_sparse_step": 1, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048,
    "intermediate_size": 6144, "max_position_embeddings": 40960, "max_window_layers": 48, "mlp_only_layers": [],
    "model_type": "qwen3_moe", "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32,
    "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": null,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 151936})",
                    "qwen3_moe");
}

std::string message_of(const Json& json, ErrorCode code) {
  try {
    parse_config(json, "x/config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(LlamaConfig, ReadsLlama31) {
  const ModelConfig c = parse_config(llama31(), "llama31");
  EXPECT_EQ(c.attention, AttentionKind::kGqa);
  EXPECT_EQ(c.head_dim, 128);
  EXPECT_FALSE(c.attention_bias);
  EXPECT_FALSE(c.attention_output_bias);
  EXPECT_FALSE(c.mlp_bias);
  EXPECT_FALSE(c.use_qk_norm);
  EXPECT_FALSE(c.is_sparse(31));
  EXPECT_EQ(c.n_routed_experts, 0);
  const RopeParameters& rope = c.rope_parameters;
  EXPECT_EQ(rope.pairing, RopePairing::kHalfSplit);
  EXPECT_EQ(rope.rotary_dim, 128);
  EXPECT_EQ(rope.rope_type, "llama3");
  EXPECT_EQ(rope.factor, 8);
  EXPECT_EQ(rope.low_freq_factor, 1);
  EXPECT_EQ(rope.high_freq_factor, 4);
  EXPECT_EQ(rope.original_max_position_embeddings, 8192);
  EXPECT_EQ(rope.rope_theta, 500000);
  EXPECT_THAT(c.defaults_taken, ElementsAre("head_dim = 128", "partial_rotary_factor = 1"));
}

TEST(LlamaConfig, WithoutKeyValueHeadsThereIsOneAHead) {
  Json json = llama31();
  json.erase("num_key_value_heads");
  const ModelConfig c = parse_config(json, "x");
  EXPECT_EQ(c.num_key_value_heads, 32);
  EXPECT_THAT(c.defaults_taken, Contains("num_key_value_heads = 32"));
}

TEST(LlamaConfig, BiasesAreOfEveryProjection) {
  Json json = llama31();
  json["attention_bias"] = true;
  json["mlp_bias"] = true;
  const ModelConfig c = parse_config(json, "x");
  EXPECT_TRUE(c.attention_bias);
  EXPECT_TRUE(c.attention_output_bias);
  EXPECT_TRUE(c.mlp_bias);
}

TEST(LlamaConfig, TheOriginalContextAtTopLevelIsTheStronger) {
  Json json = llama31();
  json["original_max_position_embeddings"] = 4096;
  EXPECT_EQ(parse_config(json, "x").rope_parameters.original_max_position_embeddings, 4096);
}

TEST(Qwen3Config, ReadsQwen3) {
  const ModelConfig c = parse_config(qwen3(), "qwen3");
  EXPECT_TRUE(c.use_qk_norm);
  EXPECT_EQ(c.head_dim, 128);  // hidden_size / num_attention_heads would be 64
  EXPECT_TRUE(c.tie_word_embeddings);
  EXPECT_EQ(c.rope_parameters.rotary_dim, 128);
  EXPECT_THAT(c.eos_token_id, ElementsAre(151645));
  Json absent = qwen3();
  absent.erase("head_dim");
  EXPECT_EQ(parse_config(absent, "x").head_dim, 128);
}

TEST(Qwen3Config, AWindowThatIsNotUsedIsLegal) {
  Json json = qwen3();
  json["sliding_window"] = 4096;
  json["layer_types"] = Json(std::vector<std::string>(28, "full_attention"));
  EXPECT_NO_THROW(parse_config(json, "x"));
}

TEST(Qwen3MoeConfig, ReadsQwen330BA3B) {
  const ModelConfig c = parse_config(qwen3_moe(), "qwen3_moe");
  EXPECT_TRUE(c.use_qk_norm);
  EXPECT_EQ(c.router_scoring, RouterScoring::kSoftmax);
  EXPECT_EQ(c.n_routed_experts, 128);
  EXPECT_EQ(c.num_experts_per_tok, 8);
  EXPECT_EQ(c.moe_intermediate_size, 768);
  EXPECT_EQ(c.n_shared_experts, 0);
  EXPECT_EQ(c.n_group, 1);
  EXPECT_EQ(c.routed_scaling_factor, 1);
  EXPECT_TRUE(c.norm_topk_prob);
  EXPECT_TRUE(c.is_sparse(0));
  EXPECT_TRUE(c.is_sparse(47));
  EXPECT_THAT(c.defaults_taken, ElementsAre("partial_rotary_factor = 1"));
}

TEST(Qwen3MoeConfig, ReadsTheSpellingOfTransformers5) {
  Json json = qwen3_moe();
  json["num_local_experts"] = 64;  // the stronger one
  EXPECT_EQ(parse_config(json, "x").n_routed_experts, 64);
  json.erase("num_experts");
  EXPECT_EQ(parse_config(json, "x").n_routed_experts, 64);
}

TEST(Qwen3MoeConfig, SparseLayersGoByStepAndExceptions) {
  Json json = qwen3_moe();
  json["num_hidden_layers"] = 6;
  json["decoder_sparse_step"] = 2;
  json["mlp_only_layers"] = {3};
  const ModelConfig c = parse_config(json, "x");
  std::vector<bool> sparse;
  for (int64_t layer = 0; layer < 6; ++layer) sparse.push_back(c.is_sparse(layer));
  EXPECT_THAT(sparse, ElementsAre(false, true, false, false, false, true));
}

TEST(Qwen3MoeConfig, WithoutNormTopkProbTheScoresStay) {
  Json json = qwen3_moe();
  json.erase("norm_topk_prob");
  const ModelConfig c = parse_config(json, "x");
  EXPECT_FALSE(c.norm_topk_prob);
  EXPECT_THAT(c.defaults_taken, Contains("norm_topk_prob = false"));
}

struct Fault {
  const char* name;
  Json (*base)();
  std::function<void(Json&)> make;
  ErrorCode code;
  const char* message;
};

class LlamaQwenFault : public ::testing::TestWithParam<Fault> {};

TEST_P(LlamaQwenFault, IsAnErrorThatSaysWhatIsWrong) {
  Json json = GetParam().base();
  GetParam().make(json);
  EXPECT_THAT(message_of(json, GetParam().code), HasSubstr(GetParam().message));
}

constexpr ErrorCode kInvalid = ErrorCode::kInvalid;
constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;

INSTANTIATE_TEST_SUITE_P(
    All, LlamaQwenFault,
    ::testing::Values(
        Fault{"hidden_act", llama31, [](Json& j) { j["hidden_act"] = "gelu"; }, kUnsupported, "known: silu"},
        Fault{"partial_rotary", llama31, [](Json& j) { j["partial_rotary_factor"] = 0.5; }, kInvalid,
              "partial_rotary_factor 0.5: expected 1: llama rotates all 128 values"},
        Fault{"mlp_bias", llama31, [](Json& j) { j["mlp_bias"] = "no"; }, kInvalid, "mlp_bias: expected true or false"},
        Fault{"kv_heads", llama31, [](Json& j) { j["num_key_value_heads"] = 5; }, kInvalid, "num_key_value_heads 5"},
        Fault{"no_factor", llama31, [](Json& j) { j["rope_scaling"].erase("factor"); }, kInvalid,
              "rope_scaling.factor: expected a number, found nothing"},
        Fault{"no_low", llama31, [](Json& j) { j["rope_scaling"].erase("low_freq_factor"); }, kInvalid,
              "rope_scaling.low_freq_factor: expected a number"},
        Fault{"no_high", llama31, [](Json& j) { j["rope_scaling"].erase("high_freq_factor"); }, kInvalid,
              "rope_scaling.high_freq_factor: expected a number"},
        Fault{"zero_low", llama31, [](Json& j) { j["rope_scaling"]["low_freq_factor"] = 0; }, kInvalid,
              "low_freq_factor: expected a number above 0"},
        Fault{"high_not_above_low", llama31, [](Json& j) { j["rope_scaling"]["high_freq_factor"] = 1.0; }, kInvalid,
              "high_freq_factor: expected a number above low_freq_factor 1"},
        Fault{"zero_factor", llama31, [](Json& j) { j["rope_scaling"]["factor"] = 0; }, kInvalid,
              "factor: expected a number above 0"},
        Fault{"qwen3_kv_heads", qwen3, [](Json& j) { j.erase("num_key_value_heads"); }, kInvalid,
              "num_key_value_heads: expected"},
        Fault{"window", qwen3,
              [](Json& j) {
                j["use_sliding_window"] = true;
                j["sliding_window"] = 4096;
              },
              kUnsupported, "use_sliding_window: true is not supported; known: false"},
        Fault{"window_of_experts", qwen3_moe, [](Json& j) { j["use_sliding_window"] = true; }, kUnsupported,
              "use_sliding_window"},
        Fault{"layer_types", qwen3,
              [](Json& j) {
                j["layer_types"] = {"full_attention", "sliding_attention"};
              },
              kUnsupported, "\"sliding_attention\" is not supported; known: full_attention"},
        Fault{"layer_types_list", qwen3, [](Json& j) { j["layer_types"] = {1}; }, kInvalid, "a list of layer types"},
        Fault{"no_experts", qwen3_moe, [](Json& j) { j.erase("num_experts"); }, kInvalid, "num_experts: expected"},
        Fault{"top_k", qwen3_moe, [](Json& j) { j["num_experts_per_tok"] = 129; }, kInvalid,
              "num_experts_per_tok: expected a whole number from 1 to 128"},
        Fault{"step", qwen3_moe, [](Json& j) { j["decoder_sparse_step"] = 0; }, kInvalid,
              "decoder_sparse_step: expected"},
        Fault{"dense_layer", qwen3_moe, [](Json& j) { j["mlp_only_layers"] = {48}; }, kInvalid,
              "mlp_only_layers: expected a list of layers from 0 to 47"},
        Fault{"huge_dense_layer", qwen3_moe, [](Json& j) { j["mlp_only_layers"] = {18446744073709551615ULL}; },
              kInvalid, "mlp_only_layers: expected"},
        Fault{"dense_layers", qwen3_moe, [](Json& j) { j["mlp_only_layers"] = 3; }, kInvalid,
              "mlp_only_layers: expected"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace glimmer
