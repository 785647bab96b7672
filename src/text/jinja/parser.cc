// Statements.
#include "text/jinja/parser.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/parser_impl.h"

namespace glimmer::jinja {

Parser::Parser(std::vector<Token> tokens, std::string_view source)
    : tokens_(std::move(tokens)), source_(source), stack_base_(stack_here()) {}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

bool Parser::skip_operator(std::string_view op) {
  if (!current().is_operator(op)) return false;
  take();
  return true;
}

Token Parser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) error(current().line, fmt::format("expected {}, got {}", what, describe(current())));
  return take();
}

void Parser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) error(current().line, fmt::format("expected '{}', got {}", op, describe(current())));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) error(current().line, fmt::format("expected '{}', got {}", name, describe(current())));
}

void Parser::error(int line, const std::string& message) const {
  fail(ErrorCode::kInvalid, "{}:{}: {}", source_, line, message);
}

void Parser::check_stack() const {
  if (stack_distance(stack_base_) > kMaxStackBytes) {
    fail(ErrorCode::kLimit, "{}:{}: the template is nested too deeply", source_, current().line);
  }
}

NodePtr Parser::make(NodeKind kind, int line) { return std::make_unique<Node>(kind, line); }

NodePtr Parser::finish(NodePtr node) const {
  int highest = 0;
  for_each_child(*node, [&highest](const Node& child) { highest = std::max(highest, child.height); });
  node->height = highest + 1;
  if (node->height > kMaxTreeHeight) {
    fail(ErrorCode::kLimit, "{}:{}: nested, or chained with operators, more than {} deep", source_, node->line,
         kMaxTreeHeight);
  }
  return node;
}

Nodes Parser::parse_template() { return parse_body({}, false); }

Nodes Parser::parse_until(Names end_tags, bool drop_end) {
  skip_operator(":");  // as in Python: {% if x: %}
  expect(TokenKind::kBlockEnd, "end of statement block");
  return parse_body(std::vector<std::string>(end_tags.begin(), end_tags.end()), drop_end);
}

// Statements up to one of `end_tags`, whose name is then the current token, or behind us with `drop_end`.
Nodes Parser::parse_body(const std::vector<std::string>& end_tags, bool drop_end) {
  check_stack();
  Nodes body;
  while (current().kind != TokenKind::kEnd) {
    const Token token = take();
    if (token.kind == TokenKind::kData) {
      auto node = make(NodeKind::kText, token.line);
      node->text = token.text;
      body.push_back(std::move(node));
    } else if (token.kind == TokenKind::kVariableBegin) {
      auto node = make(NodeKind::kOutput, token.line);
      node->first = parse_tuple(Conditional::kYes, {}, false);
      expect(TokenKind::kVariableEnd, "end of print statement");
      body.push_back(finish(std::move(node)));
    } else {
      const bool ends = std::any_of(end_tags.begin(), end_tags.end(),
                                    [this](const std::string& name) { return current().is_name(name); });
      if (ends) {
        if (drop_end) take();
        return body;
      }
      if (current().is_name("print")) {
        for (NodePtr& node : parse_print()) body.push_back(std::move(node));
      } else {
        body.push_back(finish(parse_statement()));
      }
      expect(TokenKind::kBlockEnd, "end of statement block");
    }
  }
  if (!end_tags.empty()) {
    std::string wanted;
    for (const std::string& name : end_tags) wanted += (wanted.empty() ? "'" : " or '") + name + "'";
    error(current().line, fmt::format("unexpected end of template; expected {} to close '{}'", wanted,
                                      open_tags_.empty() ? "" : open_tags_.back()));
  }
  return body;
}

