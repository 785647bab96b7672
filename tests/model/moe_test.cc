// Routing by hand, and the experts' block against a plain loop.
#include "ops/moe.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <random>

#include "quant/quant_type.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

struct Routed {
  std::vector<float> weights;
  std::vector<int32_t> experts;
};

// No bias: an empty view.
Routed route(const RouterRule& rule, std::vector<float> logits, std::vector<float> bias) {
  Context ctx({.backend = "ref", .threads = 1});
  const int64_t tokens = static_cast<int64_t>(logits.size()) / rule.n_routed_experts;
  Routed out{std::vector<float>(tokens * rule.num_experts_per_tok),
             std::vector<int32_t>(tokens * rule.num_experts_per_tok)};
  const Shape chosen{tokens, rule.num_experts_per_tok};
  moe_route(ctx, {.rule = rule,
                  .logits = {logits.data(), DType::kF32, {tokens, rule.n_routed_experts}},
                  .bias = bias.empty() ? ConstTensorView{}
                                       : ConstTensorView{bias.data(), DType::kF32, {rule.n_routed_experts}},
                  .weights = {out.weights.data(), DType::kF32, chosen},
                  .experts = {out.experts.data(), DType::kI32, chosen}});
  return out;
}

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

TEST(MoeRoute, TheBiasChoosesButDoesNotWeigh) {
  const Routed out = route({.n_routed_experts = 4, .num_experts_per_tok = 2, .routed_scaling_factor = 2.0F},
                           {0, 1, 2, 3}, {10, 0, 0, 0});
  EXPECT_THAT(out.experts, ElementsAre(0, 3));
  const float sum = sigmoid(0) + sigmoid(3);
  EXPECT_THAT(out.weights, ElementsAre(FloatNear(2 * sigmoid(0) / sum, 1e-6F), FloatNear(2 * sigmoid(3) / sum, 1e-6F)));
}

TEST(MoeRoute, WithoutNormTheScoresAreOnlyScaled) {
  const Routed out =
      route({.n_routed_experts = 3, .num_experts_per_tok = 1, .norm_topk_prob = false, .routed_scaling_factor = 3.0F},
            {-1, 0.5F, 0}, {0, 0, 0});
  EXPECT_THAT(out.experts, ElementsAre(1));
  EXPECT_THAT(out.weights, ElementsAre(FloatNear(3 * sigmoid(0.5F), 1e-6F)));
}

// e^logit over the sum of all, in double.
std::vector<float> softmax(const std::vector<float>& logits) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<float> scores;
  for (const float logit : logits) scores.push_back(static_cast<float>(std::exp(static_cast<double>(logit)) / sum));
  return scores;
}

TEST(MoeRoute, SoftmaxScoresCountAllExpertsNotTheChosenAlone) {
  const std::vector<float> logits = {-1, 2, 0.5F, 1.5F, -3};
  const std::vector<float> scores = softmax(logits);
  RouterRule rule{
      .n_routed_experts = 5, .num_experts_per_tok = 3, .scoring = RouterScoring::kSoftmax, .norm_topk_prob = false};
  Routed out = route(rule, logits, {});
  EXPECT_THAT(out.experts, ElementsAre(1, 3, 2));
  EXPECT_THAT(out.weights,
              ElementsAre(FloatNear(scores[1], 1e-6F), FloatNear(scores[3], 1e-6F), FloatNear(scores[2], 1e-6F)));

  rule.norm_topk_prob = true;
  out = route(rule, logits, {});
  const float sum = scores[1] + scores[3] + scores[2];
  EXPECT_THAT(out.experts, ElementsAre(1, 3, 2));
  EXPECT_THAT(out.weights, ElementsAre(FloatNear(scores[1] / sum, 1e-6F), FloatNear(scores[3] / sum, 1e-6F),
                                       FloatNear(scores[2] / sum, 1e-6F)));
}

