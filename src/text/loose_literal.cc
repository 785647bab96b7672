#include "text/loose_literal.h"

#include <cstdint>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/argument_value.h"

namespace glimmer {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The number that `digits` hexadecimal digits at `at` make.
std::optional<uint32_t> hex_number(std::string_view text, size_t at, size_t digits) {
  if (text.size() < at + digits) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = 0; i < digits; ++i) {
    const int digit = hex_digit(text[at + i]);
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<uint32_t>(digit);
  }
  return value;
}

// A character by its number: \u12ab (of which two make one beyond U+FFFF), \x1f, \U0001f600.
bool read_numbered(std::string_view text, size_t& at, std::string& out) {
  const size_t digits = text[at] == 'x' ? 2 : text[at] == 'u' ? 4 : 8;
  const std::optional<uint32_t> first = hex_number(text, at + 1, digits);
  if (!first) return false;
  at += 1 + digits;
  uint32_t code = *first;
  if (code >= 0xD800 && code < 0xDC00 && text.substr(at).starts_with("\\u")) {
    const std::optional<uint32_t> second = hex_number(text, at + 2, 4);
    if (second && *second >= 0xDC00 && *second < 0xE000) {
      code = 0x10000 + ((code - 0xD800) << 10) + (*second - 0xDC00);
      at += 6;
    }
  }
  const bool is_character = code < 0x110000 && (code < 0xD800 || code >= 0xE000);
  append_utf8(out, is_character ? code : 0xFFFD);
  return true;
}

// Reads what stands behind a backslash. False: no escape that is known; nothing is read then.
bool read_escape(std::string_view text, size_t& at, std::string& out) {
  constexpr std::string_view kLetters = "nrtbf\"'\\/";
  constexpr std::string_view kMeant = "\n\r\t\b\f\"'\\/";
  if (at >= text.size()) return false;
  if (const size_t letter = kLetters.find(text[at]); letter != std::string_view::npos) {
    out += kMeant[letter];
    ++at;
    return true;
  }
  const bool numbered = text[at] == 'u' || text[at] == 'x' || text[at] == 'U';
  return numbered && read_numbered(text, at, out);
}

