// Finds added tokens in text, as AddedVocabulary of the `tokenizers` package does: leftmost, longest first, then the
// flags of the token found.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

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

  bool empty() const { return tokens_.empty(); }

  struct SplitOptions {
    bool parse_special = true;              // false: a special token is text
    std::span<const size_t> barriers = {};  // offsets, ascending, that no token may span,
    size_t origin = 0;                      // counted from here: where `text` begins in the text they belong to
  };

  // Appends the parts of `text`, valid UTF-8, in order.
  void split(std::string_view text, const SplitOptions& options, std::vector<Part>& out) const;

 private:
  struct Rules {
    int32_t id;
    bool special, lstrip, rstrip, single_word;
  };
  struct Node {
    int32_t token = -1;                                    // into tokens_
    std::vector<std::pair<unsigned char, uint32_t>> next;  // sorted by byte
  };
  struct Match {
    size_t end = 0;
    int32_t token = -1;
  };

  Match longest_match(std::string_view text, size_t begin) const;
  static const Node* child(const std::vector<Node>& nodes, const Node& node, unsigned char byte);

  std::vector<Rules> tokens_;
  std::vector<Node> nodes_{1};
  std::array<bool, 256> may_begin_{};
};

}  // namespace glimmer
