// A model folder whose model counts: after each token comes its successor, surely. So what the commands print is known.
//
//   0 1 ... 9 0 1 ...            never ends
//   A B ... Z <|endoftext|>
//   <think> a b c d e </think> v w x y z <|endoftext|>     what every chat prompt leads to
//
// A token is a byte (ids 0 to 255) or one of the special ones. The chat template is GLM-4.7's in little.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/utf8.h"
#include "format/safetensors.h"
#include "support/temp_dir.h"

namespace glimmer::testing {

inline constexpr int32_t kEndOfText = 256;
inline constexpr int32_t kUser = 260;
inline constexpr int32_t kThink = 263;
inline constexpr int32_t kEndThink = 264;
inline constexpr int64_t kSuccessorVocab = 265;
inline constexpr int64_t kSuccessorContext = 128;
inline constexpr int64_t kEndlessContext = 100'000'000;  // a test gives up before it is full

class SuccessorModel {
 public:
  explicit SuccessorModel(int64_t context = kSuccessorContext) {
    folder_.write("config.json", dump_json(config(context)));
    folder_.write("generation_config.json", R"({"eos_token_id": [256, 260]})");
    folder_.write("tokenizer.json", dump_json(tokenizer()));
    folder_.write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
    folder_.write("chat_template.jinja",
                  "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
                  "{% if tools %}{{ tools | length }}{% endif %}"
                  "{% if add_generation_prompt %}<|assistant|>"
                  "{{ '</think>' if enable_thinking is defined and not enable_thinking else '<think>' }}{% endif %}");
    write_weights();
  }

  std::string path() const { return folder_.path().string(); }
  const TempDir& folder() const { return folder_; }

 private:
  static constexpr int64_t kHidden = 272;
  static constexpr int64_t kHeads = 2;
  static constexpr int64_t kHeadDim = 8;
  static constexpr int64_t kIntermediate = 8;

  static constexpr std::array<const char*, 9> kSpecial = {"<|endoftext|>",   "[gMASK]",  "<sop>",
                                                          "<|system|>",      "<|user|>", "<|assistant|>",
                                                          "<|observation|>", "<think>",  "</think>"};

  static Json config(int64_t context) {
    return {{"architectures", {"Glm4ForCausalLM"}},
            {"model_type", "glm4"},
            {"vocab_size", kSuccessorVocab},
            {"hidden_size", kHidden},
            {"intermediate_size", kIntermediate},
            {"num_hidden_layers", 1},
            {"num_attention_heads", kHeads},
            {"num_key_value_heads", kHeads},
            {"head_dim", kHeadDim},
            {"hidden_act", "silu"},
            {"rms_norm_eps", 1e-5},
            {"rope_theta", 10000.0},
            {"partial_rotary_factor", 0.5},
            {"attention_bias", false},
            {"tie_word_embeddings", false},
            {"max_position_embeddings", context},
            {"eos_token_id", {256}}};
  }

  // GPT-2's spelling of bytes as printable characters.
  static std::string byte_level(int byte) {
    const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
    int code_point = byte;
    if (!printable(byte)) {
      code_point = 256;
      for (int b = 0; b < byte; ++b) code_point += printable(b) ? 0 : 1;
    }
    std::string out;
    append_utf8(out, static_cast<char32_t>(code_point));
    return out;
  }

  static Json tokenizer() {
    Json vocab = Json::object();
    for (int byte = 0; byte < 256; ++byte) vocab[byte_level(byte)] = byte;
    Json added = Json::array();
    for (size_t i = 0; i < kSpecial.size(); ++i) {
      added.push_back({{"id", 256 + i},
                       {"content", kSpecial[i]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", 256 + static_cast<int32_t>(i) < kThink}});
    }
    const Json byte_level_step = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    return {{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", added},
            {"normalizer", nullptr},
            {"pre_tokenizer", byte_level_step},
            {"post_processor", nullptr},
            {"decoder", byte_level_step},
            {"model",
             {{"type", "BPE"},
              {"dropout", nullptr},
              {"unk_token", nullptr},
              {"continuing_subword_prefix", nullptr},
              {"end_of_word_suffix", nullptr},
              {"fuse_unk", false},
              {"byte_fallback", false},
              {"ignore_merges", true},
              {"vocab", vocab},
              {"merges", Json::array()}}}};
  }

  static int32_t successor(int32_t id) {
    switch (id) {
      case '9':
        return '0';
      case 'Z':
      case 'z':
        return kEndOfText;
      case 'e':
        return kEndThink;
      case kThink:
        return 'a';
      case kEndThink:
        return 'v';
      default:
        return (id + 1) % static_cast<int32_t>(kSuccessorVocab);
    }
  }

  // One layer that adds nothing, an embedding of unit vectors, and a head that sends each to its successor.
  void write_weights() const {
    std::vector<std::pair<std::string, Tensor>> tensors;
    const auto add = [&](const char* name, Shape shape, float value) -> float* {
      tensors.emplace_back(name, Tensor(DType::kF32, shape));
      auto* data = tensors.back().second.as<float>();
      std::fill_n(data, shape.element_count(), value);
      return data;
    };
    float* embedding = add("model.embed_tokens.weight", {kSuccessorVocab, kHidden}, 0);
    float* head = add("lm_head.weight", {kSuccessorVocab, kHidden}, 0);
    for (int32_t id = 0; id < kSuccessorVocab; ++id) {
      embedding[id * kHidden + id] = 1;
      head[successor(id) * kHidden + id] = 1;
    }
    add("model.norm.weight", {kHidden}, 1);
    add("model.layers.0.input_layernorm.weight", {kHidden}, 1);
    add("model.layers.0.post_attention_layernorm.weight", {kHidden}, 1);
    add("model.layers.0.post_self_attn_layernorm.weight", {kHidden}, 1);
    add("model.layers.0.post_mlp_layernorm.weight", {kHidden}, 1);
    add("model.layers.0.self_attn.q_proj.weight", {kHeads * kHeadDim, kHidden}, 0);
    add("model.layers.0.self_attn.k_proj.weight", {kHeads * kHeadDim, kHidden}, 0);
    add("model.layers.0.self_attn.v_proj.weight", {kHeads * kHeadDim, kHidden}, 0);
    add("model.layers.0.self_attn.o_proj.weight", {kHidden, kHeads * kHeadDim}, 0);
    add("model.layers.0.mlp.gate_up_proj.weight", {2 * kIntermediate, kHidden}, 0);
    add("model.layers.0.mlp.down_proj.weight", {kHidden, kIntermediate}, 0);
    std::vector<NamedTensor> named;
    for (const auto& [name, tensor] : tensors) named.push_back({name, tensor.view()});
    write_safetensors(folder_.path() / "model.safetensors", named);
  }

  TempDir folder_;
};

}  // namespace glimmer::testing
