// <tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value>...</tool_call>, as the templates of GLM-4.5 and
// later render it. Values are taken as they are: the templates write no white space inside <arg_value>.
#include <algorithm>
#include <utility>
#include <vector>

#include "text/tool_call_grammar.h"

namespace glimmer {
namespace {

constexpr std::string_view kKeyTag = "<arg_key>";
constexpr std::string_view kKeyEndTag = "</arg_key>";
constexpr std::string_view kValueTag = "<arg_value>";
constexpr std::string_view kValueEndTag = "</arg_value>";

// Values whose keys all stand in front of them: not yet paired.
struct HeldValue {
  std::string text;
  bool ended = false;
};

class GlmGrammar : public ToolCallGrammar {
 public:
  using ToolCallGrammar::ToolCallGrammar;

 protected:
  Match head(TagScanner& scanner) override;
  Step step(TagScanner& scanner) override;
  void drop_open_parts(TextEnd end) override;

 private:
  enum class Part { kBetween, kKey, kBeforeValue, kValue, kHeldValue, kBehindHeldValue };

  Match doubled_tags(TagScanner& here) const;
  Match name(TagScanner& here, std::string_view& name) const;
  Match head_behind_name(TagScanner& scanner, std::string_view name);
  Match is_call(const TagScanner& scanner) const;
  Match begin_with_key(TagScanner& scanner, std::string_view name, std::string_view key);

  Step between(TagScanner& scanner);
  Step call_tag_between(TagScanner& scanner);
  Step stray_text(TagScanner& scanner);
  Step key(TagScanner& scanner);
  Step before_value(TagScanner& scanner);
  Step value(TagScanner& scanner);
  Step held_value(TagScanner& scanner);
  Step behind_held_value(TagScanner& scanner);
  Match ends_value(const TagScanner& scanner, std::string_view& end_tag);
  Match argument_follows(TagScanner scanner);
  Match expected_key_here(TagScanner scanner);
  Match call_ends(TagScanner scanner);
  bool skip_gap_ahead(TagScanner& scanner);
  void begin_value();
  void keys_without_value(size_t count);
  void pair_held_values(TextEnd end);

