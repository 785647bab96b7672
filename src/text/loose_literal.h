// Parses arrays, objects and quoted strings that models write as not quite JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace glimmer {

// The JSON text of an array or object in Python's spelling: strings in either quotes, True, False and None, tuples,
// commas behind the last element; also with line ends and the like inside of strings. Digits stay untouched. Nullopt
// for what is none, for twice the same key, and for more than kMaxJsonDepth levels.
std::optional<std::string> loose_json(std::string_view text);

// What a string literal says that all of `text` is, in either quotes.
std::optional<std::string> quoted_text(std::string_view text);

// `text` with JSON's escapes undone, as though it stood in a string ([{\"a\": 1}] is [{"a": 1}]); nullopt where it
// could not stand there.
std::optional<std::string> without_escapes(std::string_view text);

// JSON text of a literal of any kind, JSON's or Python's; nullopt if it is none.
std::optional<std::string> json_of(std::string_view text);

// How many bytes the escape takes that `text` begins with, two of them where they may make one character; at least one
// more than there are where that is not yet known.
size_t escape_bytes(std::string_view text);

// Follows a literal character by character, to see where it may end. It errs on the side of "may".
class LiteralScan {
 public:
  enum class Escapes {
    kInside,  // of the strings in it
    kAround,  // of all of it as well: without_escapes() is yet to read it
  };
  explicit LiteralScan(Escapes escapes) : escapes_(escapes) {}

  void add(std::string_view text);
  void add(char c);

  // All brackets and quotes that were opened are closed, and nothing but white space follows.
  bool may_be_whole() const { return state_ == State::kClosed; }

 private:
  enum class State { kBegin, kInside, kClosed, kOver };

  void take(char c);

  Escapes escapes_;
  bool behind_backslash_ = false;  // of the outer escapes
  State state_ = State::kBegin;
  int64_t depth_ = 0;
  char quote_ = '\0';
  bool escapes_next_ = false;
};

}  // namespace glimmer
