// <tool_call><function=name><parameter=key>value</parameter>...</function></tool_call>, as the templates of Qwen3-Coder
// and INTELLECT-3 render it: with a line end behind <parameter=key> and before </parameter>, which are not the value's.
#include <algorithm>
#include <utility>

#include "text/tool_call_grammar.h"

namespace glimmer {
namespace {

constexpr std::string_view kFunctionEndTag = "</function>";
constexpr std::string_view kParameterTag = "<parameter=";
constexpr std::string_view kParameterEndTag = "</parameter>";

// <function="name"> is a name, too.
std::string_view without_quotes(std::string_view name) {
  name = trim_space(name);
  const bool quoted = name.size() >= 2 && (name.front() == '"' || name.front() == '\'') && name.back() == name.front();
  return quoted ? name.substr(1, name.size() - 2) : name;
}

class Qwen3CoderGrammar : public ToolCallGrammar {
 public:
  Qwen3CoderGrammar(const ToolSchemas& tools, Trust trust, ToolCallWriter writer, Qwen3CoderOpening opening)
      : ToolCallGrammar(tools, trust, std::move(writer)), opening_(opening) {}

 protected:
  Match head(TagScanner& scanner) override;
  Step step(TagScanner& scanner) override;

 private:
  enum class Part { kBetween, kKey, kValueBegin, kValue, kBehindFunction };

  Match is_call(TagScanner scanner) const;
  Step between(TagScanner& scanner);
  Step stray_text(TagScanner& scanner);
  Step key(TagScanner& scanner);
  Step value_begin(TagScanner& scanner);
  Step value(TagScanner& scanner);
  Step behind_function(TagScanner& scanner);
  Match ends_value(const TagScanner& scanner, std::string_view& end_tag);
  Match argument_follows(TagScanner scanner) const;
  Match expected_key_here(const TagScanner& scanner);
  Match call_ends_behind(TagScanner scanner) const;
  void end_call() {
    writer().end();
    done();
  }

