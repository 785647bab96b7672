#include "text/pattern_set.h"

#include <algorithm>

#include "base/check.h"

namespace glimmer {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 16;

}  // namespace

uint32_t PatternSet::child(uint32_t at, unsigned char byte) const {
  const auto& next = nodes_[at].next;
  const auto found = std::lower_bound(next.begin(), next.end(), std::pair{byte, uint32_t{0}});
  return found != next.end() && found->first == byte ? found->second : 0;
}

void PatternSet::add(std::string_view pattern, int32_t value) {
  GLIMMER_CHECK(!pattern.empty() && value >= 0, "pattern {} of {} bytes", value, pattern.size());
  uint32_t at = 0;
  for (size_t i = pattern.size(); i-- > 0;) {
    const auto byte = static_cast<unsigned char>(pattern[i]);
    if (const uint32_t next = child(at, byte)) {
      at = next;
      continue;
    }
    const auto index = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
    auto& next = nodes_[at].next;
    next.insert(std::lower_bound(next.begin(), next.end(), std::pair{byte, uint32_t{0}}), {byte, index});
    at = index;
  }
  nodes_[at].value = value;
  nodes_[at].size = static_cast<uint32_t>(pattern.size());
  longest_ = std::max(longest_, pattern.size());
}

// Level by level: a node's fallback is less deep.
void PatternSet::finish() {
  for (const auto& [byte, index] : nodes_[0].next) first_[byte] = index;
  std::vector<uint32_t> level;
  for (const auto& [byte, index] : nodes_[0].next) level.push_back(index);
  for (size_t i = 0; i < level.size(); ++i) {
    const uint32_t at = level[i];
    for (const auto& [byte, index] : nodes_[at].next) {
      const uint32_t fallback = step(nodes_[at].fallback, byte);
      nodes_[index].fallback = fallback;
      nodes_[index].output = nodes_[fallback].value >= 0 ? fallback : nodes_[fallback].output;
      level.push_back(index);
    }
  }
}

void PatternStarts::restart(std::string_view text) {
  text_ = text;
  searched_ = 0;
  found_.clear();
}

const PatternSet::Match* PatternStarts::next(size_t from) {
  for (;;) {
    while (!found_.empty() && found_.back().begin < from) found_.pop_back();
    if (!found_.empty()) return &found_.back();
    const size_t begin = std::max(searched_, from);
    if (begin >= text_.size() || patterns_.empty()) return nullptr;
    // What begins in the block may end behind it. A block is as long as the longest at least, so that all is read twice
    // at most.
    searched_ = std::min(text_.size(), begin + std::max(kBlockBytes, patterns_.longest()));
    const size_t read_to = std::min(text_.size(), searched_ + patterns_.longest() - 1);
    patterns_.for_each_from_the_end(text_.substr(begin, read_to - begin), [&](PatternSet::Match match) {
      match.begin += begin;
      if (match.begin < searched_) found_.push_back(match);
    });
  }
}

}  // namespace glimmer
