// The inside of one tool call, in the formats that chat templates teach their models. Internal to text/output_parser.
#pragma once

#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "text/tool_call_format.h"
#include "text/tool_call_writer.h"

namespace glimmer {

// Whether more text may follow; if not, why.
enum class TextEnd { kOpen, kStopped, kCut };

enum class Match { kNo, kPartial, kYes };  // kPartial: more text decides

// A position in text that may go on.
struct TagScanner {
  std::string_view text;
  TextEnd end;
  size_t at = 0;

  std::string_view rest() const { return text.substr(at); }
  bool at_end() const { return at >= text.size(); }
  bool open() const { return end == TextEnd::kOpen; }
  void skip_space();
  // Skips white space, and line ends that the model spelt out (backslash, n). Whether text stands behind it; false: it
  // ends here, or within a line end spelt out.
  bool skip_gap();
  // Whether `tag` stands here. At the open end of the text the beginning of it is kPartial.
  Match match(std::string_view tag) const;
  // No text is left that could say: kPartial while it is open, else kYes, as a call may end where its text does.
  Match undecided() const { return open() ? Match::kPartial : Match::kYes; }
};

// Where the first of some tags begins.
struct FoundTag {
  Match match = Match::kNo;
  size_t at = 0;
  std::string_view tag;
};

class ToolCallGrammar {
 public:
  enum class State {
    kUndecided,  // not yet known to be a call; nothing is consumed
    kCall,       // it is one, and its begin is out
    kDone,       // it has ended
    kNotACall,
  };
  struct Progress {
    size_t consumed_bytes = 0;
    State state = State::kUndecided;
  };
  // What may begin a call.
  enum class Trust {
    kCall,      // any name
    kDeclared,  // a declared one, as it may be a mention: its first tag is missing
    kMention,   // a declared one that goes on as a call does: it stands inside reasoning
  };

  ToolCallGrammar(const ToolSchemas& tools, Trust trust, ToolCallWriter writer);
  virtual ~ToolCallGrammar() = default;

  // Reads on from the front of `text`, which begins behind what was consumed before (at first: behind the opening tag).
  // What it consumes and writes depends on the whole text alone, not on how it was cut.
  Progress advance(std::string_view text, TextEnd end);

 protected:
  enum class Step { kGoOn, kWait };

  // Reads up to where the call is certain; on kYes `scanner` stands behind it, and writer().begin() was called.
  virtual Match head(TagScanner& scanner) = 0;
  // Reads a part of the rest. kWait: the text ends before the next decision. kDone of state_ ends it.
  virtual Step step(TagScanner& scanner) = 0;
  // The text has ended inside the call: what is held but not written. An argument's name that was cut off is nothing.
  virtual void drop_open_parts(TextEnd /*end*/) {}

  const ToolSchemas& tools() const { return tools_; }
  ToolCallWriter& writer() { return writer_; }
  Trust trust() const { return trust_; }
  bool may_begin(std::string_view name) const;
  void done() { state_ = State::kDone; }

  // Where the first of `tags` begins. kNo: not in the text, or not within its next kLongestStrayBytes.
  static FoundTag find_tag(const TagScanner& scanner, std::initializer_list<std::string_view> tags);
  // The text up to `limit` bytes from here, whole characters.
  static std::string_view take(TagScanner& scanner, size_t bytes);
  // Whether what stands behind the name of a call, which may be a mention, makes it one: by the first that comes of the
  // end of a value or of the call, and </think> or another call. Where the text ends first, it is one unless trust()
  // is kDeclared and the model stopped itself; nor is a mention thousands of bytes of a value long.
  struct MentionTags {
    std::string_view key, key_end, value, value_end, call_end;
  };
  Match is_more_than_mention(const TagScanner& scanner, const MentionTags& tags) const;
  // At the end of the text: whether all the rest is the beginning of one of the tags. It is then skipped.
  bool skip_cut_tag(TagScanner& scanner, std::initializer_list<std::string_view> tags);

  static constexpr size_t kLongestNameBytes = 256;
  static constexpr size_t kLongestHeadBytes = 512;
  static constexpr size_t kLongestStrayBytes = 4096;

 private:
  const ToolSchemas& tools_;
  Trust trust_;
  ToolCallWriter writer_;
  State state_ = State::kUndecided;
};

std::string_view trim_space(std::string_view text);
Match either(Match a, Match b);  // the better of two

std::unique_ptr<ToolCallGrammar> make_glm_grammar(const ToolSchemas& tools, ToolCallGrammar::Trust trust,
                                                  ToolCallWriter writer);

std::unique_ptr<ToolCallGrammar> make_glm_metadata_grammar(const ToolSchemas& tools, ToolCallWriter writer);

enum class Qwen3CoderOpening { kToolCall, kFunction };  // the tag behind which the text begins
std::unique_ptr<ToolCallGrammar> make_qwen3_coder_grammar(const ToolSchemas& tools, ToolCallGrammar::Trust trust,
                                                          ToolCallWriter writer, Qwen3CoderOpening opening);

inline constexpr std::string_view kToolCallTag = "<tool_call>";
inline constexpr std::string_view kToolCallEndTag = "</tool_call>";
inline constexpr std::string_view kFunctionTag = "<function=";
inline constexpr std::string_view kThinkTag = "<think>";
inline constexpr std::string_view kThinkEndTag = "</think>";

}  // namespace glimmer
