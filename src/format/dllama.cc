#include "format/dllama.h"

#include <algorithm>

#include "base/error.h"

namespace glimmer {
namespace {

// Lays the tensors out one by one. Every method does nothing once the receiver has had enough.
class Planner {
 public:
  Planner(const DllamaHeader& header, const std::function<bool(const DllamaTensor&)>& place)
      : h_(header), place_(place) {}

  void run() {
    matrix("model.embed_tokens.weight", h_.vocab_size, h_.hidden_size, DType::kF32);
    for (int64_t i = 0; i < h_.num_hidden_layers && more_; ++i) layer(i);
    vector("model.norm.weight", h_.hidden_size);
    if (!h_.tie_word_embeddings) matrix("lm_head.weight", h_.vocab_size, h_.hidden_size, h_.weights);
    for (int64_t i = h_.num_hidden_layers; i < h_.all_layers() && more_; ++i) mtp_layer(i);
  }

 private:
  void add(const DllamaTensor& tensor) { more_ = more_ && place_(tensor); }

  void matrix(std::string name, int64_t rows, int64_t columns, DType usual) {
    const auto it = h_.tensor_types.find(index_++);
    add({std::move(name), {rows, columns}, it == h_.tensor_types.end() ? usual : it->second, true});
  }
  void vector(std::string name, int64_t size) { fixed(std::move(name), {size}); }
  void fixed(std::string name, Shape shape) {
    ++index_;
    add({std::move(name), shape, DType::kF32, false});
  }

  // Names within a layer.
  void weight(std::string_view name, int64_t rows, int64_t columns) {
    matrix(fmt::format("{}{}.weight", prefix_, name), rows, columns, h_.weights);
  }
  void linear(std::string_view name, int64_t rows, int64_t columns, bool bias) {
    weight(name, rows, columns);
    if (bias) vector(fmt::format("{}{}.bias", prefix_, name), rows);
  }
  void norm(std::string_view name, int64_t size) { vector(fmt::format("{}{}.weight", prefix_, name), size); }

  void layer(int64_t index) {
    prefix_ = fmt::format("model.layers.{}.", index);
    if (h_.arch == DllamaArch::kGlm4MoeLite) {
      attention_mla();
    } else {
      attention_gqa();
    }
    if (h_.is_sparse(index)) {
      experts();
    } else if (h_.fused_gate_up) {
      weight("mlp.gate_up_proj", 2 * h_.intermediate_size, h_.hidden_size);
      weight("mlp.down_proj", h_.hidden_size, h_.intermediate_size);
    } else {
      gate_down_up("mlp", h_.intermediate_size);
    }
    if (h_.use_qk_norm) {
      norm("self_attn.q_norm", h_.head_dim);
      norm("self_attn.k_norm", h_.head_dim);
    }
    norm("input_layernorm", h_.hidden_size);
    norm("post_attention_layernorm", h_.hidden_size);
    if (h_.sandwich_norms) {
      norm("post_self_attn_layernorm", h_.hidden_size);
      norm("post_mlp_layernorm", h_.hidden_size);
    }
  }

  void attention_gqa() {
    const int64_t q = h_.num_attention_heads * h_.head_dim;
    const int64_t kv = h_.num_key_value_heads * h_.head_dim;
    linear("self_attn.q_proj", q, h_.hidden_size, h_.attention_bias);
    linear("self_attn.k_proj", kv, h_.hidden_size, h_.attention_bias);
    linear("self_attn.v_proj", kv, h_.hidden_size, h_.attention_bias);
    weight("self_attn.o_proj", h_.hidden_size, q);
  }

  void attention_mla() {
    const int64_t heads = h_.num_attention_heads;
    const int64_t q = heads * (h_.qk_nope_head_dim + h_.qk_rope_head_dim);
    if (h_.q_lora_rank == 0) {
      weight("self_attn.q_proj", q, h_.hidden_size);
    } else {
      linear("self_attn.q_a_proj", h_.q_lora_rank, h_.hidden_size, h_.attention_bias);
      norm("self_attn.q_a_layernorm", h_.q_lora_rank);
      weight("self_attn.q_b_proj", q, h_.q_lora_rank);
    }
    linear("self_attn.kv_a_proj_with_mqa", h_.kv_lora_rank + h_.qk_rope_head_dim, h_.hidden_size, h_.attention_bias);
    norm("self_attn.kv_a_layernorm", h_.kv_lora_rank);
    if (h_.split_kv_b) {
      weight("self_attn.embed_q", heads * h_.kv_lora_rank, h_.qk_nope_head_dim);
      weight("self_attn.unembed_out", heads * h_.v_head_dim, h_.kv_lora_rank);
    } else {
      weight("self_attn.kv_b_proj", heads * (h_.qk_nope_head_dim + h_.v_head_dim), h_.kv_lora_rank);
    }
    linear("self_attn.o_proj", h_.hidden_size, heads * h_.v_head_dim, h_.attention_bias);
  }

