// Splits a template into text and the tokens of its tags, with the white space handling of trim_blocks and
// lstrip_blocks. Follows jinja2/lexer.py.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer::jinja {

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // data, name, unescaped string, operator
  int64_t integer = 0;
  double real = 0;

  bool is_name(std::string_view name) const { return kind == TokenKind::kName && text == name; }
  bool is_operator(std::string_view op) const { return kind == TokenKind::kOperator && text == op; }
};

// Throws kInvalid with "source:line: ..." on a malformed token. The last token is kEnd.
std::vector<Token> tokenize(std::string_view template_text, std::string_view source);

// For messages: "'end of statement block'", "'foo'".
std::string describe(const Token& token);

}  // namespace glimmer::jinja