bool is_number_char(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class LooseReader {
 public:
  explicit LooseReader(std::string_view text) : text_(text) {}

  std::optional<std::string> any() {
    if (!value(0) || !ends()) return std::nullopt;
    return std::move(out_);
  }

  std::optional<std::string> string() {
    skip_space();
    std::string said;
    if (!quoted(said) || !ends()) return std::nullopt;
    return said;
  }

 private:
  void skip_space() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }
  bool ends() {
    skip_space();
    return at_ == text_.size();
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool value(int depth) {
    skip_space();
    if (at_ >= text_.size() || depth > kMaxJsonDepth) return false;
    const char first = text_[at_];
    if (first == '{') return object(depth);
    if (first == '[') return array(']', depth);
    if (first == '(') return array(')', depth);
    if (first == '"' || first == '\'') {
      std::string said;
      if (!quoted(said)) return false;
      out_ += json_string(said);
      return true;
    }
    return first == '-' || (first >= '0' && first <= '9') ? number() : word();
  }

  bool number() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_number_char(text_[at_])) ++at_;
    const std::string_view number = text_.substr(begin, at_ - begin);
    if (!is_json_number(number)) return false;
    out_ += number;
    return true;
  }

  bool word() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_letter(text_[at_])) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (word == "True" || word == "true") {
      out_ += "true";
    } else if (word == "False" || word == "false") {
      out_ += "false";
    } else if (word == "None" || word == "null") {
      out_ += "null";
    } else {
      return false;
    }
    return true;
  }

  // A list or a tuple. One value in parentheses is a tuple only with a comma behind it.
  bool array(char closing, int depth) {
    ++at_;
    out_ += '[';
    size_t elements = 0;
    bool comma = true;
    while (!take(closing)) {
      if (!comma) return false;
      if (elements++ > 0) out_ += ", ";
      if (!value(depth + 1)) return false;
      comma = take(',');
    }
    out_ += ']';
    return closing != ')' || elements != 1 || comma;
  }

  bool object(int depth) {
    ++at_;
    out_ += '{';
    std::set<std::string, std::less<>> names;
    bool comma = true;
    while (!take('}')) {
      if (!comma) return false;
      if (!names.empty()) out_ += ", ";
      skip_space();
      std::string name;
      if (!key(name) || !take(':')) return false;
      out_ += json_string(name) + ": ";
      if (!names.insert(std::move(name)).second || !value(depth + 1)) return false;
      comma = take(',');
    }
    out_ += '}';
    return true;
  }

  // Python's numbers as keys are strings in JSON.
  bool key(std::string& name) {
    if (at_ >= text_.size()) return false;
    if (text_[at_] == '"' || text_[at_] == '\'') return quoted(name);
    const size_t begin = at_;
    while (at_ < text_.size() && is_number_char(text_[at_])) ++at_;
    name = text_.substr(begin, at_ - begin);
    return is_json_number(name);
  }

  bool quoted(std::string& said) {
    if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) return false;
    const char quote = text_[at_++];
    const char stops[] = {quote, '\\'};
    while (at_ < text_.size()) {
      const size_t stop = std::min(text_.find_first_of(std::string_view(stops, 2), at_), text_.size());
      said += text_.substr(at_, stop - at_);
      at_ = stop;
      if (at_ == text_.size()) return false;
      if (text_[at_++] == quote) return true;
      if (!read_escape(text_, at_, said)) said += '\\';  // an escape that means nothing is two characters
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::optional<std::string> loose_json(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  const bool opens =
      first != std::string_view::npos && std::string_view("{[(").find(text[first]) != std::string_view::npos;
  return opens ? LooseReader(text).any() : std::nullopt;
}

std::optional<std::string> json_of(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return std::nullopt;
  text = text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
  try {
    (void)parse_json(text, "an argument");
    return std::string(text);
  } catch (const Error&) {
    return LooseReader(text).any();
  }
}

size_t escape_bytes(std::string_view text) {
  const auto digits = [&](size_t at) { return text[at] == 'x' ? 2 : text[at] == 'u' ? 4 : text[at] == 'U' ? 8 : 0; };
  if (text.size() < 2) return 2;
  const size_t bytes = 2 + static_cast<size_t>(digits(1));
  if (text.size() < bytes || text[1] != 'u') return bytes;
  const std::optional<uint32_t> code = hex_number(text, 2, 4);
  if (!code || *code < 0xD800 || *code >= 0xDC00) return bytes;
  const std::string_view second = text.substr(bytes);  // the other half of a character
  return std::string_view("\\u").starts_with(second.substr(0, 2)) ? bytes + 6 : bytes;
}

std::optional<std::string> quoted_text(std::string_view text) { return LooseReader(text).string(); }

std::optional<std::string> without_escapes(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t stop = std::min(text.find_first_of("\"\\", at), text.size());
    out += text.substr(at, stop - at);
    at = stop;
    if (at == text.size()) break;
    if (text[at++] == '"' || !read_escape(text, at, out)) return std::nullopt;
  }
  return out;
}

void LiteralScan::add(std::string_view text) {
  for (const char c : text) {
    if (state_ == State::kOver) return;
    add(c);
  }
}

void LiteralScan::add(char c) {
  if (escapes_ == Escapes::kInside) return take(c);
  if (!behind_backslash_) {
    behind_backslash_ = c == '\\';
    if (!behind_backslash_) take(c);
    return;
  }
  behind_backslash_ = false;
  take(c == '"' || c == '\\' ? c : ' ');  // the others quote and close nothing
}

void LiteralScan::take(char c) {
  const bool space = kSpace.find(c) != std::string_view::npos;
  if (state_ == State::kOver) return;
  if (state_ == State::kClosed) {
    if (!space) state_ = State::kOver;
    return;
  }
  if (state_ == State::kBegin && space) return;
  state_ = State::kInside;
  if (escapes_next_) {
    escapes_next_ = false;
  } else if (quote_ != '\0') {
    escapes_next_ = c == '\\';
    if (c == quote_) quote_ = '\0';
  } else if (c == '"' || c == '\'') {
    quote_ = c;
  } else if (c == '{' || c == '[' || c == '(') {
    ++depth_;
  } else if (c == '}' || c == ']' || c == ')') {
    --depth_;
  }
  if (depth_ <= 0 && quote_ == '\0') state_ = State::kClosed;
}

}  // namespace glimmer
