// The tests: `x is name`.
#include <algorithm>
#include <span>

#include "base/error.h"
#include "base/name_table.h"
#include "text/jinja/callable.h"
#include "text/jinja/method_tables.h"
#include "text/jinja/operators.h"

namespace glimmer::jinja {
namespace {

bool test_sequence(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kRange:
      return true;
    default:
      return false;
  }
}

// Python's `is`: the same object. Small values have no identity of their own here, so equal ones are the same.
bool same_object(const Value& a, const Value& b) {
  if (a.type() != b.type()) return false;
  if (a.is(Type::kFloat)) return a.as_double() == b.as_double();
  return a.heap() == b.heap() && (a.heap() != nullptr || !a.is_integral() || a.as_int() == b.as_int());
}

template <Type kType>
Value is_type(const Call& call) {
  call.bind({});
  return Value::boolean(call.self.is(kType));
}

template <int64_t kRemainder>
Value remainder_of_two(const Call& call) {
  call.bind({});
  return Value::boolean(equals(modulo(call.self, Value::integer(2)), Value::integer(kRemainder)));
}

Value test_divisibleby(const Call& call) {
  return Value::boolean(equals(modulo(call.self, call.bind({"num"}, 1)[0]), Value::integer(0)));
}

template <bool kWanted>
Value is_boolean_of(const Call& call) {
  call.bind({});
  return Value::boolean(call.self.is(Type::kBool) && call.self.as_bool() == kWanted);
}

template <bool kWanted>
Value test_equal(const Call& call) {
  return Value::boolean(equals(call.self, call.bind({"other"}, 1)[0]) == kWanted);
}

// `kAllowed` has the bits 1: less, 2: equal, 4: greater.
template <int kAllowed>
Value test_order(const Call& call) {
  const int order = compare(call.self, call.bind({"other"}, 1)[0], call.name);
  return Value::boolean(order <= 1 && (kAllowed >> (order + 1) & 1) != 0);
}

Value test_callable(const Call& call) {
  call.bind({});
  return Value::boolean(call.self.is_undefined() ||
                        (call.self.is(Type::kCallable) && type_name(call.self) != "Cycler"));
}

Value test_escaped(const Call& call) {
  call.bind({});
  return Value::boolean(call.self.is_string() && call.self.as_string().markup);
}

Value test_exists(const Call& call, Function (*find)(std::string_view)) {
  call.bind({});
  return Value::boolean(call.self.is_string() && find(call.self.text()) != nullptr);
}

Value test_defined(const Call& call) {
  call.bind({});
  return Value::boolean(!call.self.is_undefined());
}

Value test_in(const Call& call) { return Value::boolean(contains(call.bind({"seq"}, 1)[0], call.self)); }

Value test_iterable(const Call& call) {
  call.bind({});
  return Value::boolean(is_iterable(call.self));
}

Value test_number(const Call& call) {
  call.bind({});
  return Value::boolean(call.self.is_number());
}

Value test_integer(const Call& call) {
  call.bind({});
  return Value::boolean(call.self.is(Type::kInt) || (call.self.is(Type::kExact) && call.self.as_exact().integer));
}

Value test_float(const Call& call) {
  call.bind({});
  return Value::boolean(call.self.is(Type::kFloat) || (call.self.is(Type::kExact) && !call.self.as_exact().integer));
}

Value test_sameas(const Call& call) { return Value::boolean(same_object(call.self, call.bind({"other"}, 1)[0])); }

Value test_sequence_of(const Call& call) {
  call.bind({});
  return Value::boolean(test_sequence(call.self));
}

constexpr NamedFunction kTests[] = {
    {"!=", test_equal<false>},
    {"<", test_order<1>},
    {"<=", test_order<3>},
    {"==", test_equal<true>},
    {">", test_order<4>},
    {">=", test_order<6>},
    {"boolean", is_type<Type::kBool>},
    {"callable", test_callable},
    {"defined", test_defined},
    {"divisibleby", test_divisibleby},
    {"eq", test_equal<true>},
    {"equalto", test_equal<true>},
    {"escaped", test_escaped},
    {"even", remainder_of_two<0>},
    {"false", is_boolean_of<false>},
    {"filter", [](const Call& call) { return test_exists(call, find_filter); }},
    {"float", test_float},
    {"ge", test_order<6>},
    {"greaterthan", test_order<4>},
    {"gt", test_order<4>},
    {"in", test_in},
    {"integer", test_integer},
    {"iterable", test_iterable},
    {"le", test_order<3>},
    {"lessthan", test_order<1>},
    {"lower", [](const Call& call) { return Value::boolean(is_lower_text(to_str(call.self))); }},
    {"lt", test_order<1>},
    {"mapping", is_type<Type::kDict>},
    {"ne", test_equal<false>},
    {"none", is_type<Type::kNone>},
    {"number", test_number},
    {"odd", remainder_of_two<1>},
    {"sameas", test_sameas},
    {"sequence", test_sequence_of},
    {"string", is_type<Type::kString>},
    {"test", [](const Call& call) { return test_exists(call, find_test); }},
    {"true", is_boolean_of<true>},
    {"undefined", is_type<Type::kUndefined>},
    {"upper", [](const Call& call) { return Value::boolean(is_upper_text(to_str(call.self))); }},
};

}  // namespace

Function find_test(std::string_view name) {
  const NamedFunction* found = find_named(kTests, name, &NamedFunction::name);
  return found == nullptr ? nullptr : found->function;
}

std::string known_tests() { return list_names(kTests, &NamedFunction::name); }

}  // namespace glimmer::jinja
