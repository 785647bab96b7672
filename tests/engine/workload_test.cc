// What forward passes read and multiply, what is expected of a machine from that, and the benchmark that measures it.
#include "engine/workload.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"
#include "engine/benchmark.h"
#include "engine/plan.h"
#include "model/cards/cards.h"
#include "model/expected_tensors.h"
#include "source/synthetic_source.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig flash(std::optional<int64_t> layers = std::nullopt) { return card_config(require_card("flash"), layers); }

WeightBytes planned_bytes(const ModelConfig& config, std::string_view type) {
  std::vector<SizedTensor> sized;
  for (const NamedShape& tensor : expected_tensors(config, KvBForm::kHalves)) {
    sized.push_back({tensor, memory_bytes(type_in_file(require_writable_type(type), tensor), tensor.shape)});
  }
  return weight_bytes_of(config, sized);
}

TEST(Workload, OfFlashIsWhatItsMakersSizesSay) {
  const Workload work = workload_of(flash(), {}, KvType::kBF16);
  EXPECT_NEAR(work.token_flop, 2 * 3.263e9, 2e7);  // 3.26 G active parameters, but for the head
  EXPECT_EQ(work.head_flop, 2.0 * 154880 * 2048);
  EXPECT_EQ(work.kv_bytes_per_token, 47 * 576 * 2);  // 54 KB
  EXPECT_NEAR(work.attention_flop * 8192, 16.8e9, 5e7);
  EXPECT_EQ(workload_of(flash(), {}, KvType::kF32).kv_bytes_per_token, 47 * 576 * 4);
}

TEST(Workload, OfGqaCountsKeysAndValues) {
  const ModelConfig air = card_config(require_card("air"));
  const Workload work = workload_of(air, {}, KvType::kBF16);
  EXPECT_EQ(work.kv_bytes_per_token, 184 * 1024);
  EXPECT_EQ(work.attention_flop, 46.0 * 96 * 2 * 2 * 128);
  EXPECT_NEAR(work.token_flop, 2 * 12.18e9, 2e7);
}

TEST(Workload, ExpertsAreThoseThatSomeTokenChooses) {
  const Workload work = workload_of(flash(), {}, KvType::kBF16);
  EXPECT_DOUBLE_EQ(expected_experts(work, 1), 4);
  EXPECT_NEAR(expected_experts(work, 2), 4 + 4 * 60.0 / 64, 1e-9);
  EXPECT_NEAR(expected_experts(work, 100000), 64, 1e-9);
  EXPECT_EQ(expected_experts(workload_of(card_config(require_card("GLM-4-9B-0414")), {}, KvType::kBF16), 8), 0);
}

TEST(Workload, AStepAddsUp) {
  Workload work{.weights = {.total = 1000, .every_step = 100, .one_expert = {0, 7, 3}},
                .kv_bytes_per_token = 5,
                .token_flop = 1000,
                .head_flop = 50,
                .attention_flop = 2};
  EXPECT_EQ(step_bytes(work, 4, 20), 100 + 4 * 10 + 20 * 5);
  EXPECT_EQ(step_flop(work, 10, 1, 1), 1000 + 11 * 2 + 50);
  EXPECT_EQ(step_flop(work, 10, 3, 0), 3000 + (11 + 12 + 13) * 2);
}

// What is planned from a card is what loading then takes.
TEST(Workload, PlannedBytesAreThoseOfALoadedModel) {
  constexpr std::string_view kConfig = R"({"model_type": "glm4_moe_lite", "vocab_size": 300, "hidden_size": 256,
    "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4,
    "q_lora_rank": 256, "kv_lora_rank": 256, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 64,
    "moe_intermediate_size": 256, "n_routed_experts": 16, "num_experts_per_tok": 4, "n_shared_experts": 1,
    "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 1024, "rope_theta": 1e6,
    "eos_token_id": [1]})";
  const ModelConfig config = parse_config(parse_json(kConfig, "config"), "config");
  for (const char* type : {"q4_0", "q4_k", "mlx4", "bf16"}) {
    const Model model = Model::load(std::make_shared<SyntheticSource>(
        SyntheticSource::Options{
            .name = "test", .config_json = std::string(kConfig), .type = &require_writable_type(type)},
        expected_tensors(config, KvBForm::kHalves)));
    const WeightBytes loaded = model.weight_bytes();
    const WeightBytes planned = planned_bytes(config, type);
    EXPECT_EQ(loaded.total, planned.total) << type;
    EXPECT_EQ(loaded.every_step, planned.every_step) << type;
    EXPECT_EQ(loaded.one_expert, planned.one_expert) << type;
    EXPECT_EQ(model.active_weight_bytes(), planned.every_step + 4 * 2 * planned.one_expert[1]) << type;
  }
}

