#include "source/gguf_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const GgufArchitecture& arch(std::string_view name) { return require_gguf_architecture(name, "x.gguf"); }

std::string canonical(std::string_view architecture, std::string_view name) {
  const auto found = canonical_name_of(arch(architecture), name);
  return found ? found->name : "none";
}

std::string gguf(std::string_view architecture, std::string_view name) {
  const auto found = gguf_name_of(arch(architecture), name);
  return found ? found->name : "none";
}

TEST(GgufNames, AreThoseOfLlamaCpp) {
  EXPECT_EQ(canonical("glm4moe", "token_embd.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(canonical("glm4moe", "output.weight"), "lm_head.weight");
  EXPECT_EQ(canonical("glm4moe", "blk.0.attn_norm.weight"), "model.layers.0.input_layernorm.weight");
  EXPECT_EQ(canonical("glm4moe", "blk.3.attn_q.bias"), "model.layers.3.self_attn.q_proj.bias");
  EXPECT_EQ(canonical("glm4moe", "blk.12.exp_probs_b.bias"), "model.layers.12.mlp.gate.e_score_correction_bias");
  EXPECT_EQ(canonical("glm4moe", "blk.46.nextn.shared_head_norm.weight"), "model.layers.46.shared_head.norm.weight");
  EXPECT_EQ(canonical("glm4moe", "blk.1.ffn_gate_exps.weight"), "model.layers.1.mlp.experts.*.gate_proj.weight");
  EXPECT_EQ(canonical("deepseek2", "blk.1.attn_k_b.weight"), "model.layers.1.self_attn.embed_q.weight");
  EXPECT_EQ(canonical("deepseek2", "blk.1.attn_v_b.weight"), "model.layers.1.self_attn.unembed_out.weight");
  EXPECT_EQ(canonical("deepseek2", "blk.1.attn_kv_b.weight"), "model.layers.1.self_attn.kv_b_proj.weight");
  EXPECT_EQ(canonical("chatglm", "blk.1.ffn_up.weight"), "model.layers.1.mlp.gate_up_proj.weight");
  EXPECT_EQ(canonical("llama", "blk.1.ffn_up.weight"), "model.layers.1.mlp.up_proj.weight");
  EXPECT_EQ(canonical("qwen3", "blk.1.attn_q_norm.weight"), "model.layers.1.self_attn.q_norm.weight");
}

// The same name is another norm in each.
TEST(GgufNames, OfNormsDifferByArchitecture) {
  EXPECT_EQ(canonical("glm4moe", "blk.0.post_attention_norm.weight"), "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(canonical("glm4", "blk.0.post_attention_norm.weight"), "model.layers.0.post_self_attn_layernorm.weight");
  EXPECT_EQ(canonical("glm4", "blk.0.ffn_norm.weight"), "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(canonical("glm4", "blk.0.post_ffw_norm.weight"), "model.layers.0.post_mlp_layernorm.weight");
  EXPECT_EQ(canonical("deepseek2", "blk.0.ffn_norm.weight"), "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(canonical("glm4moe", "blk.0.ffn_norm.weight"), "none");
}

TEST(GgufNames, KnowWhatTheyDoNotKnow) {
  for (const char* name : {"", "blk.", "blk.0", "blk.0.", "blk.00.attn_norm.weight", "blk.-1.attn_norm.weight",
                           "blk.x.attn_norm.weight", "blk.99999999999999999999.attn_norm.weight", "attn_norm.weight",
                           "blk.0.attn_norm.weight.", "rope_freqs.weight", "blk.0.indexer.proj.weight"}) {
    EXPECT_EQ(canonical("glm4moe", name), "none") << name;
  }
  for (const char* name : {"", "model.layers.", "model.layers.0.mlp.experts.0", "model.layers.0.mlp.experts.x.up_proj",
                           "model.layers.01.input_layernorm.weight", "model.layers.0.self_attn.indexer.wk.weight"}) {
    EXPECT_EQ(gguf("glm4moe", name), "none") << name;
  }
  EXPECT_EQ(gguf("deepseek2", "model.layers.0.self_attn.o_proj.bias"), "none");
  const auto refused = [](auto&& action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(refused([] { require_gguf_architecture("glm-dsa", "x.gguf"); }),
            "x.gguf: metadata \"general.architecture\": \"glm-dsa\" is not supported; known: glm4moe, deepseek2, glm4, "
            "chatglm, llama, qwen3, qwen3moe");
  EXPECT_THAT(refused([] { gguf_architecture_of("gpt2", "config.json"); }), HasSubstr("glm4_moe, glm4_moe_lite"));
}

// Whatever can be written is read back under the same name.
TEST(GgufNames, AreTheirOwnInverse) {
  const std::vector<std::string> suffixes = {"input_layernorm.weight",
                                             "self_attn.q_proj.weight",
                                             "self_attn.q_proj.bias",
                                             "self_attn.k_proj.weight",
                                             "self_attn.v_proj.bias",
                                             "self_attn.o_proj.weight",
                                             "self_attn.o_proj.bias",
                                             "self_attn.q_norm.weight",
                                             "self_attn.k_norm.weight",
                                             "self_attn.q_a_proj.weight",
                                             "self_attn.q_a_layernorm.weight",
                                             "self_attn.q_b_proj.weight",
                                             "self_attn.kv_a_proj_with_mqa.weight",
                                             "self_attn.kv_a_layernorm.weight",
                                             "self_attn.kv_b_proj.weight",
                                             "self_attn.embed_q.weight",
                                             "self_attn.unembed_out.weight",
                                             "post_attention_layernorm.weight",
                                             "post_self_attn_layernorm.weight",
                                             "post_mlp_layernorm.weight",
                                             "mlp.gate_up_proj.weight",
                                             "mlp.gate_proj.weight",
                                             "mlp.up_proj.weight",
                                             "mlp.down_proj.weight",
                                             "mlp.down_proj.bias",
                                             "mlp.gate.weight",
                                             "mlp.gate.e_score_correction_bias",
                                             "mlp.experts.7.gate_proj.weight",
                                             "mlp.experts.0.up_proj.weight",
                                             "mlp.experts.11.down_proj.weight",
                                             "mlp.shared_experts.up_proj.weight",
                                             "eh_proj.weight",
                                             "enorm.weight",
                                             "hnorm.weight",
                                             "embed_tokens.weight",
                                             "shared_head.head.weight",
                                             "shared_head.norm.weight"};
  int pairs = 0;
  for (const GgufArchitecture& architecture : gguf_architectures()) {
    for (const std::string& suffix : suffixes) {
      const std::string name = "model.layers.21." + suffix;
      const auto there = gguf_name_of(architecture, name);
      if (!there) continue;
      ++pairs;
      const auto back = canonical_name_of(architecture, there->name);
      ASSERT_TRUE(back) << there->name;
      EXPECT_EQ(back->form, there->form);
      EXPECT_EQ(there->expert >= 0 ? expert_name(back->name, there->expert) : back->name, name);
    }
  }
  EXPECT_GT(pairs, 100);
}

TEST(GgufNames, PairTheRowsOfARotatedHead) {
  // Two heads of 6 rows: there the halves alternate.
  EXPECT_THAT(rope_pairs(12, 6), ElementsAre(0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11));
  EXPECT_THAT(inverse_rope_pairs(12, 6), ElementsAre(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11));
}

}  // namespace
}  // namespace glimmer
