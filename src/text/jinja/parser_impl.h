// The parser's class, shared by parser.cc (statements) and parser_expression.cc.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace glimmer::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string_view source);
  Nodes parse_template();
  bool has_blocks() const { return has_blocks_; }

 private:
  using Names = std::initializer_list<std::string_view>;

  // Tokens
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool skip_name(std::string_view name);
  bool skip_operator(std::string_view op);
  Token expect(TokenKind kind, std::string_view what);
  void expect_operator(std::string_view op);
  void expect_name(std::string_view name);
  [[noreturn]] void error(int line, const std::string& message) const;
  [[noreturn]] void unknown_tag(const Token& token);
  void check_stack() const;
  NodePtr finish(NodePtr node) const;  // computes the height; throws when it is too high
  static NodePtr make(NodeKind kind, int line);

  // Statements (parser.cc)
  Nodes parse_until(Names end_tags, bool drop_end);
  Nodes parse_body(const std::vector<std::string>& end_tags, bool drop_end);
  NodePtr parse_statement();
  NodePtr parse_for();
  NodePtr parse_if();
  NodePtr parse_if_branch(const Token& tag);
  NodePtr parse_set();
  NodePtr parse_macro();
  NodePtr parse_call_block();
  NodePtr parse_filter_block();
  NodePtr parse_with();
  NodePtr parse_block();
  NodePtr parse_generation();
  NodePtr parse_loop_control();
  Nodes parse_print();
  void parse_signature(Node& node);
  NodePtr parse_target(bool with_namespace, bool until_in);
  NodePtr parse_target_name();
  void make_target(Node& node, NameContext context);

  // Expressions (parser_expression.cc)
  enum class Conditional { kYes, kNo };
  NodePtr parse_expression(Conditional conditional = Conditional::kYes);
  NodePtr parse_tuple(Conditional conditional, std::string_view end_name, bool parenthesised);
  NodePtr parse_conditional();
  NodePtr parse_or();
  NodePtr parse_and();
  NodePtr parse_not();
  NodePtr parse_compare();
  NodePtr parse_sum();
  NodePtr parse_concat();
  NodePtr parse_product();
  NodePtr parse_power();
  NodePtr parse_unary(bool with_filter = true);
  NodePtr parse_primary(bool with_namespace = false);
  NodePtr parse_name(bool with_namespace);
  NodePtr parse_list();
  NodePtr parse_dict();
  NodePtr parse_postfix(NodePtr node);
  NodePtr parse_filters_and_tests(NodePtr node);
  NodePtr parse_subscript(NodePtr node);
  NodePtr parse_subscribed();
  NodePtr parse_call(NodePtr callee);
  NodePtr parse_filter_chain(NodePtr node, bool start_inline);
  NodePtr parse_test(NodePtr node);
  std::unique_ptr<CallArguments> parse_call_arguments();
  std::string parse_dotted_name();
  bool at_tuple_end(std::string_view end_name) const;

  std::vector<Token> tokens_;
  std::string source_;
  size_t at_ = 0;
  uintptr_t stack_base_ = 0;
  bool has_blocks_ = false;
  int loops_ = 0;  // loops around this statement in the same function: break and continue need one
  std::vector<std::string> open_tags_;
};

}  // namespace glimmer::jinja
