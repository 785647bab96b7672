#include "text/added_tokens.h"

#include <algorithm>

#include "base/check.h"
#include "text/pre_tokenizer_unicode.h"

namespace glimmer {
namespace {

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  size_t at = last_code_point(text);
  return char_classes()[next_code_point(text, at)] & kWord;
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && char_classes()[next_code_point(text, at)] & kWord;
}

size_t trailing_space_begin(std::string_view text) {
  while (!text.empty()) {
    const size_t begin = last_code_point(text);
    size_t at = begin;
    if (!(char_classes()[next_code_point(text, at)] & kSpace)) break;
    text = text.substr(0, begin);
  }
  return text.size();
}

size_t leading_space_end(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size() && char_classes()[next_code_point(text, at)] & kSpace;) end = at;
  return end;
}

}  // namespace

const AddedTokenFinder::Node* AddedTokenFinder::child(const std::vector<Node>& nodes, const Node& node,
                                                      unsigned char byte) {
  const auto found = std::lower_bound(node.next.begin(), node.next.end(), std::pair{byte, uint32_t{0}});
  return found != node.next.end() && found->first == byte ? &nodes[found->second] : nullptr;
}

void AddedTokenFinder::add(const AddedToken& token, std::string_view pattern) {
  GLIMMER_CHECK(!pattern.empty(), "added token {} without a pattern", token.id);
  size_t at = 0;
  for (const char c : pattern) {
    const auto byte = static_cast<unsigned char>(c);
    if (const Node* node = child(nodes_, nodes_[at], byte)) {
      at = node - nodes_.data();
      continue;
    }
    const auto index = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
    auto& next = nodes_[at].next;
    next.insert(std::lower_bound(next.begin(), next.end(), std::pair{byte, uint32_t{0}}), {byte, index});
    at = index;
  }
  may_begin_[static_cast<unsigned char>(pattern.front())] = true;
  nodes_[at].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back({token.id, token.special, token.lstrip, token.rstrip, token.single_word});
}

AddedTokenFinder::Match AddedTokenFinder::longest_match(std::string_view text, size_t begin) const {
  Match match;
  const Node* node = &nodes_[0];
  for (size_t at = begin; at < text.size(); ++at) {
    node = child(nodes_, *node, static_cast<unsigned char>(text[at]));
    if (!node) break;
    if (node->token >= 0) match = {at + 1, node->token};
  }
  return match;
}

void AddedTokenFinder::split(std::string_view text, const SplitOptions& options, std::vector<Part>& out) const {
  size_t covered = 0;
  auto barrier = std::upper_bound(options.barriers.begin(), options.barriers.end(), options.origin);
  for (size_t at = 0; at < text.size() && !empty();) {
    if (!may_begin_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    while (barrier != options.barriers.end() && *barrier <= options.origin + at) ++barrier;
    const Match match =
        longest_match(barrier == options.barriers.end() ? text : text.substr(0, *barrier - options.origin), at);
    if (match.token < 0) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = match.end;
    at = end;  // the search goes on behind the match, whatever becomes of it
    const Rules& rules = tokens_[match.token];
    if (rules.special && !options.parse_special) continue;
    if (rules.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (rules.lstrip) begin = std::max(trailing_space_begin(text.substr(0, begin)), covered);
    if (rules.rstrip) end += leading_space_end(text.substr(end));
    if (covered < begin) out.push_back({covered, begin, -1});
    // A match of which an rstrip before has eaten everything is dropped; one of which it has eaten a part is not.
    if (begin < end) out.push_back({begin, end, rules.id});
    covered = end;
  }
  if (covered < text.size()) out.push_back({covered, text.size(), -1});
}

}  // namespace glimmer
