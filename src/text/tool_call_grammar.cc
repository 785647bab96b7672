#include "text/tool_call_grammar.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace glimmer {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kNotInNames = "<>{}[]()\"'`,;=|";

}  // namespace

std::string_view trim_space(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

Match either(Match a, Match b) { return std::max(a, b); }

void TagScanner::skip_space() { at = std::min(text.find_first_not_of(kSpace, at), text.size()); }

Match TagScanner::match(std::string_view tag) const {
  const std::string_view here = rest();
  if (here.starts_with(tag)) return Match::kYes;
  return open() && tag.starts_with(here) ? Match::kPartial : Match::kNo;
}

ToolCallGrammar::ToolCallGrammar(const ToolSchemas& tools, Names names, ToolCallWriter writer)
    : tools_(tools), names_(names), writer_(std::move(writer)) {}

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
    drop_open_parts();
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
  return names_ == Names::kAny && !name.empty() && name.size() <= kLongestNameBytes &&
         name.find_first_of(kNotInNames) == std::string_view::npos &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

FoundTag ToolCallGrammar::find_tag(const TagScanner& scanner, std::initializer_list<std::string_view> tags) {
  TagScanner here = scanner;
  const size_t limit = scanner.at + kLongestStrayBytes;
  while ((here.at = here.text.find('<', here.at)) < limit) {
    for (const std::string_view tag : tags) {
      const Match match = here.match(tag);
      if (match != Match::kNo) return {match, here.at, tag};
    }
    ++here.at;
  }
  const bool more_decides = scanner.open() && scanner.text.size() < limit;
  return {more_decides ? Match::kPartial : Match::kNo, scanner.text.size(), {}};
}

std::string_view ToolCallGrammar::take(TagScanner& scanner, size_t bytes) {
  std::string_view taken = scanner.rest().substr(0, bytes);
  if (taken.size() == bytes) taken.remove_suffix(incomplete_utf8_suffix_bytes(taken));
  scanner.at += taken.size();
  return taken;
}

Match ToolCallGrammar::call_ends(TagScanner scanner, std::string_view call_tag) const {
  scanner.skip_space();
  if (scanner.at_end()) return scanner.undecided();
  const Match next = scanner.match(call_tag);
  if (next != Match::kYes) return !scanner.open() && call_tag.starts_with(scanner.rest()) ? Match::kYes : next;
  if (tools_.empty()) return Match::kYes;
  scanner.at += call_tag.size();
  scanner.skip_space();
  const size_t name_end = scanner.text.find_first_of(" \t\r\n<>", scanner.at);
  if (name_end == std::string_view::npos) {
    return scanner.rest().size() <= kLongestNameBytes ? scanner.undecided() : Match::kNo;
  }
  const bool declared = tools_.find(scanner.text.substr(scanner.at, name_end - scanner.at)) != nullptr;
  return declared ? Match::kYes : Match::kNo;
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
