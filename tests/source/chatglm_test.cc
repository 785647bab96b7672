// The chatglm layout: its config as published, its names, and what is refused.
#include "source/chatglm.h"

#include <gmock/gmock.h>

#include <functional>
#include <set>

#include "base/error.h"
#include "model/config.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json chat() {
  return parse_json(R"({"architectures": ["ChatGLMModel"], "model_type": "chatglm", "add_bias_linear": false,
    "add_qkv_bias": true, "apply_query_key_layer_scaling": true, "apply_residual_connection_post_layernorm": false,
    "attention_dropout": 0.0, "attention_softmax_in_fp32": true, "bias_dropout_fusion": true,
    "ffn_hidden_size": 13696, "fp32_residual_connection": false, "hidden_dropout": 0.0, "hidden_size": 4096,
    "kv_channels": 128, "layernorm_epsilon": 1.5625e-07, "multi_query_attention": true, "multi_query_group_num": 2,
    "num_attention_heads": 32, "num_hidden_layers": 40, "num_layers": 40, "rope_ratio": 500, "original_rope": true,
    "padded_vocab_size": 151552, "post_layer_norm": true, "rmsnorm": true, "seq_length": 131072, "use_cache": true,
    "torch_dtype": "bfloat16", "tie_word_embeddings": false, "eos_token_id": [151329, 151336, 151338],
    "pad_token_id": 151329})",
                    "chat");
}

TEST(Chatglm, TheConfigOfGlm49bChatIsOfTheFamilyGlm) {
  ASSERT_TRUE(is_chatglm(chat()));
  const ModelConfig c = parse_config(glm_config_of(chat(), "chat"), "chat");
  EXPECT_EQ(c.model_type, "glm");
  EXPECT_EQ(c.vocab_size, 151552);
  EXPECT_EQ(c.hidden_size, 4096);
  EXPECT_EQ(c.intermediate_size, 13696);
  EXPECT_EQ(c.num_hidden_layers, 40);
  EXPECT_EQ(c.num_attention_heads, 32);
  EXPECT_EQ(c.num_key_value_heads, 2);
  EXPECT_EQ(c.head_dim, 128);
  EXPECT_EQ(c.max_position_embeddings, 131072);
  EXPECT_EQ(c.rms_norm_eps, 1.5625e-07);
  EXPECT_TRUE(c.attention_bias);
  EXPECT_FALSE(c.attention_output_bias);
  EXPECT_FALSE(c.tie_word_embeddings);
  EXPECT_EQ(c.rope_parameters.rope_theta, 5e6);
  EXPECT_EQ(c.rope_parameters.rotary_dim, 64);
  EXPECT_EQ(c.rope_parameters.pairing, RopePairing::kInterleaved);
  EXPECT_EQ(c.dtype, "bfloat16");
  EXPECT_THAT(c.eos_token_id, ElementsAre(151329, 151336, 151338));
  EXPECT_THAT(c.defaults_taken, IsEmpty());
}

TEST(Chatglm, WithoutRopeRatioThetaIsTenThousandAndWithoutGroupsEachHeadHasItsOwnKeys) {
  Json json = chat();
  json.erase("rope_ratio");
  json["multi_query_attention"] = false;
  json.erase("multi_query_group_num");
  const ModelConfig c = parse_config(glm_config_of(json, "x"), "x");
  EXPECT_EQ(c.rope_parameters.rope_theta, 10000);
  EXPECT_EQ(c.num_key_value_heads, 32);
}

TEST(Chatglm, OtherModelTypesAreNotIt) {
  EXPECT_FALSE(is_chatglm(parse_json(R"({"model_type": "glm"})", "x")));
  EXPECT_FALSE(is_chatglm(parse_json("{}", "x")));
  EXPECT_FALSE(is_chatglm(parse_json("[]", "x")));
}