  void experts() {
    fixed(prefix_ + "mlp.gate.weight", {h_.n_routed_experts, h_.hidden_size});
    if (!is_upstream(h_.arch)) vector(prefix_ + "mlp.gate.e_score_correction_bias", h_.n_routed_experts);
    for (int64_t e = 0; e < h_.n_routed_experts && more_; ++e) {
      gate_down_up(fmt::format("mlp.experts.{}", e), h_.moe_intermediate_size);
    }
    if (h_.n_shared_experts > 0) gate_down_up("mlp.shared_experts", h_.n_shared_experts * h_.moe_intermediate_size);
  }

  void gate_down_up(const std::string& name, int64_t width) {
    weight(name + ".gate_proj", width, h_.hidden_size);
    weight(name + ".down_proj", h_.hidden_size, width);
    weight(name + ".up_proj", width, h_.hidden_size);
  }

  void mtp_layer(int64_t index) {
    layer(index);
    norm("enorm", h_.hidden_size);
    norm("hnorm", h_.hidden_size);
    weight("eh_proj", h_.hidden_size, 2 * h_.hidden_size);
    if (h_.mtp_embed_tokens) {
      matrix(prefix_ + "embed_tokens.weight", h_.vocab_size, h_.hidden_size, DType::kF32);
    }
    norm("shared_head.norm", h_.hidden_size);
    if (h_.mtp_shared_head) weight("shared_head.head", h_.vocab_size, h_.hidden_size);
  }

  const DllamaHeader& h_;
  const std::function<bool(const DllamaTensor&)>& place_;
  std::string prefix_;
  int64_t index_ = 0;
  bool more_ = true;
};

// Takes the bytes of one tensor after the other out of the file. No size of a header can overflow 64 bits (the largest
// matrix has 2^34 rows of 2^20 columns), and the sum stops at the file's end.
class Cutter {
 public:
  Cutter(DllamaContent& content, std::span<const std::byte> data, std::string_view file)
      : content_(content), data_(data), file_(file) {}

  bool take(const DllamaTensor& tensor) {
    const int64_t columns = tensor.shape[tensor.shape.rank() - 1];
    const DTypeBlock block = dtype_block(tensor.dtype);
    if (content_.tensors.size() == static_cast<size_t>(kMaxDllamaTensors)) {
      fail(ErrorCode::kLimit, "{}: the header asks for more than {} tensors", file_, kMaxDllamaTensors);
    }
    if (columns % block.values != 0) {
      fail(ErrorCode::kInvalid, "{}: {}: {} columns of {}, expected a multiple of {}", file_, tensor.name, columns,
           dtype_name(tensor.dtype), block.values);
    }
    const auto size = static_cast<uint64_t>(tensor.shape.element_count() / block.values * block.bytes);
    if (size > data_.size() - at_) {
      fail(ErrorCode::kInvalid, "{}: {}: {} {} takes {} bytes, but {} are left of the file; it is truncated or damaged",
           file_, tensor.name, dtype_name(tensor.dtype), tensor.shape.to_string(), size, data_.size() - at_);
    }
    const auto index = static_cast<int64_t>(content_.tensors.size());
    if (!tensor.any_type && content_.header.tensor_types.contains(index)) {
      fail(ErrorCode::kInvalid, "{}: header key {}: {} is F32 always", file_, 65536 + index, tensor.name);
    }
    content_.tensors.push_back({tensor.name, tensor.dtype, tensor.shape, data_.subspan(at_, size), file_});
    at_ += size;
    return true;
  }

  void finish() const {
    if (at_ != data_.size()) {
      fail(ErrorCode::kInvalid, "{}: {} bytes behind the last tensor: the header does not fit the file", file_,
           data_.size() - at_);
    }
    const auto& types = content_.header.tensor_types;
    const auto count = static_cast<int64_t>(content_.tensors.size());
    if (!types.empty() && types.rbegin()->first >= count) {
      fail(ErrorCode::kInvalid, "{}: header key {}: a type for tensor {} of {}", file_, 65536 + types.rbegin()->first,
           types.rbegin()->first, count);
    }
  }

 private:
  DllamaContent& content_;
  std::span<const std::byte> data_;
  std::string_view file_;
  size_t at_ = 0;
};

}  // namespace

void for_each_dllama_tensor(const DllamaHeader& header, const std::function<bool(const DllamaTensor&)>& place) {
  Planner(header, place).run();
}

int64_t dllama_stored_row(int64_t row, int64_t head_dim) {
  const int64_t in_head = row % head_dim;
  const int64_t half = head_dim / 2;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

DllamaContent parse_dllama(std::span<const std::byte> bytes, std::string_view file_name) {
  DllamaContent content;
  content.header = parse_dllama_header(bytes, file_name);
  Cutter cutter(content, bytes.subspan(static_cast<size_t>(content.header.header_bytes)), file_name);
  for_each_dllama_tensor(content.header, [&](const DllamaTensor& tensor) { return cutter.take(tensor); });
  cutter.finish();
  return content;
}

DllamaFile::DllamaFile(const std::filesystem::path& path)
    : file_(path), file_name_(path.string()), content_(parse_dllama(file_.bytes(), file_name_)) {
  by_name_ = content_.tensors;
  std::sort(by_name_.begin(), by_name_.end(), [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
}

}  // namespace glimmer
