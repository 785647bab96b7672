// <tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value>...</tool_call>, as the templates of GLM-4.5 and
// later render it. Values are taken as they are: the templates write no white space inside <arg_value>.
#include <algorithm>
#include <utility>

#include "text/tool_call_grammar.h"

namespace glimmer {
namespace {

constexpr std::string_view kKeyTag = "<arg_key>";
constexpr std::string_view kKeyEndTag = "</arg_key>";
constexpr std::string_view kValueTag = "<arg_value>";
constexpr std::string_view kValueEndTag = "</arg_value>";

class GlmGrammar : public ToolCallGrammar {
 public:
  using ToolCallGrammar::ToolCallGrammar;

 protected:
  Match head(TagScanner& scanner) override;
  Step step(TagScanner& scanner) override;
  void drop_open_parts() override;

 private:
  enum class Part { kBetween, kKey, kBeforeValue, kValue };

  Match head_behind_name(TagScanner& scanner, std::string_view name);
  Match begin_with_key(TagScanner& scanner, std::string_view name, std::string_view key);
  Match begin(std::string_view name);

  Step between(TagScanner& scanner);
  Step stray_text(TagScanner& scanner);
  Step key(TagScanner& scanner);
  Step before_value(TagScanner& scanner);
  Step value(TagScanner& scanner);
  Match ends_value(const TagScanner& scanner, std::string_view& end_tag);
  Match argument_follows(TagScanner scanner);
  Match expected_key_here(TagScanner scanner);
  void without_value();

