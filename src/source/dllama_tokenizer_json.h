// Distributed Llama's tokenizer (.t) to and from Hugging Face's tokenizer.json, tokenizer_config.json and chat
// template.
//
// A .t has tokens and scores: no merges, no pre-tokenizer, no flags of special tokens. A file that Glimmer writes has
// the rest of tokenizer.json behind its last token (docs/formats.md), so that nothing is lost and Distributed Llama
// still reads it. A file without that is taken for byte-level BPE (each score the negative id) of a vocabulary that is
// known by its first special token, Llama 3's, Qwen's or GLM-4's; any other is kUnsupported. Its special tokens are
// those from bos_id on, as in Distributed Llama, and Qwen's normalization to NFC is not known.
// Source: b4rtaz/distributed-llama 8d624a7, converter/convert-tokenizer-hf.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/dllama_tokenizer.h"

namespace glimmer {

// `file` begins every message. Throw kInvalid on an extension that does not fit the tokens, kUnsupported as above,
// kLimit on a token of more than 1,024 bytes.
std::string tokenizer_json_of(const DllamaTokenizer& tokenizer, std::string_view file);
// Nothing if the folder that the file was made from had none.
std::optional<std::string> tokenizer_config_json_of(const DllamaTokenizer& tokenizer, std::string_view file);

// generation_config.json, ids and sampling defaults; nothing if the folder had none.
std::optional<std::string> generation_config_json_of(const DllamaTokenizer& tokenizer, std::string_view file);

// bos_token_id for config.json: bos_id, unless it only marks where special tokens begin.
std::optional<int32_t> bos_token_id_of(const DllamaTokenizer& tokenizer, std::string_view file);

// A Hugging Face folder's side of it.
struct HfTokenizerText {
  std::string_view tokenizer_json;
  std::string_view tokenizer_config_json;   // empty: there is none
  std::string_view generation_config_json;  // empty: there is none
  std::string_view chat_template;           // chat_template.jinja; empty: that of tokenizer_config.json, if any
  std::vector<int32_t> eos_token_id;        // generation_config.json's, else config.json's
  std::optional<int32_t> bos_token_id;      // config.json's; else that of tokenizer_config.json's bos_token
  std::string_view source;                  // tokenizer.json's path: begins every message
};

// Tokens, scores and header as convert-tokenizer-hf.py writes them. Without a bos token, bos_id is the first id behind
// the model's vocabulary, where Distributed Llama has special tokens begin, and add_bos is 0. Throws kInvalid on a
// malformed tokenizer.json or an id that has no token; kUnsupported on another model than BPE or ids with gaps.
DllamaTokenizer dllama_tokenizer_of(const HfTokenizerText& hf);

}  // namespace glimmer
