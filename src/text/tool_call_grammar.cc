#include "text/tool_call_grammar.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace glimmer {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kNotInNames = "<>{}[]()\"'`,;=|";

// `text` without the beginning of a tag at its end.
std::string_view without_cut_tag(std::string_view text, std::initializer_list<std::string_view> tags) {
  const size_t last = text.rfind('<');
  if (last == std::string_view::npos) return text;
  const bool cut =
      std::any_of(tags.begin(), tags.end(), [&](std::string_view tag) { return tag.starts_with(text.substr(last)); });
  return cut ? text.substr(0, last) : text;
}

}  // namespace

std::string_view trim_space(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

Match either(Match a, Match b) { return std::max(a, b); }

void TagScanner::skip_space() { at = std::min(text.find_first_not_of(kSpace, at), text.size()); }

bool TagScanner::skip_gap() {
  for (;;) {
    skip_space();
    if (at_end()) return false;
    if (text[at] != '\\') return true;
    if (at + 1 == text.size()) return !open();
    if (text[at + 1] != 'n' && text[at + 1] != 'r' && text[at + 1] != 't') return true;
    at += 2;
  }
}

Match TagScanner::match(std::string_view tag) const {
  const std::string_view here = rest();
  if (here.starts_with(tag)) return Match::kYes;
  return open() && tag.starts_with(here) ? Match::kPartial : Match::kNo;
}

ToolCallGrammar::ToolCallGrammar(const ToolSchemas& tools, Trust trust, ToolCallWriter writer)
    : tools_(tools), trust_(trust), writer_(std::move(writer)) {}

ToolCallGrammar::Progress ToolCallGrammar::advance(std::string_view text, TextEnd end) {
  TagScanner scanner{text, end};
  if (state_ == State::kUndecided) {
    const Match match = head(scanner);
    if (match == Match::kPartial) return {0, State::kUndecided};
    if (match == Match::kNo) return {0, State::kNotACall};
    state_ = State::kCall;
  }
  while (state_ == State::kCall && step(scanner) == Step::kGoOn) {
  }
  if (state_ == State::kCall && end != TextEnd::kOpen) {
    drop_open_parts(end);
    if (end == TextEnd::kStopped) {
      writer_.diagnose("the output ends inside a tool call");
      writer_.end();
    } else {
      writer_.cut();
    }
    done();
  }
  return {scanner.at, state_};
}

bool ToolCallGrammar::may_begin(std::string_view name) const {
  if (tools_.find(name) != nullptr) return true;
  return trust_ == Trust::kCall && !name.empty() && name.size() <= kLongestNameBytes &&
         name.find_first_of(kNotInNames) == std::string_view::npos &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

FoundTag ToolCallGrammar::find_tag(const TagScanner& scanner, std::initializer_list<std::string_view> tags) {
  TagScanner here = scanner;
  const size_t limit = std::min(scanner.at + kLongestStrayBytes, scanner.text.size());
  while ((here.at = scanner.text.substr(0, limit).find('<', here.at)) != std::string_view::npos) {
    for (const std::string_view tag : tags) {
      const Match match = here.match(tag);
      if (match != Match::kNo) return {match, here.at, tag};
    }
    ++here.at;
  }
  const bool more_decides = scanner.open() && scanner.text.size() - scanner.at < kLongestStrayBytes;
  return {more_decides ? Match::kPartial : Match::kNo, scanner.text.size(), {}};
}

std::string_view ToolCallGrammar::take(TagScanner& scanner, size_t bytes) {
  std::string_view taken = scanner.rest().substr(0, bytes);
  if (taken.size() == bytes) taken.remove_suffix(incomplete_utf8_suffix_bytes(taken));
  scanner.at += taken.size();
  return taken;
}

Match ToolCallGrammar::is_more_than_mention(const TagScanner& scanner, const MentionTags& tags) const {
  const std::initializer_list<std::string_view> all = {tags.key,      tags.key_end, tags.value,   tags.value_end,
                                                       tags.call_end, kThinkEndTag, kToolCallTag, kToolCallEndTag};
  TagScanner here = scanner;
  bool in_key = false;
  bool in_value = false;
  while (here.at < scanner.at + kLongestStrayBytes) {
    const FoundTag found = find_tag(here, all);
    if (found.match == Match::kPartial) return found.match;
    const bool has_tag = found.match == Match::kYes;
    const bool ends = !has_tag && scanner.text.size() - here.at < kLongestStrayBytes;
    if (!has_tag && !ends) break;
    std::string_view text = here.rest().substr(0, found.at - here.at);
    if (ends) text = without_cut_tag(text, all);
    // Prose where a tag belongs: a mention, unless it is a value whose tag is missing.
    const bool prose = !in_key && !in_value && TagScanner{text, TextEnd::kStopped}.skip_gap();
    if (has_tag && found.tag == tags.value_end) return Match::kYes;
    if (prose || (has_tag && (found.tag == kThinkEndTag || (found.tag == kToolCallTag && !in_value))))
      return Match::kNo;
    // A bare call that the model left unfinished is as likely a mention.
    if (ends && trust_ == Trust::kDeclared && scanner.end == TextEnd::kStopped) return Match::kNo;
    if (ends || found.tag == tags.call_end || found.tag == kToolCallEndTag) return Match::kYes;
    in_value = in_value || found.tag == tags.value;
    in_key = !in_value && found.tag == tags.key;
    here.at = found.at + found.tag.size();
  }
  return in_value ? Match::kYes : Match::kNo;
}

bool ToolCallGrammar::skip_cut_tag(TagScanner& scanner, std::initializer_list<std::string_view> tags) {
  if (scanner.open()) return false;
  for (const std::string_view tag : tags) {
    if (!tag.starts_with(scanner.rest())) continue;
    scanner.at = scanner.text.size();
    return true;
  }
  return false;
}

}  // namespace glimmer
