#include "text/added_tokens.h"

#include <algorithm>

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

// One call of split().
class AddedTokenFinder::Splitter {
 public:
  Splitter(const AddedTokenFinder& finder, std::string_view text, const SplitOptions& options, std::vector<Part>& out)
      : finder_(finder), text_(text), options_(options), out_(out) {}

  void run() {
    PatternStarts starts(finder_.patterns_);
    auto barrier = std::upper_bound(options_.barriers.begin(), options_.barriers.end(), options_.origin);
    for (size_t begin = 0; begin < text_.size();) {
      size_t end = text_.size();
      if (barrier != options_.barriers.end()) end = std::min(end, *barrier++ - options_.origin);
      starts.restart(text_.substr(begin, end - begin));
      for (size_t at = 0; const PatternSet::Match* match = starts.next(at);) {
        at = match->begin + match->size;  // the search goes on behind the match, whatever becomes of it
        take(finder_.tokens_[static_cast<size_t>(match->value)], begin + match->begin, begin + at);
      }
      begin = end;
    }
    if (covered_ < text_.size()) out_.push_back({covered_, text_.size(), -1});
  }

 private:
  void take(const Rules& rules, size_t begin, size_t end) {
    if (rules.special && !options_.parse_special) return;
    if (rules.single_word && (ends_with_word(text_.substr(0, begin)) || starts_with_word(text_.substr(end)))) return;
    if (rules.lstrip)
      begin = begin > covered_ ? covered_ + trailing_space_begin(text_.substr(covered_, begin - covered_)) : covered_;
    if (rules.rstrip) end = space_end(end);
    if (covered_ < begin) out_.push_back({covered_, begin, -1});
    // A match of which an rstrip before has eaten everything is dropped; one of which it has eaten a part is not.
    if (begin < end) out_.push_back({begin, end, rules.id});
    covered_ = end;
  }

  // Where the white space at `at` ends. Tokens within a run of it must not walk through it again and again.
  size_t space_end(size_t at) {
    if (at < run_begin_ || at > run_end_) {
      run_begin_ = at;
      run_end_ = at + leading_space_end(text_.substr(at));
    }
    return run_end_;
  }

  const AddedTokenFinder& finder_;
  std::string_view text_;
  const SplitOptions& options_;
  std::vector<Part>& out_;
  size_t covered_ = 0;
  size_t run_begin_ = 1;  // of white space; at first there is none
  size_t run_end_ = 0;
};

void AddedTokenFinder::add(const AddedToken& token, std::string_view pattern) {
  patterns_.add(pattern, static_cast<int32_t>(tokens_.size()));
  tokens_.push_back({token.id, token.special, token.lstrip, token.rstrip, token.single_word});
}

void AddedTokenFinder::split(std::string_view text, const SplitOptions& options, std::vector<Part>& out) const {
  if (empty()) {
    if (!text.empty()) out.push_back({0, text.size(), -1});
    return;
  }
  Splitter(*this, text, options, out).run();
}

}  // namespace glimmer
