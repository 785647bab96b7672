// Models of random weights.
#include "source/synthetic_source.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "model/cards/cards.h"
#include "model/expected_tensors.h"
#include "model/forward.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kFlashLike = R"({"model_type": "glm4_moe_lite", "vocab_size": 300, "hidden_size": 256,
  "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4,
  "q_lora_rank": 256, "kv_lora_rank": 256, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 64,
  "moe_intermediate_size": 256, "n_routed_experts": 16, "num_experts_per_tok": 4, "n_shared_experts": 1,
  "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 1024, "rope_theta": 1e6,
  "eos_token_id": [1]})";

constexpr std::string_view kDense = R"({"model_type": "glm4", "vocab_size": 300, "hidden_size": 256,
  "intermediate_size": 320, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
  "head_dim": 64, "attention_bias": true, "hidden_act": "silu", "rms_norm_eps": 1e-5,
  "max_position_embeddings": 1024, "rope_theta": 1e4, "eos_token_id": [1]})";

std::shared_ptr<SyntheticSource> synthetic(std::string_view config_json, std::string_view type, uint64_t seed = 1) {
  const ModelConfig config = parse_config(parse_json(config_json, "config"), "config");
  return std::make_shared<SyntheticSource>(
      SyntheticSource::Options{
          .name = "test", .config_json = std::string(config_json), .type = &require_writable_type(type), .seed = seed},
      expected_tensors(config, KvBForm::kHalves));
}

std::vector<float> values_of(const SourceTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.element_count()));
  decode_rows(tensor.data, 0, tensor.data.rows, values.data());
  return values;
}

double deviation_of(const std::vector<float>& values) {
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

class EveryWritableType : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryWritableType, LoadsAndRunsWithFiniteLogits) {
  for (const std::string_view config : {kFlashLike, kDense}) {
    const Model model = Model::load(synthetic(config, GetParam()));
    Context context({.threads = 1});
    Forward forward(model, context, 16);
    KvCache kv(model.config());
    const ConstTensorView logits = forward.run(std::vector<int32_t>{5, 200, 17, 299}, kv);
    double largest = 0;
    for (int64_t i = 0; i < model.config().vocab_size; ++i) {
      ASSERT_TRUE(std::isfinite(logits.as<float>()[i])) << i;
      largest = std::max(largest, std::abs(static_cast<double>(logits.as<float>()[i])));
    }
    EXPECT_GT(largest, 0.1);
    EXPECT_LT(largest, 100);
  }
}

std::vector<std::string> writable_names() {
  std::vector<std::string> names;
  for (const QuantType* type : writable_types()) names.emplace_back(type->name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Types, EveryWritableType, ::testing::ValuesIn(writable_names()),
                         [](const auto& type) { return type.param; });

TEST(SyntheticSource, TheSameSeedGivesTheSameBytesAndAnotherOthers) {
  const auto a = synthetic(kFlashLike, "q4_0");
  const auto b = synthetic(kFlashLike, "q4_0");
  const auto c = synthetic(kFlashLike, "q4_0", 2);
  for (const SourceTensor& tensor : a->tensors()) {
    EXPECT_EQ(values_of(tensor), values_of(b->require(tensor.name))) << tensor.name;
    EXPECT_NE(values_of(tensor), values_of(c->require(tensor.name))) << tensor.name;
  }
}

TEST(SyntheticSource, MatricesDifferAndHaveTheirSize) {
  const auto source = synthetic(kFlashLike, "q8_0");
  const auto values = [&](const char* name) { return values_of(source->require(name)); };
  EXPECT_NE(values("model.layers.1.mlp.experts.0.up_proj.weight"),
            values("model.layers.1.mlp.experts.1.up_proj.weight"));
  EXPECT_NE(values("model.layers.1.mlp.gate.weight"), values("model.layers.2.mlp.gate.weight"));
  EXPECT_NEAR(deviation_of(values("model.layers.1.mlp.experts.0.up_proj.weight")), 0.02, 0.001);
  EXPECT_NEAR(deviation_of(values("model.embed_tokens.weight")), 1, 0.05);
  EXPECT_NEAR(deviation_of(values("model.norm.weight")), 1, 0.05);
}

TEST(SyntheticSource, TypesAreThoseOfAQuantisedFile) {
  const auto source = synthetic(kFlashLike, "q4_k");
  const auto type = [&](const char* name) { return source->require(name).data.type->name; };
  EXPECT_EQ(type("model.layers.1.mlp.experts.3.down_proj.weight"), "q4_k");
  EXPECT_EQ(type("model.embed_tokens.weight"), "q4_k");
  EXPECT_EQ(type("lm_head.weight"), "q4_k");
  EXPECT_EQ(type("model.layers.1.mlp.gate.weight"), "f32");
  EXPECT_EQ(type("model.layers.1.input_layernorm.weight"), "f32");
  EXPECT_EQ(type("model.layers.1.self_attn.embed_q.weight"), "q5_0");  // rows of 192: no whole blocks of 256
}

TEST(SyntheticSource, RowsOfAMatrixLargerThanThePoolRepeat) {
  // 40,000 rows of 2048: more than a pool of 16 Mi values.
  const NamedShape large{"lm_head.weight", {40000, 2048}};
  SyntheticSource source({.name = "large", .config_json = "{}", .type = &require_writable_type("q4_0")}, {&large, 1});
  const SourceTensor& tensor = source.require("lm_head.weight");
  std::vector<float> first(2048);
  std::vector<float> again(2048);
  decode_rows(tensor.data, 0, 1, first.data());
  decode_rows(tensor.data, tensor.data.stored_rows, tensor.data.stored_rows + 1, again.data());
  EXPECT_EQ(first, again);
  EXPECT_EQ(ModelSource::stored_bytes(tensor), 40000U * 2048 / 32 * 18);
}

TEST(SyntheticSource, RoutersSpreadTokensOverExperts) {
  struct Counter : Probe {
    std::map<int64_t, std::map<int32_t, int>> chosen;
    bool wants(std::string_view what, int64_t /*layer*/) const override { return what == "mlp.topk_indices"; }
    void take(std::string_view /*what*/, int64_t layer, ConstTensorView value) override {
      for (int64_t i = 0; i < value.shape.element_count(); ++i) ++chosen[layer][value.as<int32_t>()[i]];
    }
  } counter;
  const Model model = Model::load(synthetic(kFlashLike, "q8_0"));
  Context context({.threads = 1});
  context.set_probe(&counter);
  Forward forward(model, context, 128);
  KvCache kv(model.config());
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 128; ++i) tokens.push_back(i * 7 % 300);
  forward.run(tokens, kv);
  ASSERT_EQ(counter.chosen.size(), 2U);
  for (const auto& [layer, experts] : counter.chosen) {
    EXPECT_GE(experts.size(), 14U) << layer;                                                            // of 16
    for (const auto& [expert, count] : experts) EXPECT_LE(count, 96) << layer << " expert " << expert;  // 32 if even
  }
}

TEST(SyntheticSource, UnknownAndReadOnlyTypesAreRefused) {
  const auto message = [](std::string_view name) {
    try {
      require_writable_type(name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message("q9_z"), HasSubstr("no such type"));
  EXPECT_THAT(message("q9_z"), HasSubstr("q4_0, "));
  EXPECT_THAT(message("awq"), HasSubstr("only read"));
}

}  // namespace
}  // namespace glimmer