TEST(MoeRoute, SoftmaxOfLargeLogitsDoesNotOverflowAndTiesGoToTheLowerIndex) {
  const RouterRule rule{.n_routed_experts = 4, .num_experts_per_tok = 2, .scoring = RouterScoring::kSoftmax};
  const Routed out = route(rule, {300, 400, 300, 400, -400, -300, -300, -400}, {});
  EXPECT_THAT(out.experts, ElementsAre(1, 3, 1, 2));
  EXPECT_THAT(out.weights, ElementsAre(0.5F, 0.5F, 0.5F, 0.5F));
}

TEST(MoeRoute, TiesGoToTheLowerIndex) {
  EXPECT_THAT(route({.n_routed_experts = 4, .num_experts_per_tok = 3}, {1, 1, 1, 1}, {0, 0, 0, 0}).experts,
              ElementsAre(0, 1, 2));
}

TEST(MoeRoute, OnlyTheBestGroupsByTheirTwoBestStayIn) {
  // The single best expert, 4, is in a group whose sum of two is lower.
  const RouterRule rule{.n_routed_experts = 6, .num_experts_per_tok = 2, .n_group = 3, .topk_group = 1};
  EXPECT_THAT(route(rule, {2, 2, 0, 0, 3, -9}, {0, 0, 0, 0, 0, 0}).experts, ElementsAre(0, 1));
}

TEST(MoeRoute, NegativeChoicesOfAKeptGroupBeatThoseOfAMaskedOne) {
  const RouterRule rule{.n_routed_experts = 4, .num_experts_per_tok = 2, .n_group = 2, .topk_group = 1};
  EXPECT_THAT(route(rule, {0, 0, 0, 0}, {-5, -6, -4, -9}).experts, ElementsAre(0, 1));
}

TEST(MoeRoute, HostileScoresStayInRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  RouterRule rule{.n_routed_experts = 4, .num_experts_per_tok = 2, .n_group = 2, .topk_group = 1};
  for (const RouterScoring scoring : {RouterScoring::kSigmoid, RouterScoring::kSoftmax}) {
    rule.scoring = scoring;
    for (const float bias : {-infinity, infinity, nan}) {
      for (const float logit : {-infinity, infinity, nan, 0.0F}) {
        for (const int32_t expert : route(rule, std::vector<float>(4, logit), std::vector<float>(4, bias)).experts) {
          EXPECT_GE(expert, 0);
          EXPECT_LT(expert, 4);
        }
      }
    }
  }
}

std::vector<float> random_values(std::mt19937& rng, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng() >> 8) / (1 << 23) - 1.0F;
  return values;
}

// Experts of random weights. They own what their matrices are.
class TestExperts {
 public:
  // `types` are taken in turn by the matrices of each network: gate, up, down.
  TestExperts(int64_t count, int64_t hidden_size, int64_t width, const std::vector<std::string>& types)
      : types_(types), hidden_size_(hidden_size) {
    for (int64_t e = 0; e < count; ++e) add(width);
    shared_width_ = 2 * width;
    add(shared_width_);
    shared_ = experts_.back();
    experts_.pop_back();
  }

  // Copies of the same matrices, half of the panels in one place and half in another.
  void share_among_two_nodes() {
    for (MlpWeights& w : experts_) share(w);
    share(shared_);
  }

  std::span<const MlpWeights> experts() const { return experts_; }
  const MlpWeights& shared() const { return shared_; }

