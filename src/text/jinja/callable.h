// Things that a template can call: macros, global functions, bound methods, loops.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace glimmer::jinja {

class Interpreter;

struct Args {
  Values positional;
  std::vector<std::pair<std::string, Value>> keywords;

  // Puts the arguments in the order of `names`; missing() values where none was given. Throws when there are too many,
  // an unknown keyword, or one given twice. `function` names the callee in the message.
  Values bind(std::string_view function, std::initializer_list<std::string_view> names) const;

  // As bind(), and the first `required` must be there.
  Values bind(std::string_view function, std::initializer_list<std::string_view> names, size_t required) const;
};

struct Callable : Object {
  virtual Value call(Interpreter& interpreter, const Args& args) = 0;
  virtual std::string_view type_name() const = 0;
  virtual std::string repr() const = 0;
  virtual Value attribute(std::string_view) { return {}; }  // missing when there is none
  virtual int64_t length() const { return -1; }             // a loop's; -1: not sized, not iterable
};

// One call of a filter, test or method: what it is applied to, and its arguments.
struct Call {
  Interpreter& interpreter;
  std::string_view name;
  const Value& self;
  const Args& args;

  Values bind(std::initializer_list<std::string_view> names, size_t required = 0) const {
    return args.bind(name, names, required);
  }
};

using Function = Value (*)(const Call&);

struct NamedFunction {
  std::string_view name;
  Function function;
};

// Tables, sorted by name. Null when there is no such filter, test or method.
Function find_filter(std::string_view name);
Function find_test(std::string_view name);
std::string known_filters();  // "abs, attr, batch, ..."
std::string known_tests();

// A method of str, list, tuple, dict or a number, bound to `value`; missing when its type has none of that name.
Value find_method(const Value& value, std::string_view name);

// A global of every template: range, dict, namespace, joiner, cycler, raise_exception, strftime_now. Else missing.
Value find_global(std::string_view name);

// An argument as an integer; throws unless it is one.
int64_t int_argument(const Value& value, std::string_view function, std::string_view parameter);
// An argument as a string; throws unless it is one.
const std::string& string_argument(const Value& value, std::string_view function, std::string_view parameter);

}  // namespace glimmer::jinja