NodePtr Parser::parse_statement() {
  check_stack();
  const Token token = current();
  if (token.kind != TokenKind::kName) error(token.line, "tag name expected");
  static constexpr std::pair<std::string_view, NodePtr (Parser::*)()> kStatements[] = {
      {"for", &Parser::parse_for},
      {"if", &Parser::parse_if},
      {"set", &Parser::parse_set},
      {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call_block},
      {"filter", &Parser::parse_filter_block},
      {"with", &Parser::parse_with},
      {"block", &Parser::parse_block},
      {"generation", &Parser::parse_generation},
      {"break", &Parser::parse_loop_control},
      {"continue", &Parser::parse_loop_control},
  };
  for (const auto& [name, parse] : kStatements) {
    if (token.text != name) continue;
    open_tags_.emplace_back(name);
    NodePtr node = (this->*parse)();
    open_tags_.pop_back();
    return node;
  }
  if (token.text == "do") {
    auto node = make(NodeKind::kDo, take().line);
    node->first = parse_tuple(Conditional::kYes, {}, false);
    return node;
  }
  unknown_tag(token);
}

void Parser::unknown_tag(const Token& token) {
  for (std::string_view name : {"include", "import", "from", "extends", "autoescape"}) {
    if (token.text == name) {
      fail(ErrorCode::kUnsupported, "{}:{}: '{}' is not supported: a chat template is one file of plain text", source_,
           token.line, name);
    }
  }
  const std::string inside = open_tags_.empty() ? "" : fmt::format(" inside '{}'", open_tags_.back());
  error(token.line, fmt::format("unknown tag '{}'{}; known: block, break, call, continue, do, filter, for, generation, "
                                "if, macro, print, set, with",
                                token.text, inside));
}

Nodes Parser::parse_print() {
  take();
  Nodes outputs;
  while (current().kind != TokenKind::kBlockEnd) {
    if (!outputs.empty()) expect_operator(",");
    auto node = make(NodeKind::kOutput, current().line);
    node->first = parse_expression();
    outputs.push_back(finish(std::move(node)));
  }
  return outputs;
}

NodePtr Parser::parse_for() {
  auto node = make(NodeKind::kFor, take().line);
  node->first = parse_target(false, true);
  expect_name("in");
  node->second = parse_tuple(Conditional::kNo, "recursive", false);
  if (skip_name("if")) node->third = parse_expression();
  node->recursive = skip_name("recursive");
  ++loops_;
  node->body = parse_until({"endfor", "else"}, false);
  --loops_;
  if (take().text == "else") node->orelse = parse_until({"endfor"}, true);
  return node;
}

NodePtr Parser::parse_if() {
  NodePtr node = parse_if_branch(take());
  while (true) {
    const Token tag = take();
    if (tag.text == "elif") {
      node->items.push_back(finish(parse_if_branch(tag)));
      continue;
    }
    if (tag.text == "else") node->orelse = parse_until({"endif"}, true);
    return node;
  }
}

NodePtr Parser::parse_if_branch(const Token& tag) {
  auto node = make(NodeKind::kIf, tag.line);
  node->first = parse_tuple(Conditional::kNo, {}, false);
  node->body = parse_until({"elif", "else", "endif"}, false);
  return node;
}

NodePtr Parser::parse_set() {
  const int line = take().line;
  NodePtr target = parse_target(true, false);
  if (skip_operator("=")) {
    auto node = make(NodeKind::kSet, line);
    node->first = std::move(target);
    node->second = parse_tuple(Conditional::kYes, {}, false);
    return node;
  }
  auto node = make(NodeKind::kSetBlock, line);
  node->first = std::move(target);
  node->second = parse_filter_chain(nullptr, false);
  node->body = parse_until({"endset"}, true);
  return node;
}

// (a, b=default, ...) of macros and call blocks.
void Parser::parse_signature(Node& node) {
  expect_operator("(");
  while (!current().is_operator(")")) {
    if (!node.items.empty()) expect_operator(",");
    NodePtr parameter = parse_target_name();
    parameter->context = NameContext::kParameter;
    for (const NodePtr& other : node.items) {
      if (other->text == parameter->text) error(parameter->line, "duplicate parameter '" + parameter->text + "'");
    }
    if (skip_operator("=")) {
      node.defaults.push_back(parse_expression());
    } else if (!node.defaults.empty()) {
      error(parameter->line, "non-default argument follows default argument");
    }
    node.items.push_back(std::move(parameter));
  }
  expect_operator(")");
}

