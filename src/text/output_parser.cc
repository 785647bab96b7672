#include "text/output_parser.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "text/tool_call_grammar.h"

namespace glimmer {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kLongestGapBytes = 64;  // that is compared, or spelt out

// Tags of glm_metadata: a turn of the model, and what ends its turns should the caller not have stopped there.
constexpr std::string_view kAssistantTag = "<|assistant|>";
constexpr std::string_view kObservationTag = "<|observation|>";

TextEnd text_end(OutputEnd end) { return end == OutputEnd::kStop ? TextEnd::kStopped : TextEnd::kCut; }

}  // namespace

bool prompt_opens_reasoning(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(kSpace);
  return last != std::string_view::npos && prompt.substr(0, last + 1).ends_with(kThinkTag);
}

struct OutputParser::Impl {
  explicit Impl(OutputParserOptions given)
      : options(std::move(given)),
        tools(options.tools ? options.tools : std::make_shared<const ToolSchemas>()),
        in_reasoning(options.starts_in_reasoning),
        blank(!options.continues_text),
        has_text(options.continues_text) {}

  void take(std::string_view text);
  void read(TextEnd end);
  bool read_call(TextEnd end);
  bool read_text(TextEnd end);
  bool is_tag(std::string_view tag) const;
  Match skip_spelt_gap(TextEnd end);
  bool read_tag(std::string_view tag);
  void begin_turn();
  void open_call(std::string_view tag);
  void add_text(std::string_view text);
  void join_space_around_calls();
  void begin_section(bool reasoning);
  void diagnose(std::string_view reason) { out.push_back({DeltaKind::kDiagnostic, std::string(reason)}); }

  OutputParserOptions options;
  std::shared_ptr<const ToolSchemas> tools;
  OutputDeltas out;

  std::string bytes;    // of a character that is still cut in two
  std::string pending;  // text whose meaning more text decides
  size_t at = 0;        // what of it is done

  // A section is what a tag begins: white space at its beginning is left out, and so is that at the end of reasoning
  // and between tool calls.
  bool in_reasoning;
  bool blank;              // the section has had nothing but white space, or not since a tool call
  bool has_text;           // the section has had text
  std::string held_space;  // white space that may turn out to be at the end
  std::string space_behind_call;
  bool behind_call = false;   // nothing but white space since a tool call
  bool line_is_text = false;  // glm_metadata: the first line of this turn begins no call

  std::unique_ptr<ToolCallGrammar> call;
  std::string_view call_tag;  // that opened it
  bool call_certain = false;
  int calls = 0;
  bool stopped = false;
  bool finished = false;
};

void OutputParser::Impl::take(std::string_view text) {
  bytes += text;
  const size_t whole = bytes.size() - incomplete_utf8_suffix_bytes(bytes);
  pending += to_valid_utf8(std::string_view(bytes).substr(0, whole));
  bytes.erase(0, whole);
}

void OutputParser::Impl::read(TextEnd end) {
  while (!stopped && (call ? read_call(end) : read_text(end))) {
  }
  if (stopped) at = pending.size();
  pending.erase(0, at);
  at = 0;
}

// Reads on in the tool call. Whether to go on behind it.
bool OutputParser::Impl::read_call(TextEnd end) {
  const size_t tag_bytes = call_certain ? 0 : call_tag.size();
  const auto progress = call->advance(std::string_view(pending).substr(at + tag_bytes), end);
  if (progress.state == ToolCallGrammar::State::kUndecided) return false;
  if (progress.state == ToolCallGrammar::State::kNotACall) {
    call.reset();
    line_is_text = true;
    if (!in_reasoning && !call_tag.empty()) diagnose("a tag that begins no tool call; it stays text");
    add_text(call_tag);
    at += tag_bytes;
    return true;
  }
  if (!call_certain) {
    call_certain = true;
    ++calls;
  }
  at += tag_bytes + progress.consumed_bytes;
  if (progress.state == ToolCallGrammar::State::kCall) return false;
  call.reset();
  // Text of the call that belongs to no argument stands in the answer.
  has_text = has_text || (!in_reasoning && !out.empty() && out.back().kind == DeltaKind::kContent);
  blank = true;
  behind_call = true;
  line_is_text = false;
  space_behind_call.clear();
  stopped = options.max_calls > 0 && calls >= options.max_calls;
  return true;
}

