// Finds stop strings in streamed text, and never emits part of one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace glimmer {

class StopMatcher {
 public:
  // Empty strings among `stops` are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  // The text that may be shown now. Held back is the longest end of it that could begin a stop string. From a match on,
  // which is the one that begins first, nothing more comes.
  std::string push(std::string_view text);

  // What was held back, when no more text comes.
  std::string flush();

  bool matched() const { return !match_.empty(); }
  const std::string& match() const { return match_; }  // the stop string found, or empty

 private:
  size_t held_bytes() const;

  std::vector<std::string> stops_;
  std::string pending_;
  std::string match_;
};

}  // namespace glimmer
