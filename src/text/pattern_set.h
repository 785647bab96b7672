// Where any of a set of strings begins in a text, in time linear in the text whatever both are (Aho and Corasick,
// 1975).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace glimmer {

// Immutable once its patterns are added, for any number of threads.
class PatternSet {
 public:
  // `value` >= 0 is what the pattern, which is not empty, is known by. The last one counts where a pattern comes twice.
  void add(std::string_view pattern, int32_t value);
  // After the last add().
  void finish();

  bool empty() const { return nodes_.size() == 1; }
  size_t longest() const { return longest_; }  // in bytes

  struct Match {
    size_t begin = 0;
    size_t size = 0;
    int32_t value = -1;
    int32_t shorter = 0;  // for next_shorter()
  };
  // Calls found(Match) for each place where a pattern begins, from the last to the first, with the longest.
  template <typename Found>
  void for_each_from_the_end(std::string_view text, const Found& found) const {
    uint32_t at = 0;
    for (size_t i = text.size(); i-- > 0;) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (at == 0 && first_[byte] == 0) continue;
      at = step(at, byte);
      const Node& node = nodes_[at];
      const uint32_t longest = node.value >= 0 ? at : node.output;
      if (longest != 0) found(match_at(i, longest));
    }
  }
  // The next shorter one that begins where this does; its size is 0 if there is none.
  Match next_shorter(const Match& match) const { return match_at(match.begin, static_cast<uint32_t>(match.shorter)); }

 private:
  // A trie of the patterns read from their ends.
  struct Node {
    int32_t value = -1;
    uint32_t size = 0;
    uint32_t fallback = 0;  // the longest proper suffix of what was read that is a path too
    uint32_t output = 0;    // the longest such that is a pattern; 0: none
    std::vector<std::pair<unsigned char, uint32_t>> next;  // sorted by byte
  };

  uint32_t child(uint32_t at, unsigned char byte) const;  // 0: none
  uint32_t step(uint32_t at, unsigned char byte) const {
    for (;;) {
      const uint32_t next = at == 0 ? first_[byte] : child(at, byte);
      if (next != 0 || at == 0) return next;
      at = nodes_[at].fallback;
    }
  }
  Match match_at(size_t begin, uint32_t node) const {
    return {begin, nodes_[node].size, nodes_[node].value, static_cast<int32_t>(nodes_[node].output)};
  }

  std::vector<Node> nodes_{1};
  std::array<uint32_t, 256> first_{};  // the root's children
  size_t longest_ = 0;
};

// The same from the first place to the last, block by block.
class PatternStarts {
 public:
  explicit PatternStarts(const PatternSet& patterns, std::string_view text = {}) : patterns_(patterns), text_(text) {}

  void restart(std::string_view text);
  // The first place at or behind `from`, which never goes back; null: there is none. Valid until the next call.
  const PatternSet::Match* next(size_t from);

 private:
  const PatternSet& patterns_;
  std::string_view text_;
  size_t searched_ = 0;                   // all that begins before it is in found_
  std::vector<PatternSet::Match> found_;  // from the last to the first
};

}  // namespace glimmer