  // down(silu(gate(x)) * up(x)) of network `index` (the last is the shared one), in double.
  std::vector<double> run(size_t index, const float* x) const {
    const std::vector<float>* w = &decoded_[3 * index];
    const auto width = static_cast<int64_t>(w[0].size()) / hidden_size_;
    std::vector<double> inner(static_cast<size_t>(width));
    for (int64_t i = 0; i < width; ++i) {
      double gate = 0;
      double up = 0;
      for (int64_t j = 0; j < hidden_size_; ++j) {
        gate += static_cast<double>(w[0][i * hidden_size_ + j]) * x[j];
        up += static_cast<double>(w[1][i * hidden_size_ + j]) * x[j];
      }
      inner[i] = gate / (1 + std::exp(-gate)) * up;
    }
    std::vector<double> out(static_cast<size_t>(hidden_size_), 0.0);
    for (int64_t i = 0; i < hidden_size_; ++i) {
      for (int64_t j = 0; j < width; ++j) out[i] += w[2][i * width + j] * inner[j];
    }
    return out;
  }

 private:
  void share(MlpWeights& mlp) {
    for (LinearWeight* weight : {&mlp.gate_proj, &mlp.up_proj, &mlp.down_proj}) {
      NodePanels& nodes = node_panels_.emplace_back();
      nodes.first = share_panels(panel_count(weight->weight), 2);
      for (size_t i = 0; i < 2; ++i) {
        const auto size = static_cast<size_t>((nodes.first[i + 1] - nodes.first[i]) * weight->weight.panel_bytes);
        memory_.emplace_back(size + 1);
        std::memcpy(memory_.back().as<std::byte>(), weight->weight.data + nodes.first[i] * weight->weight.panel_bytes,
                    size);
        nodes.data.push_back(memory_.back().as<std::byte>());
      }
      weight->nodes = &nodes;
    }
  }

  void add(int64_t width) {
    MlpWeights w;
    w.gate_proj.weight = matrix(width, hidden_size_);
    w.up_proj.weight = matrix(width, hidden_size_);
    w.down_proj.weight = matrix(hidden_size_, width);
    experts_.push_back(w);
  }

  WeightMatrix matrix(int64_t rows, int64_t columns) {
    const QuantType& type = require_quant_type(types_[decoded_.size() % types_.size()]);
    QuantParams params;
    std::vector<std::vector<std::byte>> parts;
    std::vector<std::byte*> out;
    EncodedMatrix encoded{.type = &type, .params = params, .rows = rows, .columns = columns, .stored_rows = rows};
    for (const QuantPart& part : type.parts(params, rows, columns)) {
      parts.emplace_back(dtype_bytes(part.dtype, part.shape.element_count()));
    }
    for (auto& part : parts) out.push_back(part.data());
    const std::vector<float> values = random_values(rng_, rows * columns);
    type.encode(params, values.data(), rows, columns, nullptr, out);
    for (size_t i = 0; i < parts.size(); ++i) encoded.parts[i] = parts[i];
    decoded_.emplace_back(values.size());
    decode_rows(encoded, 0, rows, decoded_.back().data());
    WeightMatrix packed = weight_matrix_of(type.layout(params, columns), rows, columns);
    memory_.emplace_back(static_cast<size_t>(size_bytes(packed)));
    repack_panels(encoded, packed, 0, panel_count(packed), memory_.back().as<std::byte>());
    packed.data = memory_.back().as<std::byte>();
    return packed;
  }

  std::vector<std::string> types_;
  int64_t hidden_size_;
  int64_t shared_width_ = 0;
  std::mt19937 rng_{3};
  std::vector<std::vector<float>> decoded_;
  std::vector<Buffer> memory_;
  std::deque<NodePanels> node_panels_;
  std::vector<MlpWeights> experts_;
  MlpWeights shared_;
};

struct Tokens {
  int64_t count = 0;
  std::vector<float> x;
  std::vector<float> weights;
  std::vector<int32_t> chosen;
};

constexpr int64_t kTopK = 3;

