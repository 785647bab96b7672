#include "model/summary.h"

#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace glimmer {
namespace {

// The tensors of a published checkpoint, by the shapes of its config: names and shapes only.
class Listing {
 public:
  void add(const std::string& name, Shape shape, DType dtype = DType::kBF16) {
    EncodedMatrix data = ModelSource::whole_matrix({.name = name, .dtype = dtype, .shape = shape});
    static const std::byte kNeverRead{};
    data.parts[0] = {&kNeverRead, dtype_bytes(dtype, shape.element_count())};
    tensors_.push_back({.name = name, .shape = shape, .data = data, .stored_dtype = dtype});
  }

  // With the bytes of its scales.
  void add_fp8(const std::string& name, Shape shape, size_t scale_bytes) {
    add(name, shape, DType::kF8E4M3);
    tensors_.back().data.type = &require_quant_type("fp8");
    tensors_.back().data.parts[1] = {tensors_.back().data.parts[0].data(), scale_bytes};
  }

  std::span<const SourceTensor> tensors() const { return tensors_; }

 private:
  std::vector<SourceTensor> tensors_;
};

void add_mlp(Listing& list, const std::string& prefix, int64_t hidden, int64_t size) {
  list.add(prefix + "gate_proj.weight", {size, hidden});
  list.add(prefix + "up_proj.weight", {size, hidden});
  list.add(prefix + "down_proj.weight", {hidden, size});
}

void add_attention(Listing& list, const std::string& prefix, const ModelConfig& c) {
  const int64_t hidden = c.hidden_size;
  const int64_t heads = c.num_attention_heads;
  if (c.attention == AttentionKind::kMla) {
    list.add(prefix + "q_a_proj.weight", {c.q_lora_rank, hidden});
    list.add(prefix + "q_a_layernorm.weight", {c.q_lora_rank});
    list.add(prefix + "q_b_proj.weight", {heads * c.qk_head_dim(), c.q_lora_rank});
    list.add(prefix + "kv_a_proj_with_mqa.weight", {c.kv_lora_rank + c.qk_rope_head_dim, hidden});
    list.add(prefix + "kv_a_layernorm.weight", {c.kv_lora_rank});
    list.add(prefix + "kv_b_proj.weight", {heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank});
    list.add(prefix + "o_proj.weight", {hidden, heads * c.v_head_dim});
    return;
  }
  list.add(prefix + "q_proj.weight", {heads * c.head_dim, hidden});
  list.add(prefix + "q_proj.bias", {heads * c.head_dim});
  for (const char* name : {"k_proj", "v_proj"}) {
    list.add(prefix + name + ".weight", {c.num_key_value_heads * c.head_dim, hidden});
    list.add(prefix + name + ".bias", {c.num_key_value_heads * c.head_dim});
  }
  list.add(prefix + "o_proj.weight", {hidden, heads * c.head_dim});
  if (c.use_qk_norm) {
    list.add(prefix + "q_norm.weight", {c.head_dim});
    list.add(prefix + "k_norm.weight", {c.head_dim});
  }
}

void add_layer(Listing& list, int64_t layer, const ModelConfig& c, bool sparse) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  list.add(prefix + "input_layernorm.weight", {c.hidden_size});
  list.add(prefix + "post_attention_layernorm.weight", {c.hidden_size});
  add_attention(list, prefix + "self_attn.", c);
  if (!sparse) {
    add_mlp(list, prefix + "mlp.", c.hidden_size, c.intermediate_size);
    return;
  }
  list.add(prefix + "mlp.gate.weight", {c.n_routed_experts, c.hidden_size});
  list.add(prefix + "mlp.gate.e_score_correction_bias", {c.n_routed_experts}, DType::kF32);
  for (int64_t e = 0; e < c.n_routed_experts; ++e) {
    add_mlp(list, prefix + "mlp.experts." + std::to_string(e) + ".", c.hidden_size, c.moe_intermediate_size);
  }
  add_mlp(list, prefix + "mlp.shared_experts.", c.hidden_size, c.moe_intermediate_size * c.n_shared_experts);
}

Listing published(const ModelConfig& c, bool mtp_has_embedding) {
  Listing list;
  list.add("model.embed_tokens.weight", {c.vocab_size, c.hidden_size});
  list.add("model.norm.weight", {c.hidden_size});
  list.add("lm_head.weight", {c.vocab_size, c.hidden_size});
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) add_layer(list, layer, c, c.is_sparse(layer));
  add_layer(list, c.num_hidden_layers, c, true);
  const std::string mtp = "model.layers." + std::to_string(c.num_hidden_layers) + ".";
  list.add(mtp + "enorm.weight", {c.hidden_size});
  list.add(mtp + "hnorm.weight", {c.hidden_size});
  list.add(mtp + "eh_proj.weight", {c.hidden_size, 2 * c.hidden_size});
  list.add(mtp + "shared_head.norm.weight", {c.hidden_size});
  if (mtp_has_embedding) {
    list.add(mtp + "embed_tokens.weight", {c.vocab_size, c.hidden_size});
    list.add(mtp + "shared_head.head.weight", {c.vocab_size, c.hidden_size});
  }
  return list;
}

ModelConfig with_layers(ModelConfig config, int64_t layers, int64_t dense) {
  config.num_hidden_layers = layers;
  config.mlp_layer_types.assign(static_cast<size_t>(layers), MlpLayerType::kSparse);
  std::fill_n(config.mlp_layer_types.begin(), dense, MlpLayerType::kDense);
  return config;
}

