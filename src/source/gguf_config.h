// config.json out of the metadata of a GGUF file, and the metadata out of config.json.
//
// What the two do not say alike:
//   - block_count counts the MTP block (nextn_predict_layers), num_hidden_layers does not
//   - GGUF has one rms eps. For deepseek2 llama.cpp takes it in q_a_layernorm and kv_a_layernorm as well; transformers
//     has 1e-6 there whatever rms_norm_eps is, and so has the family glm4_moe_lite. Nothing of it is written.
//   - deepseek2 without expert_gating_func: sigmoid if it is GLM-4.7-Flash by its size (47 or 48 blocks, 154880 rows
//     of the vocabulary), else softmax, as llama.cpp has it. Softmax (DeepSeek-V2) is not supported.
//   - attention_bias, use_qk_norm, tie_word_embeddings, mlp_bias: GGUF has the tensors or has them not
//   - llama3's rope is a tensor, rope_freqs.weight: a divisor for each frequency. From it the published parameters are
//     recognised; other ones travel in keys of ours, <architecture>.rope.scaling.llama3.*, which llama.cpp ignores.
// Source: llama.cpp, gguf-py/gguf/constants.py, conversion/*.py, src/llama-model.cpp, src/models/*.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "source/gguf_names.h"

namespace glimmer {

// What the tensors say and the metadata does not.
struct GgufTensorFacts {
  int64_t vocab_size = 0;       // rows of token_embd.weight
  bool output = false;          // output.weight is there: the embeddings are not tied
  bool attention_bias = false;  // of q, k, v
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;
  std::vector<float> rope_freqs;  // rope_freqs.weight; empty: absent
};

// The sizes by which tensors are cut.
struct GgufSizes {
  int64_t num_hidden_layers = 0;
  int64_t nextn_predict_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;  // of q and k
  int64_t expert_count = 0;
};
// Throws kInvalid (absent, of another kind, out of range; a size for each layer of its own is kUnsupported).
GgufSizes gguf_sizes(const GgufMetadata& metadata, const GgufArchitecture& architecture);

// config.json. `eos_token_id`: of the tokenizer; may be empty. Throws kInvalid as above, kUnsupported on what the
// architecture's family cannot do: another gating function, rope scaling, vision's rope sections, ...
Json config_json_of(const GgufMetadata& metadata, const GgufArchitecture& architecture, const GgufTensorFacts& facts,
                    const std::vector<int32_t>& eos_token_id);

// generation_config.json: eos_token_id, pad_token_id, and how to sample (general.sampling.*, with do_sample true). An
// empty object if the file says nothing of it. Throws kInvalid on values of another kind.
Json generation_config_json_of(const GgufMetadata& metadata, const std::vector<int32_t>& eos_token_id);

// The keys general.sampling.* and the fields of generation_config.json that they are.
struct GgufSamplingKey {
  std::string_view key;
  std::string_view field;
  bool integer = false;
};
std::span<const GgufSamplingKey> gguf_sampling_keys();

// general.file_type of a file whose matrices are mostly of this type: llama.cpp's LLAMA_FTYPE. Nothing if it has none.
std::optional<uint32_t> gguf_file_type(DType dtype);

struct GgufMetadataOptions {
  std::string name;                   // general.name; empty: left out
  std::optional<uint32_t> file_type;  // general.file_type
  int64_t mtp_layers = 0;             // that the file will hold
};

// The metadata of the model itself, the tokenizer's not among it: general.* and <architecture>.*, in llama.cpp's order.
// `source` (config.json's path) begins every message. Throws kInvalid on a missing or malformed field, kUnsupported on
// what GGUF has no words for: layers that are not first dense and then sparse, half-split MLA, YaRN without rounding.
std::vector<GgufKeyValue> gguf_metadata(const Json& config, const GgufMetadataOptions& options,
                                        std::string_view source);

// The values of rope_freqs.weight, [head_dim / 2], if config.json's rope type is llama3; else empty.
std::vector<float> gguf_rope_freqs(const Json& config, std::string_view source);

}  // namespace glimmer