  Part part_ = Part::kBetween;
  std::vector<std::string> keys_;  // without a value so far
  std::vector<HeldValue> held_;
  size_t gap_ahead_bytes_ = 0;  // white space that is known to stand behind the tag that comes next
};

// A call is one when its name is followed by an argument or by the end of the call.
Match GlmGrammar::head(TagScanner& scanner) {
  TagScanner here = scanner;
  const Match doubled = doubled_tags(here);
  if (here.at - scanner.at > kLongestHeadBytes) return Match::kNo;
  if (doubled == Match::kPartial) return doubled;
  std::string_view tool;
  if (const Match match = name(here, tool); match != Match::kYes) return match;
  const Match match = head_behind_name(here, tool);
  if (match == Match::kYes) scanner.at = here.at;
  return match;
}

// Opening tags that the model wrote again.
Match GlmGrammar::doubled_tags(TagScanner& here) const {
  here.skip_gap();
  Match doubled = here.match(kToolCallTag);
  for (; doubled == Match::kYes; doubled = here.match(kToolCallTag)) {
    here.at += kToolCallTag.size();
    here.skip_gap();
  }
  return doubled;
}

// Up to white space or a tag; a declared name may have spaces.
Match GlmGrammar::name(TagScanner& here, std::string_view& name) const {
  const std::string_view text = here.rest().substr(0, kLongestHeadBytes + 1);
  const auto without_spelt_ends = [](std::string_view line) {
    while (line.ends_with("\\n")) line.remove_suffix(2);  // line ends that the model spelt out
    return line;
  };
  const size_t line_end = std::min(text.find_first_of("\r\n<"), text.size());
  const std::string_view line = trim_space(without_spelt_ends(text.substr(0, line_end)));
  const bool has_space = line.find(' ') != std::string_view::npos;
  if (has_space && tools().find(line) != nullptr) {
    name = line;
    here.at += line_end;
    return Match::kYes;
  }
  const bool may_go_on = line_end == text.size() && text.size() <= kLongestHeadBytes && here.open();
  if (has_space && may_go_on && tools().declares_beginning(line)) return Match::kPartial;
  const size_t name_end = std::min(text.find_first_of(" \t\r\n<"), text.size());
  if (name_end > kLongestHeadBytes) return Match::kNo;
  name = without_spelt_ends(text.substr(0, name_end));
  here.at += name_end;
  return Match::kYes;
}

Match GlmGrammar::head_behind_name(TagScanner& here, std::string_view name) {
  const size_t name_end = here.at;
  const bool goes_on = here.skip_gap();
  if (here.at - name_end > kLongestHeadBytes) return Match::kNo;
  if (!goes_on) {
    if (here.open()) return may_begin(name) || !tools().empty() ? Match::kPartial : Match::kNo;
    // A call without arguments, if there is such a tool and the model ended its output itself.
    if (here.end != TextEnd::kStopped || tools().find(name) == nullptr) return Match::kNo;
    writer().begin(name);
    return Match::kYes;
  }
  for (const std::string_view tag : {kKeyTag, kToolCallEndTag}) {
    Match match = here.match(tag);
    if (match == Match::kNo) continue;
    if (match == Match::kYes) match = !may_begin(name) ? Match::kNo : tag == kKeyTag ? is_call(here) : Match::kYes;
    if (match == Match::kYes) writer().begin(name);
    return match;
  }
  if (const Match match = here.match(kKeyEndTag); match != Match::kNo) {  // <arg_key> is missing
    if (match == Match::kPartial) return match;
    const std::string_view declared = tools().longest_name_in_front_of(name);
    return declared.empty() ? Match::kNo : begin_with_key(here, declared, name.substr(declared.size()));
  }
  if (tools().find(name) == nullptr) return Match::kNo;
  if (Match match = here.match(kToolCallTag); match != Match::kNo) {  // </tool_call> is missing
    if (match == Match::kYes && trust() == Trust::kMention) match = Match::kNo;
    if (match == Match::kYes) writer().begin(name);
    return match;
  }
  // Only a name, white space and a key may stand before </arg_key>.
  const size_t key_end = here.rest().substr(0, kLongestNameBytes + 1).find('<');
  if (key_end == std::string_view::npos) {
    return here.rest().size() <= kLongestNameBytes && here.open() ? Match::kPartial : Match::kNo;
  }
  const std::string_view key = trim_space(here.rest().substr(0, key_end));
  here.at += key_end;
  const Match match = here.match(kKeyEndTag);
  return match == Match::kYes ? begin_with_key(here, name, key) : match;
}

// Inside reasoning a call must go on as one.
Match GlmGrammar::is_call(const TagScanner& scanner) const {
  if (trust() != Trust::kMention) return Match::kYes;
  return is_more_than_mention(scanner, {kKeyTag, kKeyEndTag, kValueTag, kValueEndTag, kToolCallEndTag});
}

Match GlmGrammar::begin_with_key(TagScanner& scanner, std::string_view name, std::string_view key) {
  scanner.at += kKeyEndTag.size();
  if (const Match match = is_call(scanner); match != Match::kYes) return match;
  keys_.emplace_back(key);
  part_ = Part::kBeforeValue;
  writer().begin(name);
  writer().diagnose("<arg_key> is missing");
  return Match::kYes;
}

ToolCallGrammar::Step GlmGrammar::step(TagScanner& scanner) {
  switch (part_) {
    case Part::kBetween:
      return between(scanner);
    case Part::kKey:
      return key(scanner);
    case Part::kBeforeValue:
      return before_value(scanner);
    case Part::kValue:
      return value(scanner);
    case Part::kHeldValue:
      return held_value(scanner);
    case Part::kBehindHeldValue:
      return behind_held_value(scanner);
  }
  return Step::kWait;
}

ToolCallGrammar::Step GlmGrammar::between(TagScanner& scanner) {
  scanner.skip_space();
  TagScanner here = scanner;
  if (!here.skip_gap()) {
    if (!here.open()) scanner.at = here.at;
    return Step::kWait;
  }
  const FoundTag found = find_tag(here, {kKeyTag, kToolCallEndTag, kToolCallTag, kKeyEndTag, kValueTag, kValueEndTag});
  if (found.at != here.at || found.match == Match::kNo) {
    if (!skip_cut_tag(here, {kKeyTag, kToolCallEndTag})) return stray_text(scanner);
    scanner.at = here.at;
    return Step::kGoOn;
  }
  if (found.match == Match::kPartial) return Step::kWait;
  scanner.at = here.at;
  if (found.tag == kToolCallTag) return call_tag_between(scanner);
  scanner.at += found.tag.size();
  if (found.tag == kKeyTag) {
    part_ = Part::kKey;
  } else if (found.tag == kToolCallEndTag) {
    writer().end();
    done();
  } else {
    writer().diagnose("a tag out of place between arguments");
  }
  return Step::kGoOn;
}

// Another call begins, or the tag stands for <arg_key>.
ToolCallGrammar::Step GlmGrammar::call_tag_between(TagScanner& scanner) {
  TagScanner behind = scanner;
  behind.at += kToolCallTag.size();
  const Match is_key = skip_gap_ahead(behind) ? expected_key_here(behind) : behind.undecided();
  if (is_key == Match::kPartial) return Step::kWait;
  gap_ahead_bytes_ = 0;
  if (is_key == Match::kYes && !behind.at_end()) {
    writer().diagnose("<tool_call> stands for <arg_key>");
    scanner.at = behind.at;
    part_ = Part::kKey;
    return Step::kGoOn;
  }
  writer().diagnose("</tool_call> is missing");
  writer().end();
  done();
  return Step::kGoOn;
}

// Text between arguments: a key whose <arg_key> is missing, or nothing that the format knows.
ToolCallGrammar::Step GlmGrammar::stray_text(TagScanner& scanner) {
  const FoundTag found =
      find_tag(scanner, {kKeyTag, kToolCallEndTag, kToolCallTag, kKeyEndTag, kValueTag, kValueEndTag});
  if (found.match == Match::kPartial) return Step::kWait;
  const bool has_tag = found.match == Match::kYes;
  const std::string_view text = trim_space(take(scanner, has_tag ? found.at - scanner.at : kLongestStrayBytes));
  if (has_tag && found.tag == kKeyEndTag) {
    scanner.at += kKeyEndTag.size();
    keys_.emplace_back(text);
    part_ = Part::kBeforeValue;
    writer().diagnose("<arg_key> is missing");
  } else {
    writer().stray(text, "text between the arguments of a tool call");
  }
  return Step::kGoOn;
}

ToolCallGrammar::Step GlmGrammar::key(TagScanner& scanner) {
  const FoundTag found = find_tag(scanner, {kKeyEndTag, kValueTag, kKeyTag, kToolCallEndTag, kToolCallTag});
  if (found.match == Match::kPartial) return Step::kWait;
  const bool has_tag = found.match == Match::kYes;
  if (!has_tag && scanner.end == TextEnd::kCut && scanner.rest().size() < kLongestStrayBytes) {
    scanner.at = scanner.text.size();  // a name that was cut off
    return Step::kWait;
  }
  keys_.emplace_back(trim_space(take(scanner, has_tag ? found.at - scanner.at : kLongestStrayBytes)));
  part_ = Part::kBeforeValue;
  if (has_tag && found.tag == kKeyEndTag) {
    scanner.at += kKeyEndTag.size();
  } else if (has_tag && found.tag == kValueTag) {
    writer().diagnose("</arg_key> is missing");
  } else {
    keys_without_value(keys_.size());
    part_ = Part::kBetween;
  }
  return Step::kGoOn;
}

// The first `count` of them.
void GlmGrammar::keys_without_value(size_t count) {
  for (size_t i = 0; i < count; ++i) writer().stray(keys_[i], "an argument without a value");
  keys_.erase(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(count));
}

void GlmGrammar::begin_value() {
  writer().begin_value(keys_.back());
  keys_.clear();
  part_ = Part::kValue;
}

ToolCallGrammar::Step GlmGrammar::before_value(TagScanner& scanner) {
  scanner.skip_space();
  TagScanner here = scanner;
  if (!here.skip_gap()) {
    if (!here.open()) scanner.at = here.at;
    return Step::kWait;
  }
  if (skip_cut_tag(here, {kValueTag, kKeyEndTag, kKeyTag, kToolCallEndTag})) {
    scanner.at = here.at;
    return Step::kWait;
  }
  for (const std::string_view tag : {kValueTag, kKeyEndTag, kKeyTag, kToolCallEndTag, kToolCallTag}) {
    const Match match = here.match(tag);
    if (match == Match::kPartial) return Step::kWait;
    if (match == Match::kNo) continue;
    scanner.at = here.at;
    if (tag == kValueTag && keys_.size() > 1) {
      part_ = Part::kBehindHeldValue;
    } else if (tag == kValueTag) {
      scanner.at += tag.size();
      begin_value();
    } else if (tag == kKeyEndTag) {
      scanner.at += tag.size();
      writer().diagnose("</arg_key> stands twice");
    } else if (tag == kKeyTag) {
      scanner.at += tag.size();
      part_ = Part::kKey;
    } else {
      keys_without_value(keys_.size());
      part_ = Part::kBetween;
    }
    return Step::kGoOn;
  }
  keys_without_value(keys_.size() - 1);
  writer().diagnose("<arg_value> is missing");
  begin_value();
  return Step::kGoOn;
}

ToolCallGrammar::Step GlmGrammar::value(TagScanner& scanner) {
  if (scanner.at_end()) return Step::kWait;
  const size_t tag_at = std::min(scanner.text.find('<', scanner.at), scanner.text.size());
  if (tag_at > scanner.at) {
    writer().value(scanner.text.substr(scanner.at, tag_at - scanner.at));
    scanner.at = tag_at;
    return Step::kGoOn;
  }
  std::string_view end_tag;
  const Match ends = ends_value(scanner, end_tag);
  if (ends == Match::kPartial) return Step::kWait;
  gap_ahead_bytes_ = 0;
  if (ends == Match::kNo) {
    writer().value("<");
    ++scanner.at;
    return Step::kGoOn;
  }
  if (end_tag == kValueEndTag) {
    scanner.at += end_tag.size();
  } else {
    writer().diagnose("</arg_value> is missing");
  }
  writer().end_value();
  part_ = Part::kBetween;
  return Step::kGoOn;
}

// A value that waits for the others of its keys. It ends as others do, or where the next one begins.
ToolCallGrammar::Step GlmGrammar::held_value(TagScanner& scanner) {
  if (scanner.at_end()) return Step::kWait;
  std::string& text = held_.back().text;
  const size_t tag_at = std::min(scanner.text.find('<', scanner.at), scanner.text.size());
  if (tag_at > scanner.at) {
    text += scanner.text.substr(scanner.at, tag_at - scanner.at);
    scanner.at = tag_at;
    return Step::kGoOn;
  }
  std::string_view end_tag;
  const Match ends = ends_value(scanner, end_tag);
  if (ends == Match::kPartial) return Step::kWait;
  gap_ahead_bytes_ = 0;
  if (ends == Match::kNo) {
    text += '<';
    ++scanner.at;
    return Step::kGoOn;
  }
  if (end_tag == kValueEndTag) {
    scanner.at += end_tag.size();
  } else {
    writer().diagnose("</arg_value> is missing");
  }
  held_.back().ended = true;
  part_ = Part::kBehindHeldValue;
  return Step::kGoOn;
}

ToolCallGrammar::Step GlmGrammar::behind_held_value(TagScanner& scanner) {
  scanner.skip_space();
  TagScanner here = scanner;
  const bool goes_on = here.skip_gap();
  const Match next = goes_on ? here.match(kValueTag) : here.open() ? Match::kPartial : Match::kNo;
  if (next == Match::kPartial) return Step::kWait;
  if (!goes_on) {
    scanner.at = here.at;
    return Step::kWait;
  }
  if (next == Match::kYes && held_.size() < keys_.size()) {
    scanner.at = here.at + kValueTag.size();
    held_.emplace_back();
    part_ = Part::kHeldValue;
    return Step::kGoOn;
  }
  pair_held_values(TextEnd::kOpen);
  part_ = Part::kBetween;
  return Step::kGoOn;
}

// As many values as keys belong to them in their order, and so do the first of them if the rest was cut off. A single
// value is that of the key in front of it. What else there is belongs to no one.
void GlmGrammar::pair_held_values(TextEnd end) {
  std::vector<HeldValue> values = std::exchange(held_, {});
  const bool in_order = values.size() == keys_.size() || (end == TextEnd::kCut && values.size() > 1);
  if (in_order) {
    writer().diagnose("keys and values stand apart; they belong together in their order");
  } else {
    keys_without_value(values.size() == 1 ? keys_.size() - 1 : keys_.size());
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (i >= keys_.size()) {
      writer().stray(values[i].text, "a value without a key");
      continue;
    }
    writer().begin_value(keys_[i]);
    writer().value(values[i].text);
    if (values[i].ended) writer().end_value();
  }
  keys_.erase(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(std::min(values.size(), keys_.size())));
}

// Whether the value ends here. A tag may as well be part of it (a file about this very format), so what follows
// decides.
Match GlmGrammar::ends_value(const TagScanner& scanner, std::string_view& end_tag) {
  for (const std::string_view tag : {kValueEndTag, kToolCallEndTag, kKeyTag}) {
    const Match match = scanner.match(tag);
    if (match == Match::kPartial) return match;
    if (match == Match::kNo) continue;
    end_tag = tag;
    TagScanner behind = scanner;
    behind.at += tag.size();
    if (tag == kValueEndTag && writer().value_is_whole_literal()) return Match::kYes;
    const bool goes_on = skip_gap_ahead(behind);
    if (tag == kKeyTag) return goes_on ? expected_key_here(behind) : behind.open() ? Match::kPartial : Match::kNo;
    if (!goes_on) return behind.undecided();
    return tag == kToolCallEndTag ? call_ends(behind) : argument_follows(behind);
  }
  return Match::kNo;
}

// As TagScanner::skip_gap, from the tag that comes next: it stays there until more is known, and what was seen behind
// it need not be seen again.
bool GlmGrammar::skip_gap_ahead(TagScanner& scanner) {
  const size_t begin = scanner.at;
  scanner.at += gap_ahead_bytes_;
  const bool goes_on = scanner.skip_gap();
  gap_ahead_bytes_ = scanner.at - begin;
  return goes_on;
}

// Whether this is where the text goes on behind a value.
Match GlmGrammar::argument_follows(TagScanner scanner) {
  Match follows = expected_key_here(scanner);
  for (const std::string_view tag : {kKeyTag, kToolCallEndTag, kToolCallTag, kValueEndTag, kValueTag}) {
    if (tag == kValueTag && part_ != Part::kHeldValue) continue;
    follows = either(follows, scanner.match(tag));
    if (!scanner.open() && tag.starts_with(scanner.rest())) return Match::kYes;  // the output ends inside a tag
  }
  return follows;
}

// Whether a key stands here that the tool declares, is not given yet, and ends as keys do.
Match GlmGrammar::expected_key_here(TagScanner scanner) {
  const std::string_view text = scanner.rest().substr(0, kLongestNameBytes);
  const size_t key_end = text.find(kKeyEndTag);
  if (key_end != std::string_view::npos) {
    return writer().expects(trim_space(text.substr(0, key_end))) ? Match::kYes : Match::kNo;
  }
  if (!scanner.open() || text.size() == kLongestNameBytes) return Match::kNo;
  const size_t tag_at = text.rfind('<');
  const bool tag_begins = tag_at != std::string_view::npos && kKeyEndTag.starts_with(text.substr(tag_at));
  const bool may_be = writer().expects_beginning(text) || writer().expects(trim_space(text)) ||
                      (tag_begins && writer().expects(trim_space(text.substr(0, tag_at))));
  return may_be ? Match::kPartial : Match::kNo;
}

// Whether a call that was not declared to end ends here: the text or the reasoning does, or another call begins.
Match GlmGrammar::call_ends(TagScanner scanner) {
  Match next = scanner.match(kThinkEndTag);
  if (next != Match::kNo && trust() == Trust::kMention) return next;
  next = scanner.match(kToolCallTag);
  if (next != Match::kYes) return !scanner.open() && kToolCallTag.starts_with(scanner.rest()) ? Match::kYes : next;
  if (tools().empty()) return Match::kYes;
  const size_t tag_end = scanner.at + kToolCallTag.size();
  scanner.at = tag_end;
  const bool goes_on = scanner.skip_gap();
  if (scanner.at - tag_end > kLongestHeadBytes) return Match::kNo;
  if (!goes_on) return scanner.undecided();
  const std::string_view text = scanner.rest().substr(0, kLongestNameBytes + 1);
  const size_t name_end = text.find_first_of(" \t\r\n<>\\");
  if (name_end == std::string_view::npos) return text.size() <= kLongestNameBytes ? scanner.undecided() : Match::kNo;
  return tools().find(text.substr(0, name_end)) != nullptr ? Match::kYes : Match::kNo;
}

void GlmGrammar::drop_open_parts(TextEnd end) {
  if (!held_.empty()) pair_held_values(end);
  if (end != TextEnd::kCut) keys_without_value(keys_.size());
  keys_.clear();
}

}  // namespace

std::unique_ptr<ToolCallGrammar> make_glm_grammar(const ToolSchemas& tools, ToolCallGrammar::Trust trust,
                                                  ToolCallWriter writer) {
  return std::make_unique<GlmGrammar>(tools, trust, std::move(writer));
}

}  // namespace glimmer
