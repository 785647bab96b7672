// name, a line end, {"key": value, ...}: as glm-4-9b-chat, GLM-4-0414 and GLM-Z1 write their calls behind
// <|assistant|>. Nothing marks a call as one, so it must name a declared tool and go on with an object, up to its first
// key.
#include <algorithm>
#include <utility>

#include "base/json.h"
#include "text/tool_call_grammar.h"

namespace glimmer {
namespace {

class GlmMetadataGrammar : public ToolCallGrammar {
 public:
  using ToolCallGrammar::ToolCallGrammar;

 protected:
  Match head(TagScanner& scanner) override;
  Step step(TagScanner& scanner) override;
  void drop_open_parts(TextEnd end) override;

 private:
  enum class Part { kMember, kValueBegin, kString, kQuoted, kContainer, kWord };

  Match object_begins(TagScanner& here) const;
  static Match key_here(const TagScanner& scanner, std::string_view& key, size_t& bytes);
  Step member(TagScanner& scanner);
  Step value_begin(TagScanner& scanner);
  Step string(TagScanner& scanner);
  Step held_value(TagScanner& scanner);
  Step word(TagScanner& scanner);
  Step end_value();
  Step malformed();

  Part part_ = Part::kMember;
  bool wants_comma_ = false;
  std::string key_;
  std::string held_;  // JSON text, or something like it, of a value that is not a string
  LiteralScan scan_{LiteralScan::Escapes::kInside};
  char quote_ = '\0';
};

Match GlmMetadataGrammar::head(TagScanner& scanner) {
  TagScanner here = scanner;
  here.skip_space();
  if (here.at - scanner.at > kLongestHeadBytes) return Match::kNo;
  const std::string_view text = here.rest().substr(0, kLongestHeadBytes);
  const size_t line_end = text.find('\n');
  const std::string_view line = text.substr(0, line_end);
  if (line_end == std::string_view::npos) {
    const bool may_be = tools().declares_beginning(line) || tools().find(trim_space(line)) != nullptr;
    return here.open() && text.size() < kLongestHeadBytes && may_be ? Match::kPartial : Match::kNo;
  }
  const std::string_view name = trim_space(line);
  if (tools().find(name) == nullptr) return Match::kNo;
  here.at += line_end;
  const Match match = object_begins(here);
  if (match == Match::kYes) {
    writer().begin(name);
    scanner.at = here.at;
  }
  return match;
}

// An object, as far as its first key or its end. Moves behind the brace. One that was cut off is one, too.
Match GlmMetadataGrammar::object_begins(TagScanner& here) const {
  const size_t begin = here.at;
  const auto undecided = [&] {
    if (here.at - begin > kLongestHeadBytes) return Match::kNo;
    return here.open() ? Match::kPartial : Match::kNo;
  };
  here.skip_space();
  if (here.at_end() || here.at - begin > kLongestHeadBytes) return undecided();
  if (here.text[here.at] != '{') return Match::kNo;
  TagScanner inside = here;
  ++inside.at;
  here.at = inside.at;
  inside.skip_space();
  if (inside.at - begin > kLongestHeadBytes) return Match::kNo;
  if (inside.at_end()) return here.open() ? Match::kPartial : here.end == TextEnd::kCut ? Match::kYes : Match::kNo;
  if (inside.text[inside.at] == '}') return Match::kYes;
  std::string_view key;
  size_t bytes = 0;
  const Match match = key_here(inside, key, bytes);
  return match == Match::kPartial && here.end == TextEnd::kCut ? Match::kYes : match;
}

// A key in quotes and the colon behind it; `bytes` is how far they reach.
Match GlmMetadataGrammar::key_here(const TagScanner& scanner, std::string_view& key, size_t& bytes) {
  const std::string_view text = scanner.rest().substr(0, kLongestHeadBytes);
  const bool more_decides = text.size() < kLongestHeadBytes && scanner.end != TextEnd::kStopped;
  const Match at_end = more_decides ? Match::kPartial : Match::kNo;
  const char quote = text.front();
  if (quote != '"' && quote != '\'') return Match::kNo;
  size_t end = 1;
  while (end < text.size() && text[end] != quote) end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) return at_end;
  key = text.substr(0, end + 1);
  const size_t colon = text.find_first_not_of(" \t\r\n", end + 1);
  if (colon == std::string_view::npos) return at_end;
  bytes = colon + 1;
  return text[colon] == ':' ? Match::kYes : Match::kNo;
}

ToolCallGrammar::Step GlmMetadataGrammar::step(TagScanner& scanner) {
  switch (part_) {
    case Part::kMember:
      return member(scanner);
    case Part::kValueBegin:
      return value_begin(scanner);
    case Part::kString:
      return string(scanner);
    case Part::kQuoted:
    case Part::kContainer:
      return held_value(scanner);
    case Part::kWord:
      return word(scanner);
  }
  return Step::kWait;
}

// A key, or the end of the object.
ToolCallGrammar::Step GlmMetadataGrammar::member(TagScanner& scanner) {
  scanner.skip_space();
  if (scanner.at_end()) return Step::kWait;
  const char next = scanner.text[scanner.at];
  if (next == '}') {
    ++scanner.at;
    writer().end();
    done();
    return Step::kGoOn;
  }
  if (wants_comma_) {
    if (next != ',') return malformed();
    wants_comma_ = false;
    ++scanner.at;
    return Step::kGoOn;
  }
  std::string_view key;
  size_t bytes = 0;
  const Match match = key_here(scanner, key, bytes);
  if (match == Match::kPartial) {
    if (scanner.end == TextEnd::kCut) scanner.at = scanner.text.size();  // a name that was cut off
    return Step::kWait;
  }
  const std::optional<std::string> name = match == Match::kYes ? quoted_text(key) : std::nullopt;
  if (!name) return malformed();
  key_ = *name;
  scanner.at += bytes;
  part_ = Part::kValueBegin;
  return Step::kGoOn;
}

ToolCallGrammar::Step GlmMetadataGrammar::value_begin(TagScanner& scanner) {
  scanner.skip_space();
  if (scanner.at_end()) return Step::kWait;
  const char first = scanner.text[scanner.at];
  scan_ = LiteralScan(LiteralScan::Escapes::kInside);
  held_.clear();
  if (first == '"' || first == '\'') {
    const bool streams = (writer().schema().type_of(key_).types & kJsonString) != 0;
    part_ = streams ? Part::kString : Part::kQuoted;
    if (streams) {
      quote_ = first;
      ++scanner.at;
      writer().begin_string(key_);
    }
  } else if (first == '{' || first == '[' || first == '(') {
    part_ = Part::kContainer;
  } else {
    part_ = Part::kWord;
  }
  return Step::kGoOn;
}

// A string comes out while it goes in, escapes undone.
ToolCallGrammar::Step GlmMetadataGrammar::string(TagScanner& scanner) {
  if (scanner.at_end()) return Step::kWait;
  const char stops[] = {quote_, '\\'};
  const size_t stop = std::min(scanner.text.find_first_of(std::string_view(stops, 2), scanner.at), scanner.text.size());
  if (stop > scanner.at) {
    writer().value(scanner.text.substr(scanner.at, stop - scanner.at));
    scanner.at = stop;
    return Step::kGoOn;
  }
  if (scanner.text[stop] == quote_) {
    ++scanner.at;
    writer().end_value();
    part_ = Part::kMember;
    wants_comma_ = true;
    return Step::kGoOn;
  }
  const size_t bytes = escape_bytes(scanner.rest());
  if (scanner.rest().size() < bytes) {
    if (scanner.open()) return Step::kWait;
    if (scanner.end == TextEnd::kStopped) writer().value(scanner.rest());
    scanner.at = scanner.text.size();
    return Step::kWait;
  }
  const std::string_view escape = scanner.rest().substr(0, bytes);
  writer().value(quoted_text(std::string(1, quote_) + std::string(escape) + quote_).value_or(std::string(escape)));
  scanner.at += bytes;
  return Step::kGoOn;
}

// A value in brackets, or one in quotes that is to become something else.
ToolCallGrammar::Step GlmMetadataGrammar::held_value(TagScanner& scanner) {
  while (!scanner.at_end()) {
    const char c = scanner.text[scanner.at++];
    held_ += c;
    scan_.add(c);
    if (scan_.may_be_whole()) return end_value();
  }
  return Step::kWait;
}

ToolCallGrammar::Step GlmMetadataGrammar::word(TagScanner& scanner) {
  const size_t end = scanner.text.find_first_of(",}\n", scanner.at);
  held_ += scanner.text.substr(scanner.at, end == std::string_view::npos ? end : end - scanner.at);
  scanner.at = std::min(end, scanner.text.size());
  return end == std::string_view::npos ? Step::kWait : end_value();
}

ToolCallGrammar::Step GlmMetadataGrammar::end_value() {
  part_ = Part::kMember;
  wants_comma_ = true;
  if (const std::optional<std::string> json = json_of(held_)) {
    writer().json_value(key_, *json);
  } else {
    writer().begin_value(key_);  // the writer says that it does not fit
    writer().value(std::exchange(held_, {}));
    writer().end_value();
  }
  return Step::kGoOn;
}

// The text from here on is no part of the call.
ToolCallGrammar::Step GlmMetadataGrammar::malformed() {
  writer().diagnose("the arguments of a tool call are no JSON object");
  writer().end();
  done();
  return Step::kGoOn;
}

void GlmMetadataGrammar::drop_open_parts(TextEnd end) {
  const bool has_value = part_ == Part::kQuoted || part_ == Part::kContainer || part_ == Part::kWord;
  if (has_value && !trim_space(held_).empty()) {
    writer().begin_value(key_);
    writer().value(held_);
  } else if ((has_value || part_ == Part::kValueBegin) && end == TextEnd::kStopped) {
    writer().stray(key_, "an argument without a value");
  }
}

}  // namespace

std::unique_ptr<ToolCallGrammar> make_glm_metadata_grammar(const ToolSchemas& tools, ToolCallWriter writer) {
  return std::make_unique<GlmMetadataGrammar>(tools, ToolCallGrammar::Trust::kDeclared, std::move(writer));
}

}  // namespace glimmer