TEST(Plan, FollowsFromSizesAndCeilings) {
  // A dense model of 1 GB, 2 GFLOP a token.
  PlanInput input{.work = {.weights = {.total = 1'000'000'000, .every_step = 1'000'000'000},
                           .kv_bytes_per_token = 1000,
                           .token_flop = 2e9},
                  .weights_bytes = 1'000'000'000,
                  .context_tokens = 100'000,
                  .available_bytes = 1'500'000'000,
                  .read_gb_s = 20,
                  .bf16_tflop_s = 4};
  Plan plan = make_plan(input);
  EXPECT_EQ(plan.kv_bytes, 100'000'000);
  EXPECT_EQ(plan.need_bytes, 1'100'000'000 + kWorkingBytes);
  EXPECT_TRUE(plan.fits);
  EXPECT_NEAR(plan.decode_tok_s, 20 * kDecodeOfRead / 1.000512, 1e-6);
  EXPECT_NEAR(plan.decode_at_context_tok_s, 20 * kDecodeOfRead / 1.1, 1e-6);
  EXPECT_NEAR(plan.prefill_tok_s, 4e12 * kPrefillOfPeak / 2e9, 1e-6);
  input.available_bytes = plan.need_bytes - 1;
  EXPECT_FALSE(make_plan(input).fits);
  input.bf16_tflop_s = 1e6;  // then reading the weights is what takes the time
  EXPECT_NEAR(make_plan(input).prefill_tok_s, 512 * 20 * kDecodeOfRead / 1.000512, 1e-6);
}

TEST(Spread, IsMedianAndEnds) {
  const Spread odd = spread_of({3, 1, 2});
  EXPECT_EQ(odd.median, 2);
  EXPECT_EQ(odd.min, 1);
  EXPECT_EQ(odd.max, 3);
  EXPECT_EQ(spread_of({4, 1}).median, 2.5);
  EXPECT_EQ(spread_of({}).median, 0);
}

TEST(Ceilings, AreThoseOfAMachine) {
  Ceilings ceilings(1);
  ceilings.sample();
  EXPECT_GT(ceilings.read_gb_s().median, 0.1);
  EXPECT_LT(ceilings.read_gb_s().median, 10000);
  EXPECT_GT(ceilings.bf16_tflop_s().median, 1e-4);
  EXPECT_GT(ceilings.int8_top_s().median, 1e-4);
  EXPECT_GT(ceilings.read_streams(), 0);
}

class Benchmark : public ::testing::Test {
 protected:
  const Model model_ = Model::load(testing::source_dir() / "tests/fixtures/glm4_moe_base");
};

TEST_F(Benchmark, RunsEveryTestThatIsAskedFor) {
  int calls = 0;
  const BenchOptions options{.threads = {1, 2},
                             .prompts = {5, 40},
                             .decode_tokens = 3,
                             .depths = {0, 20},
                             .batches = {1, 4},
                             .repeats = 1,
                             .chunk_tokens = 16,
                             .progress = [&](int64_t, int64_t total, const std::string&) {
                               ++calls;
                               EXPECT_EQ(total, 12);
                             }};
  const BenchReport report = run_benchmark(model_, options);
  EXPECT_EQ(calls, 12);
  ASSERT_EQ(report.ceilings.size(), 2U);
  ASSERT_EQ(report.results.size(), 12U);
  EXPECT_EQ(report.results[0].test.name(), "pp5");
  EXPECT_EQ(report.results[5].test.name(), "tg3");
  EXPECT_EQ(report.results[5].test.depth, 20);
  EXPECT_EQ(report.results[5].test.batch, 4);
  EXPECT_EQ(report.results[11].test.threads, 2);
  for (const BenchResult& result : report.results) {
    EXPECT_GT(result.tok_s.median, 0) << result.test.name();
    EXPECT_NEAR(result.gb_s, result.of_read * report.ceilings[result.test.threads - 1].read_gb_s().median, 1e-6);
    EXPECT_GT(result.tflop_s, 0);
    EXPECT_GT(result.of_peak, 0);
  }
  // 2 of 8 experts for one sequence, and no fewer nor more than all for four.
  EXPECT_EQ(report.results[2].experts, 2);
  EXPECT_GE(report.results[3].experts, 2);
  EXPECT_LE(report.results[3].experts, 8);
  EXPECT_GT(report.peak_rss_bytes, 1'000'000);
}

TEST_F(Benchmark, StopsWhenCancelled) {
  const std::atomic<bool> cancelled{true};
  try {
    run_benchmark(model_, {.threads = {1}, .prompts = {5}, .repeats = 1, .cancelled = &cancelled});
    ADD_FAILURE() << "it ran";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

TEST_F(Benchmark, RefusesWhatTheContextDoesNotHold) {
  try {
    run_benchmark(model_, {.threads = {1}, .decode_tokens = 10, .depths = {250}, .batches = {1}, .repeats = 1});
    ADD_FAILURE() << "it ran";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("260"));
  }
}

}  // namespace
}  // namespace glimmer
