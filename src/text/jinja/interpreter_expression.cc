// Expressions.
#include "base/check.h"
#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"

namespace glimmer::jinja {
namespace {

bool compare_with(CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEq:
      return equals(a, b);
    case CompareOp::kNe:
      return !equals(a, b);
    case CompareOp::kLt:
      return compare(a, b, "<") == -1;
    case CompareOp::kLe: {
      const int order = compare(a, b, "<=");
      return order == -1 || order == 0;
    }
    case CompareOp::kGt:
      return compare(a, b, ">") == 1;
    case CompareOp::kGe: {
      const int order = compare(a, b, ">=");
      return order == 0 || order == 1;
    }
    case CompareOp::kIn:
      return contains(b, a);
    case CompareOp::kNotIn:
      return !contains(b, a);
  }
  return false;
}

}  // namespace

Value Interpreter::evaluate(const Node& node) {
  budget_.step();
  budget_.check_stack();
  switch (node.kind) {
    case NodeKind::kNone:
      return Value::none();
    case NodeKind::kTrue:
    case NodeKind::kFalse:
      return Value::boolean(node.kind == NodeKind::kTrue);
    case NodeKind::kInteger:
      return Value::integer(node.integer);
    case NodeKind::kFloat:
      return Value::real(node.real);
    case NodeKind::kString:
      return constant(node);
    case NodeKind::kName:
      return evaluate_name(node);
    case NodeKind::kTuple:
      return evaluate_items(node, Type::kTuple);
    case NodeKind::kListLiteral:
      return evaluate_items(node, Type::kList);
    case NodeKind::kDictLiteral:
      return evaluate_dict(node);
    case NodeKind::kAnd:
    case NodeKind::kOr: {
      Value left = evaluate(*node.first);
      return truthy(left) == (node.kind == NodeKind::kOr) ? left : evaluate(*node.second);
    }
    case NodeKind::kNot:
      return Value::boolean(!truthy(evaluate(*node.first)));
    case NodeKind::kNegate:
    case NodeKind::kPlus: {
      const Value value = evaluate(*node.first);
      line_ = node.line;
      return node.kind == NodeKind::kNegate ? negate(value) : plus(value);
    }
    case NodeKind::kConcat:
      return evaluate_concat(node);
    case NodeKind::kCompare:
      return evaluate_compare(node);
    case NodeKind::kConditional:
      if (truthy(evaluate(*node.first))) return evaluate(*node.second);
      if (node.third != nullptr) return evaluate(*node.third);
      return Value::undefined(fmt::format(
          "the inline if-expression on line {} evaluated to false and no else section was defined", node.line));
    case NodeKind::kGetAttr: {
      const Value object = evaluate(*node.first);
      line_ = node.line;
      return get_attribute(object, node.text);
    }
    case NodeKind::kGetItem:
      return evaluate_item(node);
    case NodeKind::kFilter:
      return evaluate_filter(node);
    case NodeKind::kTest:
      return evaluate_test(node);
    case NodeKind::kCall:
      return evaluate_call(node, nullptr);
    default:
      return evaluate_binary(node);
  }
}

Value Interpreter::constant(const Node& node) {
  Value& cached = constants_[node.constant];
  if (cached.is_missing()) cached = Value::string(node.text);
  return cached;
}

Value Interpreter::evaluate_name(const Node& node) {
  const Value& value = slot(node.slot);
  return value.is_missing() ? Value::undefined_name(node.text) : value;
}