// Reads up to the next tag, and that. False: the text ends first.
bool OutputParser::Impl::read_text(TextEnd end) {
  if (options.format == ToolCallFormat::kGlmMetadata && blank && !in_reasoning && !line_is_text &&
      at < pending.size()) {
    open_call({});
    return true;
  }
  if (const Match match = skip_spelt_gap(end); match == Match::kPartial) return false;
  TagScanner scanner{pending, end, at};
  while ((scanner.at = scanner.text.find('<', scanner.at)) != std::string_view::npos) {
    for (const std::string_view tag :
         {kThinkTag, kThinkEndTag, kToolCallTag, kToolCallEndTag, kFunctionTag, kAssistantTag, kObservationTag}) {
      if (!is_tag(tag)) continue;
      const Match match = scanner.match(tag);
      if (match == Match::kNo) continue;
      add_text(scanner.text.substr(at, scanner.at - at));
      at = scanner.at;
      return match == Match::kYes && read_tag(tag);
    }
    ++scanner.at;
  }
  add_text(scanner.text.substr(at));
  at = pending.size();
  return false;
}

bool OutputParser::Impl::is_tag(std::string_view tag) const {
  const ToolCallFormat format = options.format;
  if (tag == kAssistantTag || tag == kObservationTag) return format == ToolCallFormat::kGlmMetadata;
  if (tag == kFunctionTag) return format == ToolCallFormat::kQwen3Coder;
  if (tag == kThinkTag || tag == kThinkEndTag) return true;
  return format == ToolCallFormat::kGlmXml || format == ToolCallFormat::kQwen3Coder;
}

// Where no text stands in front of a call of GLM, a line end that the model spelt out (backslash, n) is white space,
// too. kPartial: more text decides.
Match OutputParser::Impl::skip_spelt_gap(TextEnd end) {
  if (!blank || options.format != ToolCallFormat::kGlmXml) return Match::kNo;
  TagScanner here{pending, end, at};
  here.skip_space();
  if (!here.rest().starts_with('\\')) return Match::kNo;
  const size_t begin = here.at;
  const bool goes_on = here.skip_gap();
  if (here.at - begin > kLongestGapBytes) return Match::kNo;
  const Match match = goes_on ? here.match(kToolCallTag) : here.open() ? Match::kPartial : Match::kYes;
  if (match == Match::kYes && (goes_on || behind_call)) at = here.at;
  return match;
}

bool OutputParser::Impl::read_tag(std::string_view tag) {
  if (tag == kToolCallTag || tag == kFunctionTag) {
    open_call(tag);
    return true;
  }
  at += tag.size();
  if (tag == kThinkEndTag && in_reasoning) {
    begin_section(false);
  } else if (tag == kThinkTag && blank) {
    begin_section(true);
  } else if (tag == kThinkEndTag && blank) {
    line_is_text = false;  // thinking was off, or ended twice: nothing to end
  } else if (tag == kAssistantTag) {
    begin_turn();
  } else if (tag == kObservationTag && behind_call) {
    line_is_text = false;  // what ended the call
  } else if (tag == kToolCallEndTag && behind_call) {
    diagnose("</tool_call> stands twice");
  } else {
    if (!in_reasoning) diagnose("a tag out of place; it stays text");
    add_text(tag);
  }
  return true;
}

// Another turn of the model, of glm_metadata: it may be a call.
void OutputParser::Impl::begin_turn() {
  if (in_reasoning) return begin_section(false);
  blank = true;
  line_is_text = false;
  space_behind_call.clear();
}

// A call inside reasoning, or without its opening tag, may be a mere mention. `tag` is empty where a name alone begins
// it.
void OutputParser::Impl::open_call(std::string_view tag) {
  using Trust = ToolCallGrammar::Trust;
  const Trust trust = in_reasoning ? Trust::kMention : tag == kFunctionTag ? Trust::kDeclared : Trust::kCall;
  call_tag = tag;
  call_certain = false;
  if (options.format == ToolCallFormat::kGlmXml) {
    call = make_glm_grammar(*tools, trust, ToolCallWriter(*tools, LiteralStyle::kJson, calls, out));
  } else if (options.format == ToolCallFormat::kGlmMetadata) {
    call = make_glm_metadata_grammar(*tools, ToolCallWriter(*tools, LiteralStyle::kJson, calls, out));
  } else {
    const auto opening = tag == kFunctionTag ? Qwen3CoderOpening::kFunction : Qwen3CoderOpening::kToolCall;
    call = make_qwen3_coder_grammar(*tools, trust, ToolCallWriter(*tools, LiteralStyle::kPython, calls, out), opening);
  }
}

