// Text to token ids and back, from a Hugging Face tokenizer.json: byte-level BPE, to the id what the `tokenizers`
// package gives. Added tokens are cut out first, the rest is split by the pre-tokenizer, and each piece is merged by
// rank.
//
// Known (anything else is kUnsupported, with the list of what is known):
//   model           BPE with merges as "a b" or ["a", "b"], ignore_merges, unk_token, fuse_unk; no dropout,
//                   byte_fallback, continuing_subword_prefix or end_of_word_suffix
//   normalizer      null, Sequence (of none)
//   pre_tokenizer   null, ByteLevel, Split (all behaviours; Regex or String), Digits, Sequence
//   post_processor  null, ByteLevel, TemplateProcessing (its `single` part), Sequence
//   decoder         null, ByteLevel, Fuse, Sequence
// `truncation` and `padding` are a caller's business and are not applied.
//
// Input that is not valid UTF-8: each ill-formed subsequence counts as U+FFFD, as Python's errors="replace" would give.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // left out by decode with skip_special
  bool normalized = false;   // looked for in the normalized text, not in the text as given
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool single_word = false;  // only between characters that are not word characters
};

struct EncodeOptions {
  bool add_special_tokens = true;  // apply the post-processor's template; GLM files have none
  bool parse_special = true;       // false: the text of a special token is ordinary text (for untrusted user input)
  // Offsets into the text, ascending, across which no added token is seen, special or not: so parts of a text can be
  // trusted to hold tokens and others not, while all of it is encoded as one. Only for valid UTF-8.
  std::span<const size_t> barriers = {};
};

struct DecodeOptions {
  bool skip_special = false;
};

// Immutable once loaded: every const member may be called from any number of threads.
class Tokenizer {
 public:
  // Reads a tokenizer.json, or the one in the folder `path`. Throws kNotFound, kIo, kInvalid, kUnsupported or kLimit;
  // the message names the file and the field, what was expected and what was found.
  static Tokenizer from_file(const std::filesystem::path& path);
  // The same from the file's text; `source` begins every message.
  static Tokenizer from_json(std::string_view text, std::string_view source);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // Valid UTF-8: bytes that form no character become U+FFFD. An id without a token (a padded row of lm_head, a negative
  // number) adds nothing.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  // The bytes that `id` adds to decoded text, perhaps part of a character; empty for an id without a token.
  std::string_view token_bytes(int32_t id) const;
  // What decode puts between two tokens: a space if the file has no decoder, else nothing.
  std::string_view token_separator() const;

  // A token as the file spells it (byte-level: "Ġhello").
  std::optional<std::string_view> id_to_token(int32_t id) const;
  std::optional<int32_t> token_to_id(std::string_view token) const;

  bool is_special(int32_t id) const;
  int32_t vocab_size() const;                           // tokens, the added ones counted
  int32_t max_id() const;                               // -1 if there is no token
  const std::vector<AddedToken>& added_tokens() const;  // in the order of the file

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace glimmer
