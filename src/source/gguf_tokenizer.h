// The tokenizer inside a GGUF file, to and from Hugging Face's tokenizer.json, tokenizer_config.json and chat template.
// Only byte-level BPE, tokenizer.ggml.model "gpt2", with the pre-tokenizers of gguf_pre_type.h.
//
// From GGUF to tokenizer.json:
//   - token types: 1 normal; 2 unknown and 3 control become special added tokens; 4 user-defined an added token that is
//     not special; 5 unused a token that no text gives; 6 byte (SentencePiece) is kUnsupported. "[PAD<id>]" at its own
//     id, unused or user-defined, is a padded row of the embedding and no token.
//   - ignore_merges is that of the published tokenizers of the pre type. llama.cpp has it false for GLM, by which 893
//     tokens cannot be reached.
//   - tokenizer.ggml.add_bos_token and add_eos_token, or what llama.cpp takes where they are absent, become the
//     TemplateProcessing that Llama 3's tokenizer.json has.
//   - What GGUF cannot say is lost: which control tokens were not special (converters count every <|...|> as control),
//     and Qwen2's normalization to NFC, which llama.cpp does not do either.
// From tokenizer.json to GGUF: the same backwards, with padded rows, token types and special ids as llama.cpp's
// converter sets them. ignore_merges may differ from the pre type's where merges make every token, so that it changes
// nothing: the demo model is such a case. The original text travels in the standard key tokenizer.huggingface.json, and
// where that is present it is the tokenizer: through GGUF and back nothing is lost. Sources: ggml docs/gguf.md;
// llama.cpp src/llama-vocab.cpp, conversion/base.py, conversion/glm.py, gguf-py vocab.py.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf_writer.h"

namespace glimmer {

// Every key of the metadata that begins with "tokenizer." and is known; the names are theirs.
struct GgufTokenizer {
  std::string_view model;                // tokenizer.ggml.model
  std::optional<std::string_view> pre;   // tokenizer.ggml.pre
  std::vector<std::string_view> tokens;  // tokenizer.ggml.tokens
  std::vector<int64_t> token_type;       // tokenizer.ggml.token_type
  std::vector<std::string_view> merges;  // tokenizer.ggml.merges: "left right", lowest rank first
  std::optional<int64_t> bos, eos, eot, eom, unknown, padding;  // tokenizer.ggml.<name>_token_id
  std::optional<bool> add_bos, add_eos;                         // tokenizer.ggml.add_<name>_token
  std::optional<bool> add_space_prefix;                         // tokenizer.ggml.add_space_prefix: must not be true
  std::string_view huggingface_json;                            // tokenizer.huggingface.json; empty: absent
  std::string_view chat_template;                               // tokenizer.chat_template; empty: absent
  std::map<std::string, std::string_view> chat_templates;       // tokenizer.chat_template.<name>
  std::vector<std::string> losses;  // written only: what of the original has no place in these keys, a line each

  std::shared_ptr<const void> storage;  // what the views point into, where it is not the file
};

// Takes the keys out of the metadata, whose bytes it views. Throws kInvalid if one has another kind of value.
// Nothing if tokenizer.ggml.model is absent or "none".
std::optional<GgufTokenizer> read_gguf_tokenizer(const GgufMetadata& metadata);

// `source` (the file's name) begins every message; keys are named in full. Throw kInvalid on ids out of range, arrays
// of different lengths, tokens that are there twice, text that is no UTF-8, merges that are no pair, a
// tokenizer.huggingface.json with other tokens than tokenizer.ggml.tokens; kUnsupported on another model or pre type.
std::string tokenizer_json_of(const GgufTokenizer& gguf, std::string_view source);
std::string tokenizer_config_json_of(const GgufTokenizer& gguf, std::string_view source);

// The ids that end a turn, for generation_config.json: eos, eot, eom, each once. Throws kInvalid on ids out of range.
std::vector<int32_t> gguf_eos_token_ids(const GgufTokenizer& gguf, std::string_view source);

// A Hugging Face folder's side of it.
struct HfTokenizer {
  std::string_view tokenizer_json;
  std::string_view tokenizer_config_json;             // empty: there is none
  std::string_view chat_template;                     // empty: there is none
  std::map<std::string, std::string> chat_templates;  // additional_chat_templates/<name>.jinja
  std::vector<int32_t> eos_token_id;                  // generation_config.json's, else config.json's
  int64_t vocab_size = 0;                             // rows of the embedding, the padded ones among them
  std::string_view model_type;                        // config.json's: GLM's pre type has a name of its own
  std::string_view source;                            // tokenizer.json's path: begins every message
};

// The views are into its own storage. Throws kInvalid on a malformed tokenizer.json; kUnsupported where GGUF has no
// words for it: another model than byte-level BPE, a pre_tokenizer that is none of the known (its regular expression is
// in the message), a normalizer, a post_processor beyond bos and eos.
GgufTokenizer gguf_tokenizer_of(const HfTokenizer& hf);

// Its keys, in the order in which llama.cpp's converter writes them.
std::vector<GgufKeyValue> gguf_tokenizer_metadata(const GgufTokenizer& gguf);

}  // namespace glimmer