// Expert 0 has all tokens, the last but one a single one, the last none.
Tokens make_tokens(int64_t count, int64_t hidden_size, int64_t experts) {
  std::mt19937 rng(static_cast<uint32_t>(count));
  Tokens tokens{
      .count = count, .x = random_values(rng, count * hidden_size), .weights = random_values(rng, count * kTopK)};
  for (int64_t t = 0; t < count; ++t) {
    const auto second = static_cast<int32_t>(1 + t % (experts - 4));
    const auto third = static_cast<int32_t>(t == count / 2 ? experts - 2 : experts - 3);
    tokens.chosen.insert(tokens.chosen.end(), {second, 0, third});
  }
  return tokens;
}

// Tokens [first, first + count) through the layer.
std::vector<float> run_layer(Context& ctx, const TestExperts& experts, const Tokens& tokens, int64_t hidden_size,
                             int64_t first, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count * hidden_size), NAN);
  const Shape rows{count, hidden_size};
  const Shape slots{count, kTopK};
  moe_experts(ctx, {.experts = experts.experts(),
                    .shared_experts = &experts.shared(),
                    .x = {tokens.x.data() + first * hidden_size, DType::kF32, rows},
                    .weights = {tokens.weights.data() + first * kTopK, DType::kF32, slots},
                    .chosen = {tokens.chosen.data() + first * kTopK, DType::kI32, slots},
                    .out = {out.data(), DType::kF32, rows}});
  return out;
}

std::vector<float> run_layer(Context& ctx, const TestExperts& experts, const Tokens& tokens, int64_t hidden_size) {
  return run_layer(ctx, experts, tokens, hidden_size, 0, tokens.count);
}

// The types of gate, up and down, in turn: alike, unlike, and all that differ in what they read.
struct LayerTypes {
  std::string name;
  std::vector<std::string> types;
  int64_t hidden_size;
  int64_t width;
  double fast_error;  // of the largest value; what 8 bits and bf16 lose
};

void PrintTo(const LayerTypes& types, std::ostream* out) { *out << types.name; }

class MoeExperts : public ::testing::TestWithParam<LayerTypes> {
 protected:
  static constexpr int64_t kExperts = 7;
};

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

TEST_P(MoeExperts, EqualAPlainLoopWithRaggedAndEmptyExperts) {
  const LayerTypes& types = GetParam();
  const TestExperts experts(kExperts, types.hidden_size, types.width, types.types);
  for (const int64_t count : {1, 2, 9, 40}) {
    const Tokens tokens = make_tokens(count, types.hidden_size, kExperts);
    std::vector<double> expected(tokens.x.size(), 0.0);
    for (int64_t t = 0; t < count; ++t) {
      double* sum = &expected[static_cast<size_t>(t * types.hidden_size)];
      const auto add = [&](size_t network, double weight) {
        const std::vector<double> said = experts.run(network, &tokens.x[static_cast<size_t>(t * types.hidden_size)]);
        for (size_t i = 0; i < said.size(); ++i) sum[i] += weight * said[i];
      };
      for (int64_t k = 0; k < kTopK; ++k) add(tokens.chosen[t * kTopK + k], tokens.weights[t * kTopK + k]);
      add(kExperts, 1);
    }
    const double scale = largest(expected);
    for (const kernels::KernelTable* table : kernels::all_tables()) {
      if (!table->supported()) continue;
      for (const Precision precision : {Precision::kExact, Precision::kFast}) {
        Context ctx({.backend = std::string(table->name), .threads = 2, .precision = precision});
        const std::vector<float> out = run_layer(ctx, experts, tokens, types.hidden_size);
        const double bound = (precision == Precision::kExact ? 2e-6 : types.fast_error) * scale;
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_NEAR(out[i], expected[i], bound)
              << table->name << " " << precision_name(precision) << ", " << count << " tokens, value " << i;
        }
      }
    }
  }
}

// Wants the inputs of all matmuls, which makes the layer go step by step.
struct InputCounter : Probe {
  int64_t tokens = 0;
  bool wants_input(std::string_view /*weight*/) const override { return true; }
  void take_input(const LinearInput& input) override { tokens += input.tokens; }
};

