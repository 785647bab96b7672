// A glm-4-9b folder as first published against the same weights in the layout of the family glm: equal tensor by
// tensor.
#include <gmock/gmock.h>

#include <deque>

#include "base/error.h"
#include "base/mapped_file.h"
#include "format/checkpoint.h"
#include "format/safetensors.h"
#include "model/config.h"
#include "source/side_files.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

std::vector<float> values_of(const SourceTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.data.rows * tensor.data.columns));
  decode_rows(tensor.data, 0, tensor.data.rows, values.data());
  return values;
}

// The fixture's tensors under chatglm's names, with q, k and v put together.
class Published {
 public:
  explicit Published(const fs::path& glm) : source_(ModelSource::open(glm)) {
    const ModelConfig config = read_config(side_files_of(*source_));
    write_config(config);
    add("transformer.embedding.word_embeddings.weight", {"model.embed_tokens.weight"});
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      const std::string from = fmt::format("model.layers.{}.", layer);
      const std::string to = fmt::format("transformer.encoder.layers.{}.", layer);
      add(to + "input_layernorm.weight", {from + "input_layernorm.weight"});
      add(to + "post_attention_layernorm.weight", {from + "post_attention_layernorm.weight"});
      for (const char* part : {"weight", "bias"}) {
        std::vector<std::string> qkv;
        for (const char* name : {"q", "k", "v"}) qkv.push_back(fmt::format("{}self_attn.{}_proj.{}", from, name, part));
        if (source_->find(qkv[0]) != nullptr) add(to + "self_attention.query_key_value." + part, qkv);
      }
      add(to + "self_attention.dense.weight", {from + "self_attn.o_proj.weight"});
      add(to + "mlp.dense_h_to_4h.weight", {from + "mlp.gate_up_proj.weight"});
      add(to + "mlp.dense_4h_to_h.weight", {from + "mlp.down_proj.weight"});
    }
    add("transformer.encoder.final_layernorm.weight", {"model.norm.weight"});
    add("transformer.output_layer.weight", {"lm_head.weight"});
    write_safetensors(dir_.path() / "model.safetensors", tensors_);
  }

  const ModelSource& original() const { return *source_; }
  const fs::path& path() const { return dir_.path(); }

 private:
  void write_config(const ModelConfig& c) {
    const Json config = {{"model_type", "chatglm"},
                         {"architectures", {"ChatGLMModel"}},
                         {"num_layers", c.num_hidden_layers},
                         {"hidden_size", c.hidden_size},
                         {"ffn_hidden_size", c.intermediate_size},
                         {"num_attention_heads", c.num_attention_heads},
                         {"multi_query_attention", true},
                         {"multi_query_group_num", c.num_key_value_heads},
                         {"kv_channels", c.head_dim},
                         {"layernorm_epsilon", c.rms_norm_eps},
                         {"padded_vocab_size", c.vocab_size},
                         {"seq_length", c.max_position_embeddings},
                         {"rope_ratio", c.rope_parameters.rope_theta / 10000},
                         {"add_qkv_bias", c.attention_bias},
                         {"add_bias_linear", false},
                         {"rmsnorm", true},
                         {"post_layer_norm", true},
                         {"original_rope", true},
                         {"apply_residual_connection_post_layernorm", false},
                         {"tie_word_embeddings", false}};
    dir_.write("config.json", config.dump());
  }

  void add(const std::string& name, const std::vector<std::string>& parts) {
    std::vector<float> joined;
    Shape shape;
    int64_t rows = 0;
    for (const std::string& part : parts) {
      const SourceTensor& tensor = source_->require(part);
      const std::vector<float> values = values_of(tensor);
      joined.insert(joined.end(), values.begin(), values.end());
      rows += tensor.shape[0];
      shape = tensor.shape.rank() == 1 ? Shape{rows} : Shape{rows, tensor.shape[1]};
    }
    memory_.push_back(std::move(joined));
    tensors_.push_back({name, {memory_.back().data(), DType::kF32, shape}});
  }

  testing::TempDir dir_;
  std::unique_ptr<ModelSource> source_;
  std::deque<std::vector<float>> memory_;
  std::vector<NamedTensor> tensors_;
};

TEST(ChatglmSource, IsTheSameAsTheFamilyGlm) {
  for (const char* fixture : {"glm_bias", "glm_no_bias"}) {
    const Published published(testing::source_dir() / "tests/fixtures" / fixture);
    const auto source = ModelSource::open(published.path());
    const ModelConfig config = read_config(side_files_of(*source));
    const ModelConfig expected = read_config(side_files_of(published.original()));
    EXPECT_EQ(config.model_type, "glm");
    EXPECT_EQ(config.head_dim, expected.head_dim);
    EXPECT_EQ(config.attention_bias, expected.attention_bias);
    EXPECT_DOUBLE_EQ(config.rope_parameters.rope_theta, expected.rope_parameters.rope_theta);
    EXPECT_EQ(source->tensors().size(), published.original().tensors().size());
    for (const SourceTensor& tensor : published.original().tensors()) {
      const SourceTensor& found = source->require(tensor.name);
      EXPECT_EQ(found.shape, tensor.shape) << tensor.name;
      EXPECT_EQ(values_of(found), values_of(tensor)) << tensor.name;
    }
  }
}

}  // namespace
}  // namespace glimmer