  Qwen3CoderOpening opening_;
  Part part_ = Part::kBetween;
  size_t space_ahead_bytes_ = 0;  // known to stand behind the tag that comes next
};

Match Qwen3CoderGrammar::head(TagScanner& scanner) {
  TagScanner here = scanner;
  if (opening_ == Qwen3CoderOpening::kToolCall) {
    here.skip_space();
    Match doubled = here.match(kToolCallTag);  // an opening tag that the model wrote again
    for (; doubled == Match::kYes; doubled = here.match(kToolCallTag)) {
      here.at += kToolCallTag.size();
      here.skip_space();
    }
    if (here.at - scanner.at > kLongestHeadBytes) return Match::kNo;
    if (doubled == Match::kPartial) return doubled;
    const Match function = here.match(kFunctionTag);
    if (function != Match::kYes) return function;
    here.at += kFunctionTag.size();
  }
  size_t name_end = here.rest().substr(0, kLongestHeadBytes + 1).find_first_of("> \t\r\n<");
  if (name_end != std::string_view::npos) name_end += here.at;
  const std::string_view raw = here.text.substr(here.at, std::min(name_end, here.text.size()) - here.at);
  if (raw.size() > kLongestHeadBytes) return Match::kNo;
  if (name_end == std::string_view::npos) return here.open() ? Match::kPartial : Match::kNo;
  const std::string_view name = without_quotes(raw);
  if (!may_begin(name)) return Match::kNo;
  here.at = name_end;
  here.skip_space();
  if (here.at - name_end > kLongestHeadBytes) return Match::kNo;
  if (here.at_end() && here.open()) return Match::kPartial;
  if (here.match(">") == Match::kYes) ++here.at;
  const Match match = is_call(here);
  if (match == Match::kYes) {
    writer().begin(name);
    scanner.at = here.at;
  }
  return match;
}

// A bare <function=name>, and whatever stands inside reasoning, is a call only if it goes on as one.
Match Qwen3CoderGrammar::is_call(TagScanner scanner) const {
  if (opening_ == Qwen3CoderOpening::kFunction) {
    const size_t begin = scanner.at;
    scanner.skip_space();
    if (scanner.at - begin > kLongestHeadBytes) return Match::kNo;
    if (scanner.at_end() && scanner.open()) return Match::kPartial;
    const Match follows = either(scanner.match(kParameterTag), scanner.match(kFunctionEndTag));
    if (follows != Match::kYes) return follows;
  }
  if (trust() == Trust::kCall) return Match::kYes;
  return is_more_than_mention(scanner,
                              {kParameterTag, kParameterTag, kParameterTag, kParameterEndTag, kFunctionEndTag});
}

ToolCallGrammar::Step Qwen3CoderGrammar::step(TagScanner& scanner) {
  switch (part_) {
    case Part::kBetween:
      return between(scanner);
    case Part::kKey:
      return key(scanner);
    case Part::kValueBegin:
      return value_begin(scanner);
    case Part::kValue:
      return value(scanner);
    case Part::kBehindFunction:
      return behind_function(scanner);
  }
  return Step::kWait;
}

ToolCallGrammar::Step Qwen3CoderGrammar::between(TagScanner& scanner) {
  scanner.skip_space();
  if (scanner.at_end()) return Step::kWait;
  const FoundTag found = find_tag(
      scanner, {kParameterTag, kFunctionEndTag, kToolCallEndTag, kToolCallTag, kFunctionTag, kParameterEndTag});
  if (found.at != scanner.at || found.match == Match::kNo) return stray_text(scanner);
  if (found.match == Match::kPartial) return Step::kWait;
  if (found.tag == kToolCallTag || found.tag == kFunctionTag) {
    writer().diagnose("</function> is missing");
    end_call();
    return Step::kGoOn;
  }
  scanner.at += found.tag.size();
  if (found.tag == kParameterTag) {
    part_ = Part::kKey;
  } else if (found.tag == kFunctionEndTag) {
    part_ = Part::kBehindFunction;
  } else if (found.tag == kToolCallEndTag) {
    writer().diagnose("</function> is missing");
    end_call();
  } else {
    writer().diagnose("a tag out of place between arguments");
  }
  return Step::kGoOn;
}

ToolCallGrammar::Step Qwen3CoderGrammar::stray_text(TagScanner& scanner) {
  if (skip_cut_tag(scanner, {kParameterTag, kFunctionEndTag, kToolCallEndTag})) return Step::kGoOn;
  const FoundTag found = find_tag(
      scanner, {kParameterTag, kFunctionEndTag, kToolCallEndTag, kToolCallTag, kFunctionTag, kParameterEndTag});
  if (found.match == Match::kPartial) return Step::kWait;
  const size_t bytes = found.match == Match::kYes ? found.at - scanner.at : kLongestStrayBytes;
  writer().stray(trim_space(take(scanner, bytes)), "text between the arguments of a tool call");
  return Step::kGoOn;
}

// Up to ">", or the end of the line where that is missing.
ToolCallGrammar::Step Qwen3CoderGrammar::key(TagScanner& scanner) {
  size_t key_end = scanner.rest().substr(0, kLongestStrayBytes).find_first_of(">\n<");
  if (key_end != std::string_view::npos) key_end += scanner.at;
  const size_t bytes = std::min(key_end, scanner.text.size()) - scanner.at;
  if (key_end == std::string_view::npos && bytes < kLongestStrayBytes && scanner.open()) return Step::kWait;
  if (key_end == std::string_view::npos && bytes < kLongestStrayBytes && scanner.end == TextEnd::kCut) {
    scanner.at = scanner.text.size();  // a name that was cut off
    return Step::kWait;
  }
  const bool ended = bytes < kLongestStrayBytes && key_end != std::string_view::npos && scanner.text[key_end] != '<';
  const std::string_view key = without_quotes(take(scanner, std::min(bytes, kLongestStrayBytes)));
  if (!ended) {
    writer().stray(key, "an argument without a value");
    part_ = Part::kBetween;
    return Step::kGoOn;
  }
  if (scanner.text[key_end] == '>') {
    ++scanner.at;
  } else {
    writer().diagnose("'>' is missing behind a parameter's name");
  }
  writer().begin_value(key);
  part_ = Part::kValueBegin;
  return Step::kGoOn;
}

ToolCallGrammar::Step Qwen3CoderGrammar::value_begin(TagScanner& scanner) {
  if (scanner.at_end()) return Step::kWait;
  if (scanner.text[scanner.at] == '\n') ++scanner.at;
  part_ = Part::kValue;
  return Step::kGoOn;
}

ToolCallGrammar::Step Qwen3CoderGrammar::value(TagScanner& scanner) {
  if (scanner.at_end()) return Step::kWait;
  const size_t stop = std::min(scanner.text.find_first_of("<\n", scanner.at), scanner.text.size());
  if (stop > scanner.at) {
    writer().value(scanner.text.substr(scanner.at, stop - scanner.at));
    scanner.at = stop;
    return Step::kGoOn;
  }
  TagScanner tag = scanner;
  const bool line_end = scanner.text[scanner.at] == '\n';
  if (line_end) ++tag.at;
  std::string_view end_tag;
  Match ends = tag.at_end() ? tag.undecided() : ends_value(tag, end_tag);
  if (ends == Match::kPartial) return Step::kWait;
  space_ahead_bytes_ = 0;
  if (ends == Match::kYes && end_tag.empty() && tag.end == TextEnd::kCut) ends = Match::kNo;  // the line end is text
  if (ends == Match::kNo) {
    writer().value(scanner.text.substr(scanner.at, 1));
    ++scanner.at;
    return Step::kGoOn;
  }
  scanner.at = tag.at;
  if (end_tag == kParameterEndTag) {
    scanner.at += end_tag.size();
  } else {
    writer().diagnose("</parameter> is missing");
  }
  writer().end_value();
  part_ = Part::kBetween;
  return Step::kGoOn;
}

ToolCallGrammar::Step Qwen3CoderGrammar::behind_function(TagScanner& scanner) {
  scanner.skip_space();
  const Match match = scanner.match(kToolCallEndTag);
  if (match == Match::kPartial) return Step::kWait;
  if (match == Match::kYes) {
    scanner.at += kToolCallEndTag.size();
  } else {
    (void)skip_cut_tag(scanner, {kToolCallEndTag});
    if (opening_ == Qwen3CoderOpening::kToolCall && scanner.end != TextEnd::kCut) {
      writer().diagnose("</tool_call> is missing");
    }
  }
  end_call();
  return Step::kGoOn;
}

// Whether the value ends here. A tag may as well be part of it (a file about this very format), so what follows
// decides.
Match Qwen3CoderGrammar::ends_value(const TagScanner& scanner, std::string_view& end_tag) {
  for (const std::string_view tag : {kParameterEndTag, kFunctionEndTag, kToolCallEndTag, kParameterTag}) {
    const Match match = scanner.match(tag);
    if (match == Match::kPartial) return match;
    if (match == Match::kNo) continue;
    end_tag = tag;
    TagScanner behind = scanner;
    behind.at += tag.size();
    if (tag == kParameterTag) return expected_key_here(behind);
    if (tag == kParameterEndTag && writer().value_is_whole_literal()) return Match::kYes;
    // The tag stays where it is until more is known: white space that was seen behind it need not be seen again.
    const size_t begin = behind.at;
    behind.at += space_ahead_bytes_;
    behind.skip_space();
    space_ahead_bytes_ = behind.at - begin;
    if (behind.at_end()) return behind.undecided();
    if (tag == kParameterEndTag) return argument_follows(behind);
    return tag == kFunctionEndTag ? behind.match(kToolCallEndTag) : call_ends_behind(behind);
  }
  return Match::kNo;
}

Match Qwen3CoderGrammar::argument_follows(TagScanner scanner) const {
  Match follows = Match::kNo;
  for (const std::string_view tag : {kParameterTag, kFunctionEndTag, kToolCallEndTag, kToolCallTag, kParameterEndTag}) {
    follows = either(follows, scanner.match(tag));
    if (!scanner.open() && tag.starts_with(scanner.rest())) return Match::kYes;  // the output ends inside a tag
  }
  return follows;
}

// Whether the name of a parameter stands here that the tool declares and that is not given yet.
Match Qwen3CoderGrammar::expected_key_here(const TagScanner& scanner) {
  const std::string_view text = scanner.rest().substr(0, kLongestNameBytes);
  const size_t key_end = text.find('>');
  if (key_end != std::string_view::npos) return writer().expects(text.substr(0, key_end)) ? Match::kYes : Match::kNo;
  const bool more_decides = scanner.open() && text.size() < kLongestNameBytes;
  return more_decides && writer().expects_beginning(text) ? Match::kPartial : Match::kNo;
}

Match Qwen3CoderGrammar::call_ends_behind(TagScanner scanner) const {
  Match next = scanner.match(kThinkEndTag);
  if (next != Match::kNo && trust() == Trust::kMention) return next;
  next = scanner.match(kToolCallTag);
  if (next != Match::kYes) return !scanner.open() && kToolCallTag.starts_with(scanner.rest()) ? Match::kYes : next;
  const size_t tag_end = scanner.at + kToolCallTag.size();
  scanner.at = tag_end;
  scanner.skip_space();
  if (scanner.at - tag_end > kLongestHeadBytes) return Match::kNo;
  return scanner.at_end() ? scanner.undecided() : scanner.match(kFunctionTag);
}

}  // namespace

std::unique_ptr<ToolCallGrammar> make_qwen3_coder_grammar(const ToolSchemas& tools, ToolCallGrammar::Trust trust,
                                                          ToolCallWriter writer, Qwen3CoderOpening opening) {
  return std::make_unique<Qwen3CoderGrammar>(tools, trust, std::move(writer), opening);
}

}  // namespace glimmer
