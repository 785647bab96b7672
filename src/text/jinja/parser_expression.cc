// Expressions, lowest precedence first.
#include "base/error.h"
#include "text/jinja/parser_impl.h"

namespace glimmer::jinja {
namespace {

NodePtr binary(NodeKind kind, int line, NodePtr left, NodePtr right) {
  auto node = std::make_unique<Node>(kind, line);
  node->first = std::move(left);
  node->second = std::move(right);
  return node;
}

}  // namespace

NodePtr Parser::parse_expression(Conditional conditional) {
  check_stack();
  return conditional == Conditional::kYes ? parse_conditional() : parse_or();
}

bool Parser::at_tuple_end(std::string_view end_name) const {
  const Token& token = current();
  return token.kind == TokenKind::kVariableEnd || token.kind == TokenKind::kBlockEnd || token.is_operator(")") ||
         (!end_name.empty() && token.is_name(end_name));
}

// One expression, or a tuple when commas follow. `end_name` ends it besides brackets and tags ("recursive").
NodePtr Parser::parse_tuple(Conditional conditional, std::string_view end_name, bool parenthesised) {
  const int line = current().line;
  Nodes items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_operator(",");
    if (at_tuple_end(end_name)) break;
    items.push_back(parse_expression(conditional));
    if (!current().is_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!parenthesised) error(line, "expected an expression, got " + describe(current()));
  }
  auto node = make(NodeKind::kTuple, line);
  node->items = std::move(items);
  return finish(std::move(node));
}

NodePtr Parser::parse_conditional() {
  const int line = current().line;
  NodePtr value = parse_or();
  while (skip_name("if")) {
    auto node = make(NodeKind::kConditional, line);
    node->first = parse_or();
    node->second = std::move(value);
    if (skip_name("else")) {
      check_stack();
      node->third = parse_conditional();
    }
    value = finish(std::move(node));
  }
  return value;
}

NodePtr Parser::parse_or() {
  const int line = current().line;
  NodePtr left = parse_and();
  while (skip_name("or")) left = finish(binary(NodeKind::kOr, line, std::move(left), parse_and()));
  return left;
}

NodePtr Parser::parse_and() {
  const int line = current().line;
  NodePtr left = parse_not();
  while (skip_name("and")) left = finish(binary(NodeKind::kAnd, line, std::move(left), parse_not()));
  return left;
}

NodePtr Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  check_stack();
  auto node = make(NodeKind::kNot, take().line);
  node->first = parse_not();
  return finish(std::move(node));
}

NodePtr Parser::parse_compare() {
  static constexpr std::pair<std::string_view, CompareOp> kOperators[] = {
      {"==", CompareOp::kEq}, {"!=", CompareOp::kNe}, {"<", CompareOp::kLt},
      {"<=", CompareOp::kLe}, {">", CompareOp::kGt},  {">=", CompareOp::kGe}};
  NodePtr left = parse_sum();
  NodePtr node;
  while (true) {
    const Token& token = current();
    CompareOp op = CompareOp::kEq;
    bool found = false;
    for (const auto& [symbol, candidate] : kOperators) {
      if (!token.is_operator(symbol)) continue;
      op = candidate;
      found = true;
    }
    if (!found && token.is_name("in")) {
      op = CompareOp::kIn;
    } else if (!found && token.is_name("not") && look().is_name("in")) {
      take();
      op = CompareOp::kNotIn;
    } else if (!found) {
      break;
    }
    const int line = take().line;
    if (node == nullptr) {
      node = make(NodeKind::kCompare, line);
      node->first = std::move(left);
    }
    node->operators.push_back(op);
    node->items.push_back(parse_sum());
  }
  return node == nullptr ? std::move(left) : finish(std::move(node));
}

NodePtr Parser::parse_sum() {
  NodePtr left = parse_concat();
  while (current().is_operator("+") || current().is_operator("-")) {
    const Token op = take();
    const NodeKind kind = op.text == "+" ? NodeKind::kAdd : NodeKind::kSubtract;
    left = finish(binary(kind, op.line, std::move(left), parse_concat()));
  }
  return left;
}

NodePtr Parser::parse_concat() {
  NodePtr left = parse_product();
  if (!current().is_operator("~")) return left;
  auto node = make(NodeKind::kConcat, current().line);
  node->items.push_back(std::move(left));
  while (skip_operator("~")) node->items.push_back(parse_product());
  return finish(std::move(node));
}