ModelConfig air() {
  ModelConfig c;
  c.vocab_size = 151552;
  c.hidden_size = 4096;
  c.intermediate_size = 10944;
  c.num_attention_heads = 96;
  c.num_key_value_heads = 8;
  c.head_dim = 128;
  c.moe_intermediate_size = 1408;
  c.n_routed_experts = 128;
  c.num_experts_per_tok = 8;
  c.n_shared_experts = 1;
  return with_layers(c, 46, 1);
}

ModelConfig glm_4_5() {
  ModelConfig c = air();
  c.hidden_size = 5120;
  c.intermediate_size = 12288;
  c.moe_intermediate_size = 1536;
  c.n_routed_experts = 160;
  c.use_qk_norm = true;
  return with_layers(c, 92, 3);
}

ModelConfig flash() {
  ModelConfig c;
  c.vocab_size = 154880;
  c.hidden_size = 2048;
  c.intermediate_size = 10240;
  c.attention = AttentionKind::kMla;
  c.num_attention_heads = 20;
  c.q_lora_rank = 768;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = 192;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 256;
  c.moe_intermediate_size = 1536;
  c.n_routed_experts = 64;
  c.num_experts_per_tok = 4;
  c.n_shared_experts = 1;
  return with_layers(c, 47, 1);
}

double billions(int64_t count) { return static_cast<double>(count) * 1e-9; }

TEST(Summary, CountsOfGlm45Air) {
  const Listing list = published(air(), true);
  const ModelSummary summary = summarize(air(), list.tensors());
  EXPECT_NEAR(billions(summary.main_parameters), 106.852, 0.0005);
  EXPECT_NEAR(billions(summary.role(TensorRole::kMtp).parameters), 2.375 + 1.242, 0.001);
  EXPECT_NEAR(billions(summary.total.parameters), 110.469, 0.0005);
  EXPECT_NEAR(billions(summary.active_parameters_no_head), 12.18, 0.005);
  EXPECT_NEAR(billions(summary.active_parameters), 12.80, 0.005);
  EXPECT_EQ(summary.kv_bytes_per_token_bf16, 184 * 1024);
  EXPECT_EQ(summary.role(TensorRole::kOther).tensors, 0);
}

TEST(Summary, CountsOfGlm45) {
  const Listing list = published(glm_4_5(), true);
  const ModelSummary summary = summarize(glm_4_5(), list.tensors());
  EXPECT_NEAR(billions(summary.main_parameters), 352.798, 0.0005);
  EXPECT_NEAR(billions(summary.total.parameters), 358.338, 0.0005);
  EXPECT_NEAR(billions(summary.active_parameters_no_head), 32.08, 0.005);
  EXPECT_EQ(summary.kv_bytes_per_token_bf16, 368 * 1024);
}

TEST(Summary, CountsOfGlm47Flash) {
  const Listing list = published(flash(), true);
  const ModelSummary summary = summarize(flash(), list.tensors());
  EXPECT_NEAR(billions(summary.main_parameters), 29.943, 0.0005);
  EXPECT_NEAR(billions(summary.total.parameters), 31.221, 0.0005);
  EXPECT_NEAR(billions(summary.active_parameters_no_head), 3.26, 0.005);
  EXPECT_NEAR(billions(summary.active_parameters), 3.58, 0.005);
  EXPECT_EQ(summary.kv_bytes_per_token_bf16, 47 * 576 * 2);
  EXPECT_EQ(summary.kv_bytes_per_token, 47 * 576 * 4);
}

TEST(Summary, ScalesAreBytesButNoParameters) {
  Listing list;
  list.add_fp8("model.layers.0.mlp.down_proj.weight", {256, 128}, 8);
  const ModelSummary summary = summarize(with_layers(air(), 1, 1), list.tensors());
  EXPECT_EQ(summary.total.parameters, 256 * 128);
  EXPECT_EQ(summary.total.bytes, 256 * 128 + 8);
  EXPECT_EQ(summary.by_dtype.at("fp8").tensors, 1);
}

TEST(Summary, ATiedHeadIsTheEmbedding) {
  ModelConfig config = with_layers(air(), 1, 1);
  config.tie_word_embeddings = true;
  Listing list;
  list.add("model.embed_tokens.weight", {100, 8});
  list.add("model.norm.weight", {8});
  const ModelSummary summary = summarize(config, list.tensors());
  EXPECT_EQ(summary.main_parameters, 808);
  EXPECT_EQ(summary.active_parameters, 808);
  EXPECT_EQ(summary.active_parameters_no_head, 8);
}

TEST(Summary, RolesByName) {
  EXPECT_EQ(tensor_role("model.layers.3.self_attn.q_norm.weight", 4), TensorRole::kAttention);
  EXPECT_EQ(tensor_role("model.layers.3.post_mlp_layernorm.weight", 4), TensorRole::kNorm);
  EXPECT_EQ(tensor_role("model.layers.3.mlp.gate_up_proj.weight", 4), TensorRole::kDenseMlp);
  EXPECT_EQ(tensor_role("model.layers.3.mlp.gate_proj.weight", 4), TensorRole::kDenseMlp);
  EXPECT_EQ(tensor_role("model.layers.3.mlp.gate.weight", 4), TensorRole::kRouter);
  EXPECT_EQ(tensor_role("model.layers.4.embed_tokens.weight", 4), TensorRole::kMtp);
  EXPECT_EQ(tensor_role("model.layers.x.mlp.gate.weight", 4), TensorRole::kOther);
  EXPECT_EQ(tensor_role("model.layers.99999999999999999999.mlp.gate.weight", 4), TensorRole::kOther);
  EXPECT_EQ(tensor_role("", 4), TensorRole::kOther);
}

}  // namespace
}  // namespace glimmer
