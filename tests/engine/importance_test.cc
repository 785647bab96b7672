#include "engine/importance.h"

#include <gmock/gmock.h>

#include <cstring>

#include "base/error.h"
#include "format/safetensors.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;

// Inputs of linear layers as transformers saw them: tests/fixtures/*/golden.safetensors.
class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(testing::source_dir() / "tests/fixtures" / name / "golden.safetensors") {}

  template <typename T = float>
  std::vector<T> values(const std::string& name) const {
    const TensorInfo* tensor = file_.find(name);
    if (tensor == nullptr) throw std::runtime_error("golden.safetensors lacks " + name);
    std::vector<T> values(static_cast<size_t>(tensor->shape.element_count()));
    std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
    return values;
  }
  int64_t columns(const std::string& name) const { return file_.find(name)->shape[1]; }

  // Sums of squares of the columns of an intermediate, over the tokens that `counts` is true for.
  template <typename Counts>
  std::vector<float> sums(const std::string& name, const Counts& counts) const {
    const std::vector<float> x = values(name);
    const auto width = static_cast<size_t>(columns(name));
    std::vector<double> sums(width);
    for (size_t i = 0; i < x.size(); ++i) {
      if (counts(i / width)) sums[i % width] += static_cast<double>(x[i]) * x[i];
    }
    return {sums.begin(), sums.end()};
  }
  std::vector<float> sums(const std::string& name) const {
    return sums(name, [](size_t) { return true; });
  }

 private:
  SafetensorsFile file_;
};

// The importance of a fixture's weights over the golden prompt, `times` times, a window each.
struct Collected {
  explicit Collected(const std::string& name, int times = 1)
      : golden(name),
        context({.backend = "", .threads = 2, .precision = Precision::kExact}),
        model(Model::load(testing::source_dir() / "tests/fixtures" / name)),
        forward(model, context) {
    const auto ids = golden.values<int32_t>("input_ids");
    tokens = static_cast<int64_t>(ids.size());
    std::vector<int32_t> text;
    for (int i = 0; i < times; ++i) text.insert(text.end(), ids.begin(), ids.end());
    const TextWindows windows(text, {.context = tokens, .scored = ScoredTokens::kAll});
    collect_importance(forward, windows, collector);
    for (WeightImportance& weight : collector.weights()) weights[weight.name] = weight;
  }

  void expect(const std::string& weight, const std::vector<float>& sums, int64_t count) {
    ASSERT_TRUE(weights.contains(weight)) << weight;
    const WeightImportance& found = weights[weight];
    EXPECT_EQ(found.count, count) << weight;
    EXPECT_THAT(found.sum_of_squares, ::testing::Pointwise(::testing::FloatNear(1e-3F), sums)) << weight;
  }

  Golden golden;
  Context context;
  Model model;
  Forward forward;
  ImportanceCollector collector;
  std::map<std::string, WeightImportance> weights;
  int64_t tokens = 0;
};

TEST(Importance, OfAttentionAndHeadIsWhatTransformersMultiplies) {
  for (const char* name : {"glm4_moe_base", "glm4_moe_bias", "glm4_no_bias"}) {
    Collected c(name);
    const auto normed = c.golden.sums("layers.0.input_layernorm");
    for (const char* projection : {"q_proj", "k_proj", "v_proj"}) {
      c.expect(fmt::format("model.layers.0.self_attn.{}.weight", projection), normed, c.tokens);
    }
    c.expect("lm_head.weight", c.golden.sums("norm"), c.tokens);
    EXPECT_EQ(c.weights["model.layers.1.self_attn.o_proj.weight"].count, c.tokens);
  }
}

TEST(Importance, OfLatentAttention) {
  for (const char* name : {"glm4_moe_lite_base", "glm4_moe_lite_flash"}) {
    Collected c(name);
    const auto normed = c.golden.sums("layers.0.input_layernorm");
    c.expect("model.layers.0.self_attn.q_a_proj.weight", normed, c.tokens);
    c.expect("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", normed, c.tokens);
    c.expect("model.layers.0.self_attn.q_b_proj.weight", c.golden.sums("layers.0.self_attn.q_a_layernorm"), c.tokens);
    c.expect("model.layers.0.self_attn.kv_b_proj.weight", c.golden.sums("layers.0.self_attn.kv_a_layernorm"), c.tokens);
  }
}