void OutputParser::Impl::begin_section(bool reasoning) {
  in_reasoning = reasoning;
  blank = true;
  has_text = false;
  behind_call = false;
  line_is_text = false;
  held_space.clear();
  space_behind_call.clear();
}

void OutputParser::Impl::add_text(std::string_view text) {
  if (blank) {
    const size_t space = std::min(text.find_first_not_of(kSpace), text.size());
    if (has_text) space_behind_call += text.substr(0, space);
    text.remove_prefix(space);
  }
  if (text.empty()) return;
  if (blank) join_space_around_calls();
  blank = false;
  has_text = true;
  behind_call = false;
  const size_t end = text.find_last_not_of(kSpace) + 1;  // npos + 1 is 0: all of it is space
  if (end == 0) {
    held_space += text;
    return;
  }
  std::string shown = std::exchange(held_space, std::string(text.substr(end)));
  shown += text.substr(0, end);
  out.push_back({in_reasoning ? DeltaKind::kReasoning : DeltaKind::kContent, std::move(shown)});
}

// Text goes on behind a call: with the white space in front of the call and that behind it, but what is the same in
// both counts once, as it does where the call is taken out of a text that has it on lines of its own.
void OutputParser::Impl::join_space_around_calls() {
  size_t common = std::min({held_space.size(), space_behind_call.size(), kLongestGapBytes});
  while (!std::string_view(held_space).ends_with(std::string_view(space_behind_call).substr(0, common))) --common;
  held_space += std::string_view(space_behind_call).substr(common);
  space_behind_call.clear();
}

OutputParser::OutputParser(OutputParserOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
OutputParser::OutputParser(OutputParser&&) noexcept = default;
OutputParser& OutputParser::operator=(OutputParser&&) noexcept = default;
OutputParser::~OutputParser() = default;

OutputDeltas OutputParser::feed(std::string_view text) {
  GLIMMER_CHECK(!impl_->finished, "text after the end of the output");
  if (impl_->stopped) return {};
  impl_->take(text);
  impl_->read(TextEnd::kOpen);
  return std::exchange(impl_->out, {});
}

OutputDeltas OutputParser::finish(OutputEnd end) {
  Impl& impl = *impl_;
  GLIMMER_CHECK(!std::exchange(impl.finished, true), "the output ended twice");
  if (impl.stopped) return {};
  impl.pending += to_valid_utf8(std::exchange(impl.bytes, {}));
  impl.read(text_end(end));
  // White space at the end of an answer is the answer's.
  if (!impl.in_reasoning && !impl.behind_call && !impl.held_space.empty())
    impl.out.push_back({DeltaKind::kContent, impl.held_space});
  return std::exchange(impl.out, {});
}

bool OutputParser::wants_stop() const { return impl_->stopped; }
int OutputParser::calls_begun() const { return impl_->calls; }

void ParsedOutput::add(const OutputDelta& delta) {
  switch (delta.kind) {
    case DeltaKind::kContent:
      content += delta.text;
      break;
    case DeltaKind::kReasoning:
      reasoning += delta.text;
      break;
    case DeltaKind::kToolCallBegin:
      calls.push_back({delta.text, {}, {}});
      break;
    case DeltaKind::kToolCallArguments:
      calls.back().arguments += delta.text;
      break;
    case DeltaKind::kToolCallEnd:
      calls.back().missing = delta.text;
      break;
    case DeltaKind::kDiagnostic:
      diagnostics.push_back(delta.text);
      break;
  }
}

void ParsedOutput::add(const OutputDeltas& deltas) {
  for (const OutputDelta& delta : deltas) add(delta);
}

ParsedOutput parse_output(std::string_view text, const OutputParserOptions& options, OutputEnd end) {
  OutputParser parser(options);
  ParsedOutput parsed;
  parsed.add(parser.feed(text));
  parsed.add(parser.finish(end));
  return parsed;
}

}  // namespace glimmer
