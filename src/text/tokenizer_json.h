// Reads tokenizer.json: every field checked, nothing interpreted beyond what the format says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_vocab.h"

namespace glimmer {

struct TokenizerSpec {
  enum class Decoder { kJoinWithSpaces, kConcatenate, kByteLevel };
  static constexpr int32_t kSequence = -1;  // the text's place in post_template

  Vocab vocab;  // model.vocab, as the file spells the tokens
  MergeTable merges;
  std::optional<std::string> unk_token;
  bool fuse_unk = false;
  bool ignore_merges = false;
  PreTokenizer pre_tokenizer;
  std::vector<int32_t> post_template{kSequence};  // ids, and kSequence where the text's own ids go
  Decoder decoder = Decoder::kJoinWithSpaces;
  std::vector<AddedToken> added_tokens;
};

// Throws kInvalid, kUnsupported or kLimit; a message begins "<source>: <field>: ".
TokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view source);

}  // namespace glimmer
