// A prompt as a whole takes paths of its own, with heads as wide as those of published models: what lies between two
// products is encoded where it is made. It must give what the same prompt gives in small pieces, bit for bit.
#include <gmock/gmock.h>

#include "kernels/kernel_table.h"
#include "model/expected_tensors.h"
#include "model/forward.h"
#include "quant/quant_type.h"
#include "source/synthetic_source.h"

namespace glimmer {
namespace {

// Heads of GLM-4.7-Flash, all else small.
constexpr std::string_view kConfig = R"({"model_type": "glm4_moe_lite", "vocab_size": 300, "hidden_size": 256,
  "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 3, "num_key_value_heads": 3,
  "q_lora_rank": 256, "kv_lora_rank": 512, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256,
  "moe_intermediate_size": 256, "n_routed_experts": 8, "num_experts_per_tok": 4, "n_shared_experts": 1,
  "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 1024, "rope_theta": 1e6,
  "eos_token_id": [1]})";

Model model_of(std::string_view type) {
  const ModelConfig config = parse_config(parse_json(kConfig, "config"), "config");
  return Model::load(std::make_shared<SyntheticSource>(
      SyntheticSource::Options{
          .name = "test", .config_json = std::string(kConfig), .type = &require_writable_type(type), .seed = 3},
      expected_tensors(config, KvBForm::kHalves)));
}

std::vector<float> logits_in_chunks(const Model& model, const Context::Options& options, int64_t tokens,
                                    int64_t chunk) {
  Context context(options);
  Forward forward(model, context, chunk);
  KvCache kv(model.config(), context.kv_type());
  std::vector<float> logits;
  for (int64_t at = 0; at < tokens; at += chunk) {
    std::vector<int32_t> ids;
    for (int64_t i = at; i < std::min(at + chunk, tokens); ++i) ids.push_back(static_cast<int32_t>(i * 131 % 300));
    const ConstTensorView out = forward.run(ids, kv, LogitsFor::kAllTokens);
    logits.insert(logits.end(), out.as<float>(), out.as<float>() + out.shape.element_count());
  }
  return logits;
}

class WholePrompt : public ::testing::TestWithParam<std::string> {};

TEST_P(WholePrompt, GivesWhatItGivesInPieces) {
  constexpr int64_t kTokens = 331;  // whole blocks of tokens, and some
  const Model model = model_of(GetParam());
  int tables = 0;
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (!table->supported() || table->name == "ref") continue;
    ++tables;
    const Context::Options options{.backend = std::string(table->name), .threads = 1};
    const std::vector<float> pieces = logits_in_chunks(model, options, kTokens, 50);
    for (const int threads : {1, 3}) {
      Context::Options whole = options;
      whole.threads = threads;
      EXPECT_THAT(logits_in_chunks(model, whole, kTokens, kTokens), ::testing::ContainerEq(pieces))
          << table->name << ", " << threads << " threads";
    }
  }
  EXPECT_GT(tables, 0);
}

INSTANTIATE_TEST_SUITE_P(Types, WholePrompt, ::testing::Values("q4_0", "q4_k", "q8_0", "mlx4", "bf16"),
                         [](const auto& type) { return type.param; });

}  // namespace
}  // namespace glimmer
