// Distributed Llama's tokenizer file (.t): a header of int32 pairs, the chat template, ids that end a text, and for
// each token a score and its bytes. docs/formats.md, section "Distributed Llama", has every byte. Source:
// b4rtaz/distributed-llama 8d624a7, src/tokenizer.{hpp,cpp}, converter/tokenizer-writer.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer {

struct DllamaTokenizer {
  struct Token {
    float score = 0;
    std::string bytes;
  };
  std::vector<Token> tokens;
  std::optional<int32_t> bos_id;  // Distributed Llama takes every id from here on for special
  std::vector<int32_t> eos_ids;
  std::optional<bool> add_bos;
  std::optional<std::string> chat_template;
  // Glimmer's, behind the last token, where Distributed Llama does not look: a JSON text.
  std::optional<std::string> extension;
};

// Strict: throws kInvalid on a wrong magic, sizes that do not fit the file, a key that is unknown, given twice or
// missing, ids beyond the vocabulary, a score that is no number, an empty token or one longer than the header says,
// bytes behind the end; kUnsupported on the files of before version 1. Keys 5 (padding id) and 8 (stop string) are
// read over, as there. Nothing is allocated that the file's size does not bear out.
DllamaTokenizer parse_dllama_tokenizer(std::span<const std::byte> file, std::string_view file_name);

// The file's bytes. CHECKs that ids lie within the vocabulary and that no token is empty.
std::vector<std::byte> encode_dllama_tokenizer(const DllamaTokenizer& tokenizer);

}  // namespace glimmer
