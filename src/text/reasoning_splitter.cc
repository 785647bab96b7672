#include "text/reasoning_splitter.h"

#include <algorithm>
#include <utility>

namespace glimmer {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kSpace = " \t\r\n";

// The longest end of `text` that is a beginning of `tag`, but not all of it.
size_t partial_tag_bytes(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(tag.size() - 1, text.size()); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

bool prompt_opens_reasoning(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(kSpace);
  return last != std::string_view::npos && prompt.substr(0, last + 1).ends_with(kOpen);
}

ReasoningSplitter::ReasoningSplitter(Start start) : in_reasoning_(start == Start::kReasoning) {}

std::vector<ReasoningSplitter::Piece> ReasoningSplitter::push(std::string_view text) {
  std::vector<Piece> out;
  pending_ += text;
  for (;;) {
    const size_t open = pending_.find(kOpen);
    const size_t close = pending_.find(kClose);
    const size_t at = std::min(open, close);
    if (at == std::string::npos) break;
    add(std::string_view(pending_).substr(0, at), out);
    held_space_.clear();
    in_reasoning_ = open < close;
    at_section_start_ = true;
    pending_.erase(0, at + (in_reasoning_ ? kOpen : kClose).size());
  }
  const size_t held = std::max(partial_tag_bytes(pending_, kOpen), partial_tag_bytes(pending_, kClose));
  add(std::string_view(pending_).substr(0, pending_.size() - held), out);
  pending_.erase(0, pending_.size() - held);
  return out;
}

std::vector<ReasoningSplitter::Piece> ReasoningSplitter::flush() {
  std::vector<Piece> out;
  add(std::exchange(pending_, {}), out);
  held_space_.clear();
  return out;
}

void ReasoningSplitter::add(std::string_view text, std::vector<Piece>& out) {
  if (at_section_start_) {
    const size_t begin = text.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return;
    text.remove_prefix(begin);
    at_section_start_ = false;
  }
  if (text.empty()) return;
  std::string joined = std::exchange(held_space_, {}).append(text);
  if (in_reasoning_) {
    const size_t end = joined.find_last_not_of(kSpace) + 1;  // npos + 1 is 0: all of it is space
    held_space_ = joined.substr(end);
    joined.resize(end);
  }
  if (!joined.empty()) out.push_back({in_reasoning_, std::move(joined)});
}

}  // namespace glimmer
