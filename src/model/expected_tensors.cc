#include "model/expected_tensors.h"

#include <fmt/format.h>

#include <string_view>

#include "model/family.h"

namespace glimmer {
namespace {

class List {
 public:
  explicit List(const ModelConfig& config) : c_(config), family_(family_of(config.model_type, config.source)) {}

  void add_layer(int64_t layer, KvBForm kv_b) {
    prefix_ = fmt::format("model.layers.{}.", layer);
    vector("input_layernorm", c_.hidden_size);
    vector("post_attention_layernorm", c_.hidden_size);
    if (family_.norms_after_blocks) {
      vector("post_self_attn_layernorm", c_.hidden_size);
      vector("post_mlp_layernorm", c_.hidden_size);
    }
    if (c_.attention == AttentionKind::kMla) {
      add_mla(kv_b);
    } else {
      add_gqa();
    }
    if (c_.is_sparse(layer)) {
      add_moe();
    } else {
      add_mlp();
    }
  }

  void add_ends() {
    prefix_.clear();
    matrix("model.embed_tokens", c_.vocab_size, c_.hidden_size);
    vector("model.norm", c_.hidden_size);
    if (!c_.tie_word_embeddings) matrix("lm_head", c_.vocab_size, c_.hidden_size);
  }

  std::vector<NamedShape> take() { return std::move(tensors_); }

 private:
  void matrix(std::string_view path, int64_t rows, int64_t columns, bool bias = false) {
    tensors_.push_back({fmt::format("{}{}.weight", prefix_, path), {rows, columns}});
    if (bias) tensors_.push_back({fmt::format("{}{}.bias", prefix_, path), {rows}});
  }
  void vector(std::string_view path, int64_t size) {
    tensors_.push_back({fmt::format("{}{}.weight", prefix_, path), {size}});
  }
  void gated_mlp(const std::string& path, int64_t width, bool bias = false) {
    matrix(path + ".gate_proj", width, c_.hidden_size, bias);
    matrix(path + ".up_proj", width, c_.hidden_size, bias);
    matrix(path + ".down_proj", c_.hidden_size, width, bias);
  }

  void add_gqa() {
    const int64_t q = c_.num_attention_heads * c_.head_dim;
    const int64_t kv = c_.num_key_value_heads * c_.head_dim;
    matrix("self_attn.q_proj", q, c_.hidden_size, c_.attention_bias);
    matrix("self_attn.k_proj", kv, c_.hidden_size, c_.attention_bias);
    matrix("self_attn.v_proj", kv, c_.hidden_size, c_.attention_bias);
    matrix("self_attn.o_proj", c_.hidden_size, q, c_.attention_output_bias);
    if (c_.use_qk_norm) {
      vector("self_attn.q_norm", c_.head_dim);
      vector("self_attn.k_norm", c_.head_dim);
    }
  }

  void add_mla(KvBForm kv_b) {
    const int64_t heads = c_.num_attention_heads;
    if (c_.q_lora_rank == 0) {
      matrix("self_attn.q_proj", heads * c_.qk_head_dim(), c_.hidden_size);
    } else {
      matrix("self_attn.q_a_proj", c_.q_lora_rank, c_.hidden_size, c_.attention_bias);
      vector("self_attn.q_a_layernorm", c_.q_lora_rank);
      matrix("self_attn.q_b_proj", heads * c_.qk_head_dim(), c_.q_lora_rank);
    }
    matrix("self_attn.kv_a_proj_with_mqa", c_.kv_lora_rank + c_.qk_rope_head_dim, c_.hidden_size, c_.attention_bias);
    vector("self_attn.kv_a_layernorm", c_.kv_lora_rank);
    if (kv_b == KvBForm::kWhole) {
      matrix("self_attn.kv_b_proj", heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank);
    } else {
      matrix("self_attn.embed_q", heads * c_.kv_lora_rank, c_.qk_nope_head_dim);
      matrix("self_attn.unembed_out", heads * c_.v_head_dim, c_.kv_lora_rank);
    }
    matrix("self_attn.o_proj", c_.hidden_size, heads * c_.v_head_dim, c_.attention_bias);
  }

  void add_mlp() {
    if (!family_.gate_and_up_in_one) return gated_mlp("mlp", c_.intermediate_size, c_.mlp_bias);
    matrix("mlp.gate_up_proj", 2 * c_.intermediate_size, c_.hidden_size, c_.mlp_bias);
    matrix("mlp.down_proj", c_.hidden_size, c_.intermediate_size, c_.mlp_bias);
  }

  void add_moe() {
    matrix("mlp.gate", c_.n_routed_experts, c_.hidden_size);
    if (c_.router_scoring == RouterScoring::kSigmoid) {
      tensors_.push_back({prefix_ + "mlp.gate.e_score_correction_bias", {c_.n_routed_experts}});
    }
    for (int64_t expert = 0; expert < c_.n_routed_experts; ++expert) {
      gated_mlp(fmt::format("mlp.experts.{}", expert), c_.moe_intermediate_size);
    }
    if (c_.n_shared_experts > 0) gated_mlp("mlp.shared_experts", c_.moe_intermediate_size * c_.n_shared_experts);
  }

  const ModelConfig& c_;
  const Family& family_;
  std::string prefix_;
  std::vector<NamedShape> tensors_;
};

}  // namespace

std::vector<NamedShape> expected_tensors(const ModelConfig& config, KvBForm kv_b) {
  List list(config);
  list.add_ends();
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) list.add_layer(layer, kv_b);
  return list.take();
}

}  // namespace glimmer