TEST(Chatglm, EveryTensorHasItsNames) {
  const ChatglmRows rows = chatglm_rows(glm_config_of(chat(), "chat"));
  EXPECT_EQ(rows.q, 4096);
  EXPECT_EQ(rows.k, 256);
  EXPECT_EQ(rows.v, 256);
  const auto only = [&](const std::string& name) {
    const auto parts = chatglm_parts(name, rows);
    if (!parts || parts->size() != 1) return std::string("not one");
    EXPECT_EQ((*parts)[0].rows, 0) << name;
    return (*parts)[0].name;
  };
  EXPECT_EQ(only("transformer.embedding.word_embeddings.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(only("transformer.encoder.final_layernorm.weight"), "model.norm.weight");
  EXPECT_EQ(only("transformer.output_layer.weight"), "lm_head.weight");
  const std::string layer = "transformer.encoder.layers.39.";
  EXPECT_EQ(only(layer + "input_layernorm.weight"), "model.layers.39.input_layernorm.weight");
  EXPECT_EQ(only(layer + "post_attention_layernorm.weight"), "model.layers.39.post_attention_layernorm.weight");
  EXPECT_EQ(only(layer + "self_attention.dense.weight"), "model.layers.39.self_attn.o_proj.weight");
  EXPECT_EQ(only(layer + "mlp.dense_h_to_4h.weight"), "model.layers.39.mlp.gate_up_proj.weight");
  EXPECT_EQ(only(layer + "mlp.dense_4h_to_h.weight"), "model.layers.39.mlp.down_proj.weight");
}

TEST(Chatglm, QueryKeyValueIsThreeTensorsOneAfterTheOther) {
  for (const std::string leaf : {"weight", "bias"}) {
    const auto parts =
        chatglm_parts("transformer.encoder.layers.0.self_attention.query_key_value." + leaf, {.q = 12, .k = 4, .v = 4});
    ASSERT_TRUE(parts.has_value());
    ASSERT_EQ(parts->size(), 3U);
    const std::string_view letters = "qkv";
    const int64_t first[] = {0, 12, 16};
    const int64_t rows[] = {12, 4, 4};
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ((*parts)[i].name, fmt::format("model.layers.0.self_attn.{}_proj.{}", letters[i], leaf));
      EXPECT_EQ((*parts)[i].first_row, first[i]);
      EXPECT_EQ((*parts)[i].rows, rows[i]);
    }
  }
}

TEST(Chatglm, TheRotaryTableIsKnownAndNotNeeded) {
  const auto parts = chatglm_parts("transformer.rotary_pos_emb.inv_freq", {});
  ASSERT_TRUE(parts.has_value());
  EXPECT_THAT(*parts, IsEmpty());
}

TEST(Chatglm, OtherNamesAreUnknown) {
  for (const char* name :
       {"", "transformer.vision.patch.weight", "model.embed_tokens.weight", "transformer.encoder.layers.",
        "transformer.encoder.layers.1", "transformer.encoder.layers..mlp.dense_4h_to_h.weight",
        "transformer.encoder.layers.01.mlp.dense_4h_to_h.weight",
        "transformer.encoder.layers.-1.input_layernorm.weight",
        "transformer.encoder.layers.99999999999999999999.input_layernorm.weight",
        "transformer.encoder.layers.1.mlp.dense_4h_to_h.bias",
        "transformer.encoder.layers.1.input_layernorm.weight.x"}) {
    EXPECT_FALSE(chatglm_parts(name, {}).has_value()) << name;
  }
}

struct Fault {
  const char* field;
  Json value;
  ErrorCode code;
  const char* message;
};

TEST(Chatglm, WhatTheFamilyCannotSayIsAnError) {
  const ErrorCode invalid = ErrorCode::kInvalid;
  const ErrorCode unsupported = ErrorCode::kUnsupported;
  const Fault faults[] = {
      {"add_bias_linear", true, unsupported, "known: false"},
      {"rmsnorm", false, unsupported, "known: true"},
      {"post_layer_norm", false, unsupported, "known: true"},
      {"original_rope", false, unsupported, "known: true"},
      {"apply_residual_connection_post_layernorm", true, unsupported, "known: false"},
      {"vision_config", {{"hidden_size", 8}}, unsupported, "not supported in chatglm layout"},
      {"rope_scaling", {{"type", "yarn"}}, unsupported, "not supported in chatglm layout"},
      {"quantization_config", {{"quant_method", "gptq"}}, unsupported, "not supported in chatglm layout"},
      {"quantization_bit", 4, unsupported, "known: 0"},
      {"pre_seq_len", 128, unsupported, "known: none"},
      {"rope_ratio", 0, invalid, "expected a number above 0"},
      {"rope_ratio", "x", invalid, "expected a number"},
      {"rmsnorm", 1, invalid, "expected true or false"},
      {"padded_vocab_size", -1, invalid, "expected a whole number"},
  };
  std::set<std::string> required = {"padded_vocab_size", "hidden_size",         "ffn_hidden_size",
                                    "num_layers",        "num_attention_heads", "kv_channels",
                                    "seq_length",        "layernorm_epsilon",   "multi_query_attention",
                                    "add_qkv_bias",      "tie_word_embeddings", "multi_query_group_num"};
  const auto check = [](const Json& json, const std::string& field, ErrorCode code, const std::string& message) {
    try {
      glm_config_of(json, "x/config.json");
      ADD_FAILURE() << field << ": no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr("x/config.json: field " + field + ": "));
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  };
  for (const Fault& fault : faults) {
    Json json = chat();
    json[fault.field] = fault.value;
    check(json, fault.field, fault.code, fault.message);
  }
  for (const std::string& field : required) {
    Json json = chat();
    json.erase(field);
    check(json, field, invalid, "found nothing");
  }
}

}  // namespace
}  // namespace glimmer
