#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/unicode.h"

namespace glimmer::jinja {
namespace {

// \r\n and \r become \n, and one newline at the end goes (keep_trailing_newline is off).
std::string normalize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
      continue;
    }
    out += '\n';
    if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view template_text, std::string_view source)
      : text_(normalize(to_valid_utf8(template_text))), source_(source) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) lex_text();
    push(TokenKind::kEnd, at_, {});
    return std::move(tokens_);
  }

 private:
  enum class Tag { kNone, kRaw, kBlock, kVariable, kComment };

  [[noreturn]] void error(size_t where, const std::string& message) {
    fail(ErrorCode::kInvalid, "{}:{}: {}", source_, line_at(where), message);
  }

  // Positions are asked for in rising order, so the newlines are counted once.
  int line_at(size_t where) {
    if (where < counted_) {
      counted_ = 0;
      line_ = 1;
    }
    line_ += static_cast<int>(
        std::count(text_.begin() + static_cast<long>(counted_), text_.begin() + static_cast<long>(where), '\n'));
    counted_ = where;
    return line_;
  }

  Token& push(TokenKind kind, size_t where, std::string text) {
    Token token;
    token.kind = kind;
    token.line = line_at(where);
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
    return tokens_.back();
  }

  bool starts_with(size_t where, std::string_view what) const {
    return std::string_view(text_).substr(where).starts_with(what);
  }

  size_t skip_space(size_t where) const {
    while (where < text_.size()) {
      const CodePoint point = decode_utf8(text_, where);
      if (!is_space(point.value)) break;
      where += point.size_bytes;
    }
    return where;
  }

  // The end of "{%- raw %}" that begins at `where`, or 0. `sign` is set.
  size_t match_raw_begin(size_t where, char& sign) const {
    size_t at = where + 2;
    sign = 0;
    if (at < text_.size() && (text_[at] == '-' || text_[at] == '+')) sign = text_[at++];
    at = skip_space(at);
    if (!starts_with(at, "raw")) return 0;
    at = skip_space(at + 3);
    if (starts_with(at, "-%}")) return skip_space(at + 3);
    return starts_with(at, "%}") ? at + 2 : 0;
  }

  // Text up to the next tag, and that tag.
  void lex_text() {
    const size_t begin = at_;
    size_t brace = begin;
    Tag tag = Tag::kNone;
    while ((brace = text_.find('{', brace)) != std::string::npos) {
      const char next = brace + 1 < text_.size() ? text_[brace + 1] : '\0';
      tag = next == '%' ? Tag::kBlock : next == '{' ? Tag::kVariable : next == '#' ? Tag::kComment : Tag::kNone;
      if (tag != Tag::kNone) break;
      ++brace;
    }
    if (tag == Tag::kNone) {
      push(TokenKind::kData, begin, text_.substr(begin));
      at_ = text_.size();
      return;
    }
    char sign = 0;
    size_t end = 0;
    if (tag == Tag::kBlock && (end = match_raw_begin(brace, sign)) != 0) {
      tag = Tag::kRaw;
    } else {
      end = brace + 2;
      sign = end < text_.size() && (text_[end] == '-' || text_[end] == '+') ? text_[end++] : '\0';
    }
    push_data(begin, brace, sign, tag == Tag::kVariable);
    finish_match(end);
    if (tag == Tag::kRaw) return lex_raw(brace);
    if (tag == Tag::kComment) return lex_comment(brace);
    lex_tag(brace, tag == Tag::kBlock);
  }

  // Text before a tag, less the white space that the tag's sign or lstrip_blocks takes.
  void push_data(size_t begin, size_t end, char sign, bool before_variable) {
    std::string_view data(text_.data() + begin, end - begin);
    if (sign == '-') {
      data = strip(data, StripSide::kRight);
    } else if (sign != '+' && !before_variable) {
      const size_t newline = data.rfind('\n');
      const size_t line_begin = newline == data.npos ? 0 : newline + 1;
      if (line_begin > 0 || line_starting_) {
        const std::string_view last_line = data.substr(line_begin);
        if (!last_line.empty() && strip(last_line, StripSide::kLeft).empty()) data = data.substr(0, line_begin);
      }
    }
    if (!data.empty()) push(TokenKind::kData, begin, std::string(data));
  }

  void finish_match(size_t end) {
    line_starting_ = end > 0 && text_[end - 1] == '\n';
    at_ = end;
  }

  // The end of a block or comment tag "+%}", "-%}" with the white space after it, or "%}" with one newline; else 0.
  size_t match_end(size_t where, std::string_view closing) const {
    if (starts_with(where, closing)) {
      where += closing.size();
      return where < text_.size() && text_[where] == '\n' ? where + 1 : where;
    }
    if (where >= text_.size() || !starts_with(where + 1, closing)) return 0;
    if (text_[where] == '+') return where + 1 + closing.size();
    return text_[where] == '-' ? skip_space(where + 1 + closing.size()) : 0;
  }

  void lex_comment(size_t tag) {
    for (size_t at = at_; at < text_.size(); ++at) {
      if (const size_t end = match_end(at, "#}")) return finish_match(end);
    }
    error(tag, "missing end of comment tag '#}'");
  }

  void lex_raw(size_t tag) {
    for (size_t at = at_; (at = text_.find("{%", at)) != std::string::npos; ++at) {
      size_t end = at + 2;
      char sign = 0;
      if (end < text_.size() && (text_[end] == '-' || text_[end] == '+')) sign = text_[end++];
      end = skip_space(end);
      if (!starts_with(end, "endraw")) continue;
      end = match_end(skip_space(end + 6), "%}");
      if (end == 0) continue;
      push_data(at_, at, sign, false);
      return finish_match(end);
    }
    error(tag, "missing end of raw block '{% endraw %}'");
  }

  // The tokens of {{ ... }} or {% ... %}. Inside brackets "}}" and "%}" are operators.
  void lex_tag(size_t tag, bool block) {
    push(block ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, tag, {});
    std::string brackets;
    while (at_ < text_.size()) {
      size_t end = 0;
      if (brackets.empty()) end = block ? match_end(at_, "%}") : match_variable_end(at_);
      if (end != 0) {
        push(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, at_, {});
        return finish_match(end);
      }
      const size_t after_space = skip_space(at_);
      if (after_space != at_) {
        at_ = after_space;
      } else {
        lex_token(brackets);
      }
    }
    // The parser reports what is missing, at the end of the template.
  }

  size_t match_variable_end(size_t where) const {
    if (starts_with(where, "-}}")) return skip_space(where + 3);
    return starts_with(where, "}}") ? where + 2 : 0;
  }

  void lex_token(std::string& brackets) {
    const char c = text_[at_];
    if (is_digit(c)) return lex_number();
    if (c == '\'' || c == '"') return lex_string();
    const CodePoint point = decode_utf8(text_, at_);
    if (char_classes(point.value) & kIdContinue) return lex_name();
    lex_operator(brackets);
  }

  void lex_name() {
    size_t end = at_;
    while (end < text_.size()) {
      const CodePoint point = decode_utf8(text_, end);
      if (!(char_classes(point.value) & kIdContinue)) break;
      end += point.size_bytes;
    }
    if (!(char_classes(decode_utf8(text_, at_).value) & kIdStart)) error(at_, "invalid character in identifier");
    push(TokenKind::kName, at_, text_.substr(at_, end - at_));
    at_ = end;
  }

  // digits, one '_' between two allowed; the end, or `where` when there is none.
  template <typename IsDigit>
  size_t skip_digits(size_t where, IsDigit is_this_digit) const {
    size_t at = where;
    while (at < text_.size()) {
      if (is_this_digit(text_[at])) {
        ++at;
      } else if (text_[at] == '_' && at > where && at + 1 < text_.size() && is_this_digit(text_[at + 1])) {
        at += 2;
      } else {
        break;
      }
    }
    return at;
  }

  size_t match_float() const {
    if (at_ > 0 && text_[at_ - 1] == '.') return 0;  // x.0.1 is two integer subscripts
    const size_t whole = skip_digits(at_, is_digit);
    size_t end = whole;
    if (end < text_.size() && text_[end] == '.') {
      const size_t fraction = skip_digits(end + 1, is_digit);
      if (fraction > end + 1) end = fraction;
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      size_t digits = end + 1;
      if (digits < text_.size() && (text_[digits] == '+' || text_[digits] == '-')) ++digits;
      const size_t exponent = skip_digits(digits, is_digit);
      if (exponent > digits) end = exponent;
    }
    return end > whole ? end : 0;
  }

  std::string without_underscores(size_t begin, size_t end) const {
    std::string digits = text_.substr(begin, end - begin);
    std::erase(digits, '_');
    return digits;
  }

  void lex_number() {
    if (const size_t end = match_float()) {
      Token& token = push(TokenKind::kFloat, at_, {});
      token.real = std::strtod(without_underscores(at_, end).c_str(), nullptr);
      at_ = end;
      return;
    }
    int base = 10;
    const char mark = text_[at_] == '0' && at_ + 1 < text_.size() ? static_cast<char>(text_[at_ + 1] | 32) : '\0';
    if (mark == 'x' || mark == 'o' || mark == 'b') base = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
    const auto valid = [base](char c) {
      if (base == 16) return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
      return c >= '0' && c < '0' + base;
    };
    size_t begin = base == 10 ? at_ : at_ + 2;
    if (base != 10 && begin < text_.size() && text_[begin] == '_') ++begin;  // 0x_ff
    size_t end = skip_digits(begin, valid);
    if (base != 10 && end == begin) {  // "0x" and no digit: the integer 0, then a name
      base = 10;
      begin = at_;
      end = at_ + 1;
    } else if (base == 10 && text_[at_] == '0') {
      end = skip_digits(at_, [](char c) { return c == '0'; });
    }
    const std::string digits = without_underscores(begin, end);
    int64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (result.ec != std::errc()) error(at_, "the integer " + digits + " does not fit 64 bits");
    push(TokenKind::kInteger, at_, {}).integer = value;
    at_ = end;
  }

  void lex_operator(std::string& brackets) {
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (std::string_view op : kOperators) {
      if (!starts_with(at_, op)) continue;
      if (op == "{" || op == "(" || op == "[") brackets += op == "{" ? '}' : op == "(" ? ')' : ']';
      if (op == "}" || op == ")" || op == "]") {
        if (brackets.empty()) error(at_, fmt::format("unexpected '{}'", op));
        if (brackets.back() != op[0]) error(at_, fmt::format("unexpected '{}', expected '{}'", op, brackets.back()));
        brackets.pop_back();
      }
      push(TokenKind::kOperator, at_, std::string(op));
      at_ += op.size();
      return;
    }
    const uint32_t bytes = decode_utf8(text_, at_).size_bytes;
    error(at_, fmt::format("unexpected character '{}'", text_.substr(at_, bytes)));
  }

  void lex_string() {
    const char quote = text_[at_];
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) error(at_, "a string is not closed");
    const std::string body = text_.substr(at_ + 1, end - at_ - 1);
    push(TokenKind::kString, at_, unescape(body, at_));
    at_ = end + 1;
  }

  // Python's unicode-escape. An unknown escape keeps its backslash.
  std::string unescape(std::string_view body, size_t where) {
    std::string out;
    for (size_t i = 0; i < body.size(); ++i) {
      if (body[i] != '\\' || i + 1 == body.size()) {
        out += body[i];
        continue;
      }
      const char c = body[++i];
      static constexpr std::string_view kNames = "abfnrtv\\'\"";
      static constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t known = kNames.find(c); known != kNames.npos) {
        out += kValues[known];
      } else if (c >= '0' && c <= '7') {
        char32_t value = 0;
        size_t digits = 0;
        for (; digits < 3 && i + digits < body.size() && body[i + digits] >= '0' && body[i + digits] <= '7'; ++digits) {
          value = value * 8 + static_cast<char32_t>(body[i + digits] - '0');
        }
        i += digits - 1;
        append_utf8(out, value);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        i = append_hex_escape(out, body, i, where);
      } else if (c == 'N') {
        error(where, "\\N{...} in a string is not supported; write the character itself");
      } else if (c != '\n') {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  char32_t hex_value(std::string_view body, size_t at, size_t digits, size_t where) {
    uint32_t value = 0;
    const std::string_view hex = body.substr(std::min(at, body.size()), digits);
    const auto result = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
    if (hex.size() != digits || result.ptr != hex.data() + digits) error(where, "truncated \\x, \\u or \\U escape");
    return value;
  }

  // body[i] is x, u or U. Returns the position of the escape's last byte. A surrogate pair makes one code point.
  size_t append_hex_escape(std::string& out, std::string_view body, size_t i, size_t where) {
    const size_t digits = body[i] == 'x' ? 2 : body[i] == 'u' ? 4 : 8;
    char32_t value = hex_value(body, i + 1, digits, where);
    i += digits;
    if (value >= 0xD800 && value < 0xDC00 && body.substr(std::min(i + 1, body.size())).starts_with("\\u")) {
      const char32_t low = hex_value(body, i + 3, 4, where);
      if (low >= 0xDC00 && low < 0xE000) {
        value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
        i += 6;
      }
    }
    if (value > 0x10FFFF) error(where, "illegal Unicode character in a string escape");
    if (value >= 0xD800 && value < 0xE000) value = kReplacementCharacter;
    append_utf8(out, value);
    return i;
  }

  const std::string text_;
  const std::string_view source_;
  size_t at_ = 0;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
  size_t counted_ = 0;
  int line_ = 1;
};

}  // namespace

std::vector<Token> tokenize(std::string_view template_text, std::string_view source) {
  return Lexer(template_text, source).run();
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "template text";
    case TokenKind::kVariableBegin:
      return "begin of print statement";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kBlockBegin:
      return "begin of statement block";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
      return "an integer";
    case TokenKind::kFloat:
      return "a float";
    case TokenKind::kEnd:
      return "end of template";
    default:
      return fmt::format("'{}'", token.text);
  }
}

}  // namespace glimmer::jinja
