#include "text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace glimmer {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopMatcher::push(std::string_view text) {
  if (matched()) return {};
  pending_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = pending_.find(stop);
    if (at < first) {
      first = at;
      match_ = stop;
    }
  }
  const size_t shown = matched() ? first : pending_.size() - held_bytes();
  std::string out = pending_.substr(0, shown);
  pending_.erase(0, matched() ? pending_.size() : shown);
  return out;
}

// The longest end of pending_ that is the beginning of a stop string.
size_t StopMatcher::held_bytes() const {
  size_t held = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, pending_.size()); n > held; --n) {
      if (pending_.ends_with(std::string_view(stop).substr(0, n))) held = n;
    }
  }
  return held;
}

std::string StopMatcher::flush() { return std::exchange(pending_, {}); }

}  // namespace glimmer
