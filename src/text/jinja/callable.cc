// Arguments, methods of list, tuple, dict and numbers, and the global functions.
#include "text/jinja/callable.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/iterate.h"
#include "text/jinja/method_tables.h"

namespace glimmer::jinja {

Values Args::bind(std::string_view function, std::initializer_list<std::string_view> names) const {
  if (positional.size() > names.size()) {
    fail(ErrorCode::kInvalid, "{}() takes at most {} argument(s) ({} given)", function, names.size(),
         positional.size());
  }
  Values bound(names.size());
  std::copy(positional.begin(), positional.end(), bound.begin());
  for (const auto& [key, value] : keywords) {
    const auto found = std::find(names.begin(), names.end(), key);
    if (found == names.end()) fail(ErrorCode::kInvalid, "{}() got an unexpected keyword argument '{}'", function, key);
    Value& place = bound[static_cast<size_t>(found - names.begin())];
    if (!place.is_missing()) fail(ErrorCode::kInvalid, "{}() got multiple values for argument '{}'", function, key);
    place = value;
  }
  return bound;
}

Values Args::bind(std::string_view function, std::initializer_list<std::string_view> names, size_t required) const {
  Values bound = bind(function, names);
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].is_missing()) {
      fail(ErrorCode::kInvalid, "{}() is missing its argument '{}'", function, *(names.begin() + i));
    }
  }
  return bound;
}

int64_t int_argument(const Value& value, std::string_view function, std::string_view parameter) {
  if (value.is_integral()) return value.as_int();
  if (value.is_undefined()) fail(ErrorCode::kInvalid, "{}", value.undefined_message());
  fail(ErrorCode::kInvalid, "{}(): '{}' must be an integer, not {}", function, parameter, type_name(value));
}

const std::string& string_argument(const Value& value, std::string_view function, std::string_view parameter) {
  if (value.is_string()) return value.text();
  fail(ErrorCode::kInvalid, "{}(): '{}' must be a string, not {}", function, parameter, type_name(value));
}

namespace {

struct BoundMethod : Callable {
  BoundMethod(const Value& object, const NamedFunction& method) : self(object), entry(method) {
    charge(sizeof(*this));
    contain(object);
  }
  Value call(Interpreter& interpreter, const Args& args) override {
    return entry.function(Call{interpreter, entry.name, self, args});
  }
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  std::string repr() const override {
    return fmt::format("<built-in method {} of {} object>", entry.name, jinja::type_name(self));
  }

  Value self;
  const NamedFunction& entry;
};

Value dict_view(const Call& call, DictView::Kind kind) {
  call.bind({});
  return Value::object(Type::kDictView, new DictView(kind, call.self));
}

Value dict_get(const Call& call) {
  const Values args = call.bind({"key", "default"}, 1);
  if (const Value* found = call.self.as_dict().find(args[0])) return *found;
  return args[1].is_missing() ? Value::none() : args[1];
}

Value dict_fromkeys(const Call& call) {
  const Values args = call.bind({"iterable", "value"}, 1);
  auto dict = std::make_unique<Dict>();
  for (const Value& key : collect(args[0])) dict->set(key, args[1].is_missing() ? Value::none() : args[1]);
  return make_dict(std::move(dict));
}

Value same_value(const Call& call) {
  call.bind({});
  return call.self;  // immutable: a copy cannot be told from it
}

Value sequence_count(const Call& call) {
  const Values args = call.bind({"value"}, 1);
  int64_t count = 0;
  for (const Value& item : collect(call.self)) count += equals(item, args[0]) ? 1 : 0;
  return Value::integer(count);
}

Value sequence_index(const Call& call) {
  const Values args = call.bind({"value", "start", "stop"}, 1);
  const Values items = collect(call.self);
  const int64_t length = static_cast<int64_t>(items.size());
  const auto bound = [&](const Value& value, std::string_view name, int64_t fallback) {
    const int64_t index = value.is_missing() ? fallback : int_argument(value, call.name, name);
    return std::clamp<int64_t>(index < 0 ? index + length : index, 0, length);
  };
  const int64_t stop = bound(args[2], "stop", length);
  for (int64_t i = bound(args[1], "start", 0); i < stop; ++i) {
    if (equals(items[static_cast<size_t>(i)], args[0])) return Value::integer(i);
  }
  fail(ErrorCode::kInvalid, "{} is not in {}", to_repr(args[0]), type_name(call.self));
}

constexpr NamedFunction kDictMethods[] = {
    {"copy", same_value},
    {"fromkeys", dict_fromkeys},
    {"get", dict_get},
    {"items", [](const Call& call) { return dict_view(call, DictView::Kind::kItems); }},
    {"keys", [](const Call& call) { return dict_view(call, DictView::Kind::kKeys); }},
    {"values", [](const Call& call) { return dict_view(call, DictView::Kind::kValues); }},
};
constexpr NamedFunction kListMethods[] = {{"copy", same_value}, {"count", sequence_count}, {"index", sequence_index}};
constexpr NamedFunction kTupleMethods[] = {{"count", sequence_count}, {"index", sequence_index}};
constexpr NamedFunction kIntMethods[] = {
    {"bit_length",
     [](const Call& call) {
       call.bind({});
       const int64_t value = call.self.as_int();
       const uint64_t size = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
       return Value::integer(size == 0 ? 0 : 64 - __builtin_clzll(size));
     }},
    {"conjugate", same_value},
};
constexpr NamedFunction kFloatMethods[] = {
    {"conjugate", same_value},
    {"is_integer",
     [](const Call& call) {
       call.bind({});
       return Value::boolean(std::isfinite(call.self.as_double()) &&
                             call.self.as_double() == std::floor(call.self.as_double()));
     }},
};

std::span<const NamedFunction> methods_of(Type type) {
  switch (type) {
    case Type::kString:
      return str_methods();
    case Type::kDict:
      return kDictMethods;
    case Type::kList:
      return kListMethods;
    case Type::kTuple:
    case Type::kRange:
      return kTupleMethods;
    case Type::kBool:
    case Type::kInt:
      return kIntMethods;
    case Type::kFloat:
      return kFloatMethods;
    default:
      return {};
  }
}

}  // namespace

Value find_method(const Value& value, std::string_view name) {
  for (const NamedFunction& method : methods_of(value.type())) {
    if (method.name == name) return Value::object(Type::kCallable, new BoundMethod(value, method));
  }
  return {};
}

}  // namespace glimmer::jinja