Value Interpreter::evaluate_items(const Node& node, Type type) {
  Values items;
  items.reserve(node.items.size());
  for (const NodePtr& item : node.items) items.push_back(evaluate(*item));
  return type == Type::kList ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

Value Interpreter::evaluate_dict(const Node& node) {
  auto dict = std::make_unique<Dict>();
  for (size_t i = 0; i < node.items.size(); i += 2) {
    const Value key = evaluate(*node.items[i]);
    const Value value = evaluate(*node.items[i + 1]);
    line_ = node.line;
    dict->set(key, value);
  }
  return make_dict(std::move(dict));
}

Value Interpreter::evaluate_concat(const Node& node) {
  Values parts;
  for (const NodePtr& item : node.items) parts.push_back(evaluate(*item));
  line_ = node.line;
  std::string text;
  for (const Value& part : parts) append_str(text, part);
  return Value::string(std::move(text));
}

// a < b < c compares b once with each, and stops at the first that fails.
Value Interpreter::evaluate_compare(const Node& node) {
  Value left = evaluate(*node.first);
  for (size_t i = 0; i < node.items.size(); ++i) {
    Value right = evaluate(*node.items[i]);
    line_ = node.line;
    if (!compare_with(node.operators[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_binary(const Node& node) {
  GLIMMER_CHECK(node.first != nullptr && node.second != nullptr, "not an expression: {}", static_cast<int>(node.kind));
  const Value a = evaluate(*node.first);
  const Value b = evaluate(*node.second);
  line_ = node.line;
  switch (node.kind) {
    case NodeKind::kAdd:
      return add(a, b);
    case NodeKind::kSubtract:
      return subtract(a, b);
    case NodeKind::kMultiply:
      return multiply(a, b);
    case NodeKind::kDivide:
      return divide(a, b);
    case NodeKind::kFloorDivide:
      return floor_divide(a, b);
    case NodeKind::kModulo:
      return modulo(a, b);
    case NodeKind::kPower:
      return power(a, b);
    default:
      GLIMMER_CHECK(false, "not an operator: {}", static_cast<int>(node.kind));
      return {};
  }
}

Value Interpreter::evaluate_item(const Node& node) {
  const Value object = evaluate(*node.first);
  const Node& key = *node.second;
  if (key.kind != NodeKind::kSlice) {
    const Value index = evaluate(key);
    line_ = node.line;
    return get_item(object, index);
  }
  const auto part = [this](const NodePtr& bound) { return bound == nullptr ? Value() : evaluate(*bound); };
  const Value start = part(key.first);
  const Value stop = part(key.second);
  const Value step = part(key.third);
  line_ = node.line;
  return slice(object, start, stop, step);
}

Args Interpreter::evaluate_arguments(const Node& node) {
  Args args;
  if (node.arguments == nullptr) return args;
  for (const NodePtr& argument : node.arguments->positional) args.positional.push_back(evaluate(*argument));
  for (const auto& [name, argument] : node.arguments->keywords) args.keywords.emplace_back(name, evaluate(*argument));
  if (node.arguments->star != nullptr) {
    for (const Value& value : collect(evaluate(*node.arguments->star))) args.positional.push_back(value);
  }
  if (node.arguments->double_star != nullptr) expand_keywords(args, evaluate(*node.arguments->double_star));
  return args;
}

void Interpreter::expand_keywords(Args& args, const Value& mapping) {
  if (!mapping.is(Type::kDict)) {
    fail(ErrorCode::kInvalid, "the argument after ** must be a mapping, not {}", type_name(mapping));
  }
  for (const auto& [key, value] : mapping.as_dict().entries) {
    if (!key.is_string()) fail(ErrorCode::kInvalid, "keywords must be strings");
    for (const auto& [name, given] : args.keywords) {
      if (name == key.text()) fail(ErrorCode::kInvalid, "got multiple values for keyword argument '{}'", name);
    }
    args.keywords.emplace_back(key.text(), value);
  }
}

Value Interpreter::evaluate_filter(const Node& node) {
  const Value value = node.first == nullptr ? block_text_ : evaluate(*node.first);
  const Args args = evaluate_arguments(node);
  line_ = node.line;
  return call_filter(node.text, value, args);
}

Value Interpreter::evaluate_test(const Node& node) {
  const Value value = evaluate(*node.first);
  const Args args = evaluate_arguments(node);
  line_ = node.line;
  return Value::boolean(call_test(node.text, value, args));
}

Value Interpreter::evaluate_call(const Node& node, const Value* caller) {
  const Value callee = evaluate(*node.first);
  Args args = evaluate_arguments(node);
  if (caller != nullptr) args.keywords.emplace_back("caller", *caller);
  line_ = node.line;
  return call(callee, args);
}

Value Interpreter::call(const Value& callee, const Args& args) {
  if (callee.is_undefined()) fail(ErrorCode::kInvalid, "{}", callee.undefined_message());
  if (!callee.is(Type::kCallable)) fail(ErrorCode::kInvalid, "'{}' object is not callable", type_name(callee));
  return callee.as_callable().call(*this, args);
}

Value Interpreter::call_filter(std::string_view name, const Value& value, const Args& args) {
  const Function function = find_filter(name);
  if (function == nullptr) fail(ErrorCode::kInvalid, "unknown filter '{}'; known: {}", name, known_filters());
  return function(Call{*this, name, value, args});
}

bool Interpreter::call_test(std::string_view name, const Value& value, const Args& args) {
  const Function function = find_test(name);
  if (function == nullptr) fail(ErrorCode::kInvalid, "unknown test '{}'; known: {}", name, known_tests());
  return truthy(function(Call{*this, name, value, args}));
}

}  // namespace glimmer::jinja
