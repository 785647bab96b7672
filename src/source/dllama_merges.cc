#include "source/dllama_merges.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr size_t kMaxTokenBytes = 1024;
constexpr int32_t kNone = std::numeric_limits<int32_t>::max();

using Merge = std::pair<int32_t, int32_t>;
using Ids = std::unordered_map<std::string_view, int32_t>;

int32_t find(const Ids& ids, std::string_view bytes) {
  const auto it = ids.find(bytes);
  return it == ids.end() ? kNone : it->second;
}

void add_all_splits(const Ids& ids, std::string_view token, std::vector<Merge>& merges) {
  const auto first = static_cast<std::ptrdiff_t>(merges.size());
  for (size_t at = 1; at < token.size(); ++at) {
    const int32_t left = find(ids, token.substr(0, at));
    if (left == kNone) continue;
    const int32_t right = find(ids, token.substr(at));
    if (right != kNone) merges.emplace_back(left, right);
  }
  std::sort(merges.begin() + first, merges.end());
}

// Merges the pair of lowest id, leftmost first, while there is one below the token's own.
class RankedSplit {
 public:
  explicit RankedSplit(const Ids& ids) : ids_(ids) {}

  void add(std::string_view token, int32_t id, std::vector<Merge>& merges) {
    token_ = token;
    begins_.clear();
    for (size_t at = 0; at <= token.size(); ++at) begins_.push_back(at);
    ranks_.clear();
    for (size_t pair = 0; pair + 1 < parts(); ++pair) ranks_.push_back(rank(pair));
    while (parts() > 2) {
      const auto lowest = std::min_element(ranks_.begin(), ranks_.end());
      if (*lowest >= id) return;
      const auto pair = lowest - ranks_.begin();
      begins_.erase(begins_.begin() + pair + 1);
      ranks_.erase(ranks_.begin() + pair);
      for (const auto changed : {pair - 1, pair}) {
        if (changed >= 0 && changed < static_cast<std::ptrdiff_t>(ranks_.size())) {
          ranks_[static_cast<size_t>(changed)] = rank(static_cast<size_t>(changed));
        }
      }
    }
    if (parts() != 2) return;
    const int32_t left = find(ids_, token.substr(0, begins_[1]));
    const int32_t right = find(ids_, token.substr(begins_[1]));
    if (left != kNone && right != kNone) merges.emplace_back(left, right);
  }

 private:
  size_t parts() const { return begins_.size() - 1; }
  int32_t rank(size_t pair) const {
    return find(ids_, token_.substr(begins_[pair], begins_[pair + 2] - begins_[pair]));
  }

  const Ids& ids_;
  std::string_view token_;
  std::vector<size_t> begins_;  // of the parts, and the end
  std::vector<int32_t> ranks_;  // of neighbours
};

}  // namespace

std::vector<Merge> merges_of_tokens(const std::vector<std::string_view>& tokens, MergeRule rule,
                                    std::string_view file) {
  Ids ids;
  ids.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].size() > kMaxTokenBytes) {
      fail(ErrorCode::kLimit, "{}: token {}: {} bytes; merges are found for tokens of up to {}", file, id,
           tokens[id].size(), kMaxTokenBytes);
    }
    if (!tokens[id].empty()) ids.emplace(tokens[id], static_cast<int32_t>(id));
  }
  std::vector<Merge> merges;
  RankedSplit ranked(ids);
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].size() < 2) continue;
    if (rule == MergeRule::kAllSplits) {
      add_all_splits(ids, tokens[id], merges);
    } else {
      ranked.add(tokens[id], static_cast<int32_t>(id), merges);
    }
  }
  return merges;
}

}  // namespace glimmer