TEST(Importance, HalvesOfOneWeightCountOnce) {
  Collected c("glm4_no_bias", 3);
  auto sums = c.golden.sums("layers.0.post_attention_layernorm");
  for (float& sum : sums) sum *= 3;
  c.expect("model.layers.0.mlp.gate_up_proj.weight", sums, 3 * c.tokens);
  EXPECT_EQ(c.weights["model.layers.0.mlp.down_proj.weight"].count, 3 * c.tokens);
}

TEST(Importance, ExpertsCountTheTokensThatWereRoutedToThem) {
  for (const char* name : {"glm4_moe_base", "glm4_moe_fused"}) {
    Collected c(name);
    const ModelConfig& config = c.model.config();
    const auto chosen = c.golden.values<int32_t>("layers.1.mlp.topk_indices");
    const auto per_token = static_cast<size_t>(config.num_experts_per_tok);
    const std::vector<ExpertCount> counts = expert_counts(c.collector, config);
    ASSERT_EQ(static_cast<int64_t>(counts.size()), config.n_routed_experts) << "one sparse layer";
    for (int32_t expert = 0; expert < config.n_routed_experts; ++expert) {
      const auto routed = [&](size_t token) {
        const auto* of_token = chosen.data() + token * per_token;
        return std::find(of_token, of_token + per_token, expert) != of_token + per_token;
      };
      const int64_t count = std::count(chosen.begin(), chosen.end(), expert);
      EXPECT_EQ(counts[static_cast<size_t>(expert)].tokens, count);
      if (count == 0) continue;
      const auto sums = c.golden.sums("layers.1.post_attention_layernorm", routed);
      c.expect(fmt::format("model.layers.1.mlp.experts.{}.gate_proj.weight", expert), sums, count);
      c.expect(fmt::format("model.layers.1.mlp.experts.{}.up_proj.weight", expert), sums, count);
    }
    c.expect("model.layers.1.mlp.shared_experts.up_proj.weight", c.golden.sums("layers.1.post_attention_layernorm"),
             c.tokens);
  }
}

TEST(Importance, AnExpertThatSawNothingIsCountedAsSuch) {
  ImportanceCollector collector;
  const std::vector<float> x = {1, 2, 3, 4};
  collector.take_input({.name = "model.layers.1.mlp.experts.2.down_proj.weight",
                        .x = x.data(),
                        .tokens = 2,
                        .columns = 2,
                        .x_stride = 2});
  ModelConfig config = Model::load(testing::source_dir() / "tests/fixtures/glm4_moe_base").config();
  const std::vector<ExpertCount> counts = expert_counts(collector, config);
  EXPECT_EQ(counts[1].tokens, 0);
  EXPECT_EQ(counts[2].tokens, 2);
  EXPECT_EQ(counts[2].layer, 1);
}

TEST(Importance, Strides) {
  ImportanceCollector collector;
  const std::vector<float> x = {1, 2, 100, 3, 4, 100};
  collector.take_input({.name = "w", .x = x.data(), .tokens = 2, .columns = 2, .x_stride = 3});
  EXPECT_FALSE(collector.wants_input("")) << "what has no name cannot be said of a weight";
  ASSERT_EQ(collector.weights().size(), 1U);
  EXPECT_THAT(collector.weights()[0].sum_of_squares, ElementsAre(10, 20));
  EXPECT_EQ(collector.count("w"), 2);
  EXPECT_EQ(collector.count("v"), 0);
}

TEST(Importance, IsNotCollectedAfterwards) {
  Collected c("glm4_moe_base");
  const int64_t before = c.collector.count("lm_head.weight");
  KvCache kv(c.model.config());
  c.forward.run(std::vector<int32_t>{1, 2, 3}, kv);
  EXPECT_EQ(c.collector.count("lm_head.weight"), before);
}

}  // namespace
}  // namespace glimmer
