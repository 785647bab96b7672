#include "text/pre_tokenizer.h"

#include "text/pre_tokenizer_unicode.h"

namespace glimmer {
namespace {

// Joins the matches of a pattern, and the gaps between them, into pieces, as NormalizedString::split of the
// `tokenizers` package does. An empty match is no piece, but it counts as the neighbour of what follows.
class PieceJoiner {
 public:
  PieceJoiner(std::string_view text, SplitBehavior behavior, bool invert, PieceSink sink)
      : text_(text), behavior_(behavior), invert_(invert), sink_(sink) {}

  // The next part of the text; parts arrive in order and without gaps.
  void add(size_t begin, size_t end, bool matched) {
    const bool is_match = matched != invert_;
    switch (behavior_) {
      case SplitBehavior::kIsolated:
        emit(begin, end);
        break;
      case SplitBehavior::kRemoved:
        if (!is_match) emit(begin, end);
        break;
      case SplitBehavior::kContiguous:
        join_if(is_match == previous_match_, begin, end);
        break;
      case SplitBehavior::kMergedWithPrevious:
        join_if(is_match && !previous_match_, begin, end);
        break;
      case SplitBehavior::kMergedWithNext:
        join_if(!is_match && previous_match_, begin, end);
        break;
    }
    previous_match_ = is_match;
  }

  void finish() {
    if (pending_) emit(pending_->begin, pending_->end);
    pending_.reset();
  }

 private:
  void join_if(bool join, size_t begin, size_t end) {
    if (join && pending_) {
      pending_->end = end;
      return;
    }
    finish();
    pending_ = Span{begin, end};
  }

  void emit(size_t begin, size_t end) {
    if (end > begin) sink_(text_.substr(begin, end - begin));
  }

  std::string_view text_;
  SplitBehavior behavior_;
  bool invert_;
  PieceSink sink_;
  std::optional<Span> pending_;
  bool previous_match_ = false;
};

// Gives `joiner` the matches, found as Oniguruma's iterator finds them, and the gaps between.
void for_each_match(std::string_view text, PieceJoiner& joiner, const Regex& regex, RegexScratch& scratch) {
  size_t covered = 0;  // the end of the last match
  size_t from = 0;
  bool any = false;
  Span match;
  while (from <= text.size() && regex.find(text, from, scratch, match)) {
    if (match.begin == match.end && any && match.end == covered) {  // an empty match right behind another
      if (from < text.size()) {
        next_code_point(text, from);
      } else {
        ++from;
      }
      continue;
    }
    if (covered != match.begin) joiner.add(covered, match.begin, false);
    joiner.add(match.begin, match.end, true);
    covered = from = match.end;
    any = true;
  }
  if (covered != text.size()) joiner.add(covered, text.size(), false);
}

void run_split(const PreTokenizer::Split& split, std::string_view text, RegexScratch& scratch, PieceSink sink) {
  PieceJoiner joiner(text, split.behavior, split.invert, sink);
  if (const auto* scanner = std::get_if<PieceScanner>(&split.pattern)) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = scanner->piece_end(text, at);
      joiner.add(at, end, true);
      at = end;
    }
  } else {
    for_each_match(text, joiner, std::get<Regex>(split.pattern), scratch);
  }
  joiner.finish();
}

void run_digits(const PreTokenizer::Digits& digits, std::string_view text, PieceSink sink) {
  const auto behavior = digits.individual_digits ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  PieceJoiner joiner(text, behavior, false, sink);
  const uint8_t* classes = char_classes();
  size_t covered = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!(classes[next_code_point(text, at)] & kNumeric)) continue;
    if (covered < begin) joiner.add(covered, begin, false);
    joiner.add(begin, at, true);
    covered = at;
  }
  if (covered < text.size()) joiner.add(covered, text.size(), false);
  joiner.finish();
}

void run_byte_level(const PreTokenizer::ByteLevel& byte_level, std::string_view text, PieceSink sink) {
  if (byte_level.add_prefix_space && !text.starts_with(' ')) {
    const std::string prefixed = " " + std::string(text);
    return run_byte_level({.add_prefix_space = false, .use_regex = byte_level.use_regex}, prefixed, sink);
  }
  if (!byte_level.use_regex) return sink(text);
  static const PieceScanner scanner = PieceScanner::gpt2();
  for (size_t at = 0; at < text.size();) {
    const size_t end = scanner.piece_end(text, at);
    sink(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace

void PreTokenizer::run_stage(size_t index, std::string_view text, RegexScratch& scratch, PieceSink sink) const {
  if (text.empty()) return;
  if (index == stages_.size()) return sink(text);
  const auto next = [&](std::string_view piece) { run_stage(index + 1, piece, scratch, sink); };
  const Stage& stage = stages_[index];
  if (const auto* split = std::get_if<Split>(&stage)) {
    run_split(*split, text, scratch, next);
  } else if (const auto* digits = std::get_if<Digits>(&stage)) {
    run_digits(*digits, text, next);
  } else {
    run_byte_level(std::get<ByteLevel>(stage), text, sink);
  }
}

}  // namespace glimmer
