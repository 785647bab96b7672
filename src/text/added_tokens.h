// Finds added tokens in text, as AddedVocabulary of the `tokenizers` package does: leftmost, longest first, then the
// flags of the token found.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "text/pattern_set.h"
#include "text/tokenizer.h"

namespace glimmer {

// Immutable, for any number of threads.
class AddedTokenFinder {
 public:
  // A part of the text: an added token, or the text between two.
  struct Part {
    size_t begin = 0;
    size_t end = 0;
    int32_t id = -1;  // -1: text
  };

  // `pattern` is looked for (not token.content, which normalization may have changed); it is not empty.
  void add(const AddedToken& token, std::string_view pattern);
  // After the last add().
  void finish() { patterns_.finish(); }

  bool empty() const { return tokens_.empty(); }

  struct SplitOptions {
    bool parse_special = true;              // false: a special token is text
    std::span<const size_t> barriers = {};  // offsets, ascending, that no token may span,
    size_t origin = 0;                      // counted from here: where `text` begins in the text they belong to
  };

  // Appends the parts of `text`, valid UTF-8, in order; in time linear in the text.
  void split(std::string_view text, const SplitOptions& options, std::vector<Part>& out) const;

 private:
  struct Rules {
    int32_t id;
    bool special, lstrip, rstrip, single_word;
  };
  class Splitter;

  std::vector<Rules> tokens_;
  PatternSet patterns_;  // their values are indices of tokens_
};

}  // namespace glimmer