NodePtr Parser::parse_product() {
  NodePtr left = parse_power();
  while (true) {
    const Token& token = current();
    NodeKind kind;
    if (token.is_operator("*")) {
      kind = NodeKind::kMultiply;
    } else if (token.is_operator("/")) {
      kind = NodeKind::kDivide;
    } else if (token.is_operator("//")) {
      kind = NodeKind::kFloorDivide;
    } else if (token.is_operator("%")) {
      kind = NodeKind::kModulo;
    } else {
      return left;
    }
    const int line = take().line;
    left = finish(binary(kind, line, std::move(left), parse_power()));
  }
}

NodePtr Parser::parse_power() {
  NodePtr left = parse_unary();
  while (current().is_operator("**")) {
    const int line = take().line;
    left = finish(binary(NodeKind::kPower, line, std::move(left), parse_unary()));
  }
  return left;
}

NodePtr Parser::parse_unary(bool with_filter) {
  check_stack();
  NodePtr node;
  if (current().is_operator("-") || current().is_operator("+")) {
    const Token op = take();
    node = make(op.text == "-" ? NodeKind::kNegate : NodeKind::kPlus, op.line);
    node->first = parse_unary(false);
    node = finish(std::move(node));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filter ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

NodePtr Parser::parse_primary(bool with_namespace) {
  const Token& token = current();
  if (token.kind == TokenKind::kName) return parse_name(with_namespace);
  if (token.kind == TokenKind::kString) {
    auto node = make(NodeKind::kString, token.line);
    while (current().kind == TokenKind::kString) node->text += take().text;  // 'a' 'b' is 'ab'
    return node;
  }
  if (token.kind == TokenKind::kInteger || token.kind == TokenKind::kFloat) {
    auto node = make(token.kind == TokenKind::kInteger ? NodeKind::kInteger : NodeKind::kFloat, token.line);
    node->integer = token.integer;
    node->real = token.real;
    take();
    return node;
  }
  if (skip_operator("(")) {
    NodePtr node = parse_tuple(Conditional::kYes, {}, true);
    expect_operator(")");
    return node;
  }
  if (token.is_operator("[")) return parse_list();
  if (token.is_operator("{")) return parse_dict();
  error(token.line, "unexpected " + describe(token));
}

NodePtr Parser::parse_name(bool with_namespace) {
  const Token token = take();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return make(NodeKind::kTrue, token.line);
  if (name == "false" || name == "False") return make(NodeKind::kFalse, token.line);
  if (name == "none" || name == "None") return make(NodeKind::kNone, token.line);
  auto node = make(NodeKind::kName, token.line);
  node->text = name;
  if (with_namespace && skip_operator(".")) {
    node->kind = NodeKind::kNsRef;
    node->attribute = expect(TokenKind::kName, "a name").text;
  }
  return node;
}

NodePtr Parser::parse_list() {
  auto node = make(NodeKind::kListLiteral, current().line);
  expect_operator("[");
  while (!current().is_operator("]")) {
    if (!node->items.empty()) expect_operator(",");
    if (current().is_operator("]")) break;
    node->items.push_back(parse_expression());
  }
  expect_operator("]");
  return finish(std::move(node));
}

NodePtr Parser::parse_dict() {
  auto node = make(NodeKind::kDictLiteral, current().line);
  expect_operator("{");
  while (!current().is_operator("}")) {
    if (!node->items.empty()) expect_operator(",");
    if (current().is_operator("}")) break;
    node->items.push_back(parse_expression());
    expect_operator(":");
    node->items.push_back(parse_expression());
  }
  expect_operator("}");
  return finish(std::move(node));
}

NodePtr Parser::parse_postfix(NodePtr node) {
  while (true) {
    if (current().is_operator(".") || current().is_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (current().is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

NodePtr Parser::parse_filters_and_tests(NodePtr node) {
  while (true) {
    if (current().is_operator("|")) {
      node = parse_filter_chain(std::move(node), false);
    } else if (current().is_name("is")) {
      node = parse_test(std::move(node));
    } else if (current().is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

NodePtr Parser::parse_subscript(NodePtr node) {
  const Token token = take();
  if (token.text == ".") {
    const Token name = take();
    if (name.kind == TokenKind::kName) {
      auto attribute = make(NodeKind::kGetAttr, token.line);
      attribute->first = std::move(node);
      attribute->text = name.text;
      return finish(std::move(attribute));
    }
    if (name.kind != TokenKind::kInteger) error(name.line, "expected a name or number after '.'");
    auto index = make(NodeKind::kInteger, name.line);
    index->integer = name.integer;
    return finish(binary(NodeKind::kGetItem, token.line, std::move(node), std::move(index)));
  }
  Nodes subscripts;
  while (!current().is_operator("]")) {
    if (!subscripts.empty()) expect_operator(",");
    subscripts.push_back(parse_subscribed());
  }
  expect_operator("]");
  NodePtr subscript;
  if (subscripts.size() == 1) {
    subscript = std::move(subscripts[0]);
  } else {
    for (const NodePtr& part : subscripts) {  // jinja2 would look up a tuple of slices, which no value has
      if (part->kind == NodeKind::kSlice) error(part->line, "a slice among several subscripts is not supported");
    }
    subscript = make(NodeKind::kTuple, token.line);
    subscript->items = std::move(subscripts);
    subscript = finish(std::move(subscript));
  }
  return finish(binary(NodeKind::kGetItem, token.line, std::move(node), std::move(subscript)));
}

// What stands between [ and ]: an expression, or start:stop:step with each part optional.
NodePtr Parser::parse_subscribed() {
  const int line = current().line;
  NodePtr start;
  if (!current().is_operator(":")) {
    start = parse_expression();
    if (!current().is_operator(":")) return start;
  }
  take();
  auto node = make(NodeKind::kSlice, line);
  node->first = std::move(start);
  const auto at_end = [this] { return current().is_operator("]") || current().is_operator(","); };
  if (!current().is_operator(":") && !at_end()) node->second = parse_expression();
  if (skip_operator(":") && !at_end()) node->third = parse_expression();
  return finish(std::move(node));
}

std::unique_ptr<CallArguments> Parser::parse_call_arguments() {
  const int line = current().line;
  expect_operator("(");
  auto arguments = std::make_unique<CallArguments>();
  const auto ensure = [&](bool valid) {
    if (!valid) error(line, "invalid syntax for function call expression");
  };
  bool needs_comma = false;
  while (!current().is_operator(")")) {
    if (needs_comma) {
      expect_operator(",");
      if (current().is_operator(")")) break;
    }
    needs_comma = true;
    if (skip_operator("*")) {
      ensure(arguments->star == nullptr && arguments->double_star == nullptr);
      arguments->star = parse_expression();
    } else if (skip_operator("**")) {
      ensure(arguments->double_star == nullptr);
      arguments->double_star = parse_expression();
    } else if (current().kind == TokenKind::kName && look().is_operator("=")) {
      ensure(arguments->double_star == nullptr);
      std::string key = take().text;
      take();
      for (const auto& [name, value] : arguments->keywords) {
        if (name == key) error(line, "keyword argument repeated: " + key);
      }
      arguments->keywords.emplace_back(std::move(key), parse_expression());
    } else {
      ensure(arguments->star == nullptr && arguments->double_star == nullptr && arguments->keywords.empty());
      arguments->positional.push_back(parse_expression());
    }
  }
  expect_operator(")");
  return arguments;
}

NodePtr Parser::parse_call(NodePtr callee) {
  auto node = make(NodeKind::kCall, current().line);
  node->first = std::move(callee);
  node->arguments = parse_call_arguments();
  return finish(std::move(node));
}

std::string Parser::parse_dotted_name() {
  std::string name = expect(TokenKind::kName, "a name").text;
  while (skip_operator(".")) name += "." + expect(TokenKind::kName, "a name").text;
  return name;
}

// `| name(arguments) | ...`. `node` is null for a block's text; `start_inline`: the first '|' is not written.
NodePtr Parser::parse_filter_chain(NodePtr node, bool start_inline) {
  while (start_inline || skip_operator("|")) {
    start_inline = false;
    auto filter = make(NodeKind::kFilter, current().line);
    filter->text = parse_dotted_name();
    filter->first = std::move(node);
    if (current().is_operator("(")) filter->arguments = parse_call_arguments();
    node = finish(std::move(filter));
  }
  return node;
}

// `is [not] name`, with arguments in brackets or one bare argument.
NodePtr Parser::parse_test(NodePtr node) {
  auto test = make(NodeKind::kTest, take().line);
  const bool negated = skip_name("not");
  test->text = parse_dotted_name();
  test->first = std::move(node);
  const Token& token = current();
  const bool starts_argument = token.kind == TokenKind::kName || token.kind == TokenKind::kString ||
                               token.kind == TokenKind::kInteger || token.kind == TokenKind::kFloat ||
                               token.is_operator("[") || token.is_operator("{");
  if (token.is_operator("(")) {
    test->arguments = parse_call_arguments();
  } else if (starts_argument && !token.is_name("else") && !token.is_name("or") && !token.is_name("and")) {
    if (token.is_name("is")) error(token.line, "You cannot chain multiple tests with is");
    test->arguments = std::make_unique<CallArguments>();
    test->arguments->positional.push_back(parse_postfix(parse_primary()));
  }
  NodePtr result = finish(std::move(test));
  if (!negated) return result;
  auto inverted = make(NodeKind::kNot, result->line);
  inverted->first = std::move(result);
  return finish(std::move(inverted));
}

}  // namespace glimmer::jinja