  Part part_ = Part::kBetween;
  std::string key_;  // in kBeforeValue
};

// A call is one when its name is followed by an argument or by the end of the call.
Match GlmGrammar::head(TagScanner& scanner) {
  TagScanner here = scanner;
  here.skip_space();
  Match doubled = here.match(kToolCallTag);  // an opening tag that the model wrote again
  for (; doubled == Match::kYes; doubled = here.match(kToolCallTag)) {
    here.at += kToolCallTag.size();
    here.skip_space();
  }
  if (here.at - scanner.at > kLongestHeadBytes) return Match::kNo;
  if (doubled == Match::kPartial) return doubled;
  const size_t name_end = std::min(here.text.find_first_of(" \t\r\n<", here.at), here.text.size());
  std::string_view name = here.text.substr(here.at, name_end - here.at);
  if (name.size() > kLongestHeadBytes) return Match::kNo;
  here.at = name_end;
  if (name.ends_with("\\n")) name.remove_suffix(2);  // a line end that the model spelt out
  const Match match = head_behind_name(here, name);
  if (match == Match::kYes) scanner.at = here.at;
  return match;
}

Match GlmGrammar::head_behind_name(TagScanner& here, std::string_view name) {
  const size_t name_end = here.at;
  here.skip_space();
  if (here.at - name_end > kLongestHeadBytes) return Match::kNo;
  if (here.at_end()) {
    if (here.open()) return may_begin(name) || !tools().empty() ? Match::kPartial : Match::kNo;
    // A call without arguments, if there is such a tool and the model ended its output itself.
    return here.end == TextEnd::kStopped && tools().find(name) != nullptr ? begin(name) : Match::kNo;
  }
  for (const std::string_view tag : {kKeyTag, kToolCallEndTag}) {
    const Match match = here.match(tag);
    if (match == Match::kYes) return may_begin(name) ? begin(name) : Match::kNo;
    if (match == Match::kPartial) return match;
  }
  if (const Match match = here.match(kKeyEndTag); match != Match::kNo) {  // <arg_key> is missing
    if (match == Match::kPartial) return match;
    const std::string_view declared = tools().longest_name_in_front_of(name);
    return declared.empty() ? Match::kNo : begin_with_key(here, declared, name.substr(declared.size()));
  }
  if (tools().find(name) == nullptr) return Match::kNo;
  if (const Match match = here.match(kToolCallTag); match != Match::kNo) {  // </tool_call> is missing
    return match == Match::kYes ? begin(name) : match;
  }
  // Only a name, white space and a key may stand before </arg_key>.
  const size_t key_end = here.text.find('<', here.at);
  if (std::min(key_end, here.text.size()) - here.at > kLongestNameBytes) return Match::kNo;
  if (key_end == std::string_view::npos) return here.open() ? Match::kPartial : Match::kNo;
  const std::string_view key = trim_space(here.text.substr(here.at, key_end - here.at));
  here.at = key_end;
  const Match match = here.match(kKeyEndTag);
  return match == Match::kYes ? begin_with_key(here, name, key) : match;
}

Match GlmGrammar::begin(std::string_view name) {
  writer().begin(name);
  return Match::kYes;
}

Match GlmGrammar::begin_with_key(TagScanner& scanner, std::string_view name, std::string_view key) {
  scanner.at += kKeyEndTag.size();
  key_ = key;
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
  }
  return Step::kWait;
}

ToolCallGrammar::Step GlmGrammar::between(TagScanner& scanner) {
  scanner.skip_space();
  if (scanner.at_end()) return Step::kWait;
  const FoundTag found =
      find_tag(scanner, {kKeyTag, kToolCallEndTag, kToolCallTag, kKeyEndTag, kValueTag, kValueEndTag});
  if (found.at != scanner.at || found.match == Match::kNo) return stray_text(scanner);
  if (found.match == Match::kPartial) return Step::kWait;
  if (found.tag == kToolCallTag) {
    writer().diagnose("</tool_call> is missing");
    writer().end();
    done();
    return Step::kGoOn;
  }
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

// Text between arguments: a key whose <arg_key> is missing, or nothing that the format knows.
ToolCallGrammar::Step GlmGrammar::stray_text(TagScanner& scanner) {
  if (skip_cut_tag(scanner, {kKeyTag, kToolCallEndTag})) return Step::kGoOn;
  const FoundTag found =
      find_tag(scanner, {kKeyTag, kToolCallEndTag, kToolCallTag, kKeyEndTag, kValueTag, kValueEndTag});
  if (found.match == Match::kPartial) return Step::kWait;
  const bool has_tag = found.match == Match::kYes;
  const std::string_view text = trim_space(take(scanner, has_tag ? found.at - scanner.at : kLongestStrayBytes));
  if (has_tag && found.tag == kKeyEndTag) {
    scanner.at += kKeyEndTag.size();
    key_ = text;
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
  key_ = trim_space(take(scanner, has_tag ? found.at - scanner.at : kLongestStrayBytes));
  if (has_tag && (found.tag == kKeyEndTag || found.tag == kValueTag)) {
    part_ = Part::kBeforeValue;
    if (found.tag == kKeyEndTag) {
      scanner.at += kKeyEndTag.size();
    } else {
      writer().diagnose("</arg_key> is missing");
    }
  } else {
    without_value();
  }
  return Step::kGoOn;
}

void GlmGrammar::without_value() {
  writer().stray(std::exchange(key_, {}), "an argument without a value");
  part_ = Part::kBetween;
}

ToolCallGrammar::Step GlmGrammar::before_value(TagScanner& scanner) {
  scanner.skip_space();
  if (scanner.at_end()) return Step::kWait;
  for (const std::string_view tag : {kValueTag, kKeyEndTag, kKeyTag, kToolCallEndTag, kToolCallTag}) {
    const Match match = scanner.match(tag);
    if (match == Match::kPartial) return Step::kWait;
    if (match == Match::kNo) continue;
    if (tag == kValueTag) {
      scanner.at += tag.size();
      writer().begin_value(key_);
      part_ = Part::kValue;
    } else if (tag == kKeyEndTag) {
      scanner.at += tag.size();
      writer().diagnose("</arg_key> stands twice");
    } else {
      without_value();
    }
    return Step::kGoOn;
  }
  writer().diagnose("<arg_value> is missing");
  writer().begin_value(key_);
  part_ = Part::kValue;
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
    if (tag == kToolCallEndTag) return call_ends(behind, kToolCallTag);
    if (tag == kKeyTag) return expected_key_here(behind);
    return writer().value_is_whole_literal() ? Match::kYes : argument_follows(behind);
  }
  return Match::kNo;
}

// Whether this is where the text goes on behind a value.
Match GlmGrammar::argument_follows(TagScanner scanner) {
  scanner.skip_space();
  if (scanner.at_end()) return scanner.undecided();
  Match follows = expected_key_here(scanner);
  for (const std::string_view tag : {kKeyTag, kToolCallEndTag, kToolCallTag, kValueEndTag}) {
    follows = either(follows, scanner.match(tag));
    if (!scanner.open() && tag.starts_with(scanner.rest())) return Match::kYes;  // the output ends inside a tag
  }
  return follows;
}

// Whether a key stands here that the tool declares, is not given yet, and ends as keys do.
Match GlmGrammar::expected_key_here(TagScanner scanner) {
  scanner.skip_space();
  Match best = Match::kNo;
  for (const auto& [name, type] : writer().schema().parameters) {
    if (!writer().expects(name)) continue;
    Match match = scanner.match(name);
    if (match == Match::kYes) {
      TagScanner behind = scanner;
      behind.at += name.size();
      behind.skip_space();
      match = behind.match(kKeyEndTag);
    }
    best = either(best, match);
  }
  return best;
}

void GlmGrammar::drop_open_parts() {
  if (part_ == Part::kBeforeValue) without_value();
}

}  // namespace

std::unique_ptr<ToolCallGrammar> make_glm_grammar(const ToolSchemas& tools, ToolCallGrammar::Names names,
                                                  ToolCallWriter writer) {
  return std::make_unique<GlmGrammar>(tools, names, std::move(writer));
}

}  // namespace glimmer