TEST_P(MoeExperts, FusedEqualsStepByStepWhateverTheThreadsAndTheSplit) {
  const LayerTypes& types = GetParam();
  const TestExperts experts(kExperts, types.hidden_size, types.width, types.types);
  const Tokens tokens = make_tokens(260, types.hidden_size, kExperts);  // more than one tile of tokens
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (!table->supported()) continue;
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      Context one({.backend = std::string(table->name), .threads = 1, .precision = precision});
      Context four({.backend = std::string(table->name), .threads = 4, .precision = precision});
      const std::string what = fmt::format("{} {}", table->name, precision_name(precision));
      const std::vector<float> expected = run_layer(one, experts, tokens, types.hidden_size);
      EXPECT_EQ(run_layer(four, experts, tokens, types.hidden_size), expected) << what;
      InputCounter inputs;
      four.set_probe(&inputs);
      EXPECT_EQ(run_layer(four, experts, tokens, types.hidden_size), expected) << what << ", step by step";
      EXPECT_EQ(inputs.tokens, 3 * (kTopK + 1) * tokens.count) << what;
      four.set_probe(nullptr);
      for (const int64_t split : {9, 131}) {
        std::vector<float> parts;
        for (int64_t first = 0; first < tokens.count; first += split) {
          const int64_t count = std::min(split, tokens.count - first);
          const std::vector<float> part = run_layer(four, experts, tokens, types.hidden_size, first, count);
          parts.insert(parts.end(), part.begin(), part.end());
        }
        EXPECT_EQ(parts, expected) << what << ", " << split << " tokens at a time";
      }
    }
  }
}

// 16 threads make tasks that are parts of a block of activations.
TEST_P(MoeExperts, AFewTokensOfManyThreadsEqualThoseOfOne) {
  const LayerTypes& types = GetParam();
  const TestExperts experts(kExperts, types.hidden_size, types.width, types.types);
  const Tokens tokens = make_tokens(5, types.hidden_size, kExperts);
  Context one({.threads = 1});
  Context many({.threads = 16});
  EXPECT_EQ(run_layer(one, experts, tokens, types.hidden_size), run_layer(many, experts, tokens, types.hidden_size));
}

TEST_P(MoeExperts, WeightsOfTwoNodesSayTheSameAsThoseOfOne) {
  const LayerTypes& types = GetParam();
  TestExperts experts(kExperts, types.hidden_size, types.width, types.types);
  const Topology machine = synthetic_topology("numa:2 core:2 pu:1");
  for (const int64_t count : {1, 40}) {
    const Tokens tokens = make_tokens(count, types.hidden_size, kExperts);
    Context one({.threads = 1});
    const std::vector<float> expected = run_layer(one, experts, tokens, types.hidden_size);
    TestExperts shared(kExperts, types.hidden_size, types.width, types.types);
    shared.share_among_two_nodes();
    for (const int threads : {1, 4}) {
      Context ctx({.threads = threads, .topology = machine});
      EXPECT_EQ(run_layer(ctx, shared, tokens, types.hidden_size), expected) << threads;
      InputCounter inputs;
      ctx.set_probe(&inputs);
      EXPECT_EQ(run_layer(ctx, shared, tokens, types.hidden_size), expected) << threads << ", step by step";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MoeExperts,
                         ::testing::Values(LayerTypes{"F32", {"f32"}, 20, 13, 2e-6},
                                           LayerTypes{"BF16", {"bf16"}, 72, 150, 2e-2},
                                           LayerTypes{"Q4", {"q4_0"}, 160, 288, 3e-2},
                                           LayerTypes{"Q4K", {"q4_k"}, 256, 256, 3e-2},
                                           LayerTypes{"Mixed", {"q4_0", "bf16", "q8_0", "f32", "q5_1"}, 96, 160, 3e-2},
                                           LayerTypes{"F32Down", {"q4_0", "q4_0", "f32"}, 96, 160, 3e-2}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace glimmer
