// The pre-tokenizers that tokenizer.ggml.pre names, as far as they are known here. llama.cpp has the rules in its code;
// Hugging Face has them in tokenizer.json as `pre_tokenizer`.
// Source of the regular expressions: the published tokenizer.json of GLM-4, Llama 3, Qwen2 and SmolLM2.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace glimmer {

struct GgufPreType {
  std::string_view name;   // tokenizer.ggml.pre
  std::string_view split;  // the pieces' regular expression; empty: that of ByteLevel (GPT-2's)
  bool digits;             // each digit by itself, before that
  bool ignore_merges;      // as the published tokenizers have it; for GLM llama.cpp has it otherwise
  bool adds_bos;           // where tokenizer.ggml.add_bos_token is absent
  bool nfc;                // the published tokenizers normalize to NFC; llama.cpp does not
  bool glm;                // no token is put before a text, and [gMASK] as bos is GGUF's invention
};

std::span<const GgufPreType> gguf_pre_types();
const GgufPreType* find_gguf_pre_type(std::string_view name);  // nullptr if it is not known
std::string known_gguf_pre_types();                            // "glm4, chatglm-bpe, ...": for messages

}  // namespace glimmer