NodePtr Parser::parse_macro() {
  auto node = make(NodeKind::kMacro, take().line);
  node->text = parse_target_name()->text;
  parse_signature(*node);
  const int loops = std::exchange(loops_, 0);
  node->body = parse_until({"endmacro"}, true);
  loops_ = loops;
  return node;
}

NodePtr Parser::parse_call_block() {
  auto node = make(NodeKind::kCallBlock, take().line);
  if (current().is_operator("(")) parse_signature(*node);
  node->first = parse_expression();
  if (node->first->kind != NodeKind::kCall) error(node->line, "expected a call after 'call'");
  const int loops = std::exchange(loops_, 0);
  node->body = parse_until({"endcall"}, true);
  loops_ = loops;
  return node;
}

NodePtr Parser::parse_filter_block() {
  auto node = make(NodeKind::kFilterBlock, take().line);
  node->first = parse_filter_chain(nullptr, true);
  node->body = parse_until({"endfilter"}, true);
  return node;
}

NodePtr Parser::parse_with() {
  auto node = make(NodeKind::kWith, take().line);
  while (current().kind != TokenKind::kBlockEnd) {
    if (!node->items.empty()) expect_operator(",");
    NodePtr target = parse_target(false, false);
    make_target(*target, NameContext::kParameter);
    node->items.push_back(std::move(target));
    expect_operator("=");
    node->defaults.push_back(parse_expression());
  }
  node->body = parse_until({"endwith"}, true);
  return node;
}

NodePtr Parser::parse_block() {
  auto node = make(NodeKind::kBlock, take().line);
  node->text = expect(TokenKind::kName, "a block name").text;
  skip_name("scoped");
  const int loops = std::exchange(loops_, 0);
  node->body = parse_until({"endblock"}, true);
  loops_ = loops;
  skip_name(node->text);
  has_blocks_ = true;
  return node;
}

NodePtr Parser::parse_generation() {
  auto node = make(NodeKind::kGeneration, take().line);
  const int loops = std::exchange(loops_, 0);
  node->body = parse_until({"endgeneration"}, true);
  loops_ = loops;
  return node;
}

NodePtr Parser::parse_loop_control() {
  const Token token = take();
  if (loops_ == 0) error(token.line, fmt::format("'{}' outside of a loop", token.text));
  return make(token.text == "break" ? NodeKind::kBreak : NodeKind::kContinue, token.line);
}

NodePtr Parser::parse_target_name() {
  const Token token = expect(TokenKind::kName, "a name");
  auto node = make(NodeKind::kName, token.line);
  node->text = token.text;
  make_target(*node, NameContext::kStore);
  return node;
}

// What `set` and `for` assign to: a name, a tuple of names, and with_namespace also ns.attribute.
NodePtr Parser::parse_target(bool with_namespace, bool until_in) {
  const int line = current().line;
  Nodes items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_operator(",");
    if (at_tuple_end(until_in ? "in" : "")) break;
    items.push_back(parse_primary(with_namespace));
    if (!current().is_operator(",")) break;
    is_tuple = true;
  }
  if (items.empty() && !is_tuple) error(line, "expected a name to assign to, got " + describe(current()));
  NodePtr target = is_tuple ? make(NodeKind::kTuple, line) : std::move(items[0]);
  if (is_tuple) target->items = std::move(items);
  make_target(*target, NameContext::kStore);
  return finish(std::move(target));
}

void Parser::make_target(Node& node, NameContext context) {
  if (node.kind == NodeKind::kTuple) {
    for (NodePtr& item : node.items) make_target(*item, context);
    return;
  }
  if (node.kind == NodeKind::kNsRef) return;
  if (node.kind != NodeKind::kName) error(node.line, "can't assign to an expression");
  node.context = context;
}

Template parse(std::string_view template_text, std::string_view source) {
  Parser parser(tokenize(template_text, source), source);
  Template result;
  result.source = std::string(source);
  result.body = parser.parse_template();
  result.has_blocks = parser.has_blocks();
  return result;
}

}  // namespace glimmer::jinja
