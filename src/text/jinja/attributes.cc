// Attributes, items and slices.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/callable.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace glimmer::jinja {
namespace {

// Attributes that every Python object has, all behind the sandbox.
constexpr std::string_view kObjectAttributes[] = {
    "__class__",         "__delattr__",   "__dict__",         "__dir__",     "__doc__",    "__eq__",
    "__format__",        "__ge__",        "__getattribute__", "__gt__",      "__hash__",   "__init__",
    "__init_subclass__", "__le__",        "__lt__",           "__module__",  "__ne__",     "__new__",
    "__reduce__",        "__reduce_ex__", "__repr__",         "__setattr__", "__sizeof__", "__str__",
    "__subclasshook__"};

constexpr std::string_view kListMutators[] = {"append", "clear",  "extend",  "insert",
                                              "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kDictMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};

template <size_t N>
bool among(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_forbidden(const Value& object, std::string_view name) {
  if (among(kObjectAttributes, name)) return true;
  if (object.is(Type::kList)) return among(kListMutators, name);
  return object.is(Type::kDict) && among(kDictMutators, name);
}

// "'dict object' has no attribute 'x'", as jinja2 reports it.
Value no_attribute(const Value& object, std::string_view name) {
  return object.is_none() ? Value::undefined(fmt::format("'None' has no attribute '{}'", name))
                          : Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(object), name));
}

Value no_element(const Value& object, const Value& key) {
  if (key.is_string()) return no_attribute(object, key.text());
  return Value::undefined(fmt::format("{} object has no element {}", type_name(object), to_repr(key)));
}

Value unsafe(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(object)));
}

// The attribute, or an undefined value if the sandbox forbids it, or missing.
Value sandboxed_attribute(const Value& object, std::string_view name) {
  if (is_forbidden(object, name)) return unsafe(object, name);
  Value found = find_attribute(object, name);
  if (!found.is_missing() && name.starts_with('_')) return unsafe(object, name);
  return found;
}

Value code_point_at(const String& string, int64_t index) {
  if (string.ascii) return Value::string_like(string, string.text.substr(static_cast<size_t>(index), 1));
  charge_work(4 * string.text.size());
  size_t at = 0;
  while (index-- > 0) at += decode_utf8(string.text, at).size_bytes;
  return Value::string_like(string, string.text.substr(at, decode_utf8(string.text, at).size_bytes));
}

// Python's object[key] on built-in types; missing on a TypeError, IndexError or KeyError.
Value find_item(const Value& object, const Value& key) {
  if (object.is(Type::kDict)) {
    const bool unhashable = key.is(Type::kList) || key.is(Type::kDict) || key.is(Type::kDictView);
    const Value* found = unhashable ? nullptr : object.as_dict().find(key);
    return found == nullptr ? Value() : *found;
  }
  const bool sequence = object.is_sequence() || object.is_string() || object.is(Type::kRange);
  if (!sequence || !key.is_integral()) return {};
  const int64_t length = length_of(object);
  int64_t index = key.as_int();
  if (index < 0) index += length;
  if (index < 0 || index >= length) return {};
  if (object.is_string()) return code_point_at(object.as_string(), index);
  if (object.is(Type::kRange)) return Value::integer(object.as_range().start + object.as_range().step * index);
  return object.items()[static_cast<size_t>(index)];
}

int64_t slice_index(const Value& value, int64_t fallback) {
  if (value.is_missing() || value.is_none()) return fallback;
  if (value.is_integral()) return value.as_int();
  if (value.is_undefined()) fail(ErrorCode::kInvalid, "{}", value.undefined_message());
  fail(ErrorCode::kInvalid, "slice indices must be integers or None, not {}", type_name(value));
}

struct SliceBounds {
  int64_t start, step, count;
};

// As CPython's PySlice_AdjustIndices.
SliceBounds slice_bounds(int64_t length, const Value& start_value, const Value& stop_value, const Value& step_value) {
  const int64_t step = std::max<int64_t>(slice_index(step_value, 1), -INT64_MAX);
  if (step == 0) fail(ErrorCode::kInvalid, "slice step cannot be zero");
  const auto clamp = [&](int64_t index) {
    if (index < 0) index += length;
    return step < 0 ? std::clamp<int64_t>(index, -1, length - 1) : std::clamp<int64_t>(index, 0, length);
  };
  const auto bound = [&](const Value& value, int64_t fallback) {
    return value.is_missing() || value.is_none() ? fallback : clamp(slice_index(value, 0));
  };
  const int64_t start = bound(start_value, step < 0 ? length - 1 : 0);
  const int64_t stop = bound(stop_value, step < 0 ? -1 : length);
  int64_t count = 0;
  if (step > 0 && start < stop) count = (stop - start - 1) / step + 1;
  if (step < 0 && stop < start) count = (start - stop - 1) / -step + 1;
  return {start, step, count};
}

Value slice_string(const String& string, const SliceBounds& bounds) {
  if (string.ascii && bounds.step == 1) {
    return Value::string_like(string,
                              string.text.substr(static_cast<size_t>(bounds.start), static_cast<size_t>(bounds.count)));
  }
  const std::u32string points = to_code_points(string.text);
  std::u32string out;
  for (int64_t i = 0; i < bounds.count; ++i) out += points[static_cast<size_t>(bounds.start + i * bounds.step)];
  return Value::string_like(string, from_code_points(out));
}

}  // namespace

Value find_attribute(const Value& object, std::string_view name) {
  switch (object.type()) {
    case Type::kNamespace: {
      const Value* found = object.as_namespace().attributes.find(name);
      return found == nullptr ? Value() : *found;
    }
    case Type::kCallable:
      return object.as_callable().attribute(name);
    case Type::kTuple:
      if (object.as_list().group && name == "grouper") return object.items()[0];
      if (object.as_list().group && name == "list") return object.items()[1];
      break;
    case Type::kRange:
      if (name == "start") return Value::integer(object.as_range().start);
      if (name == "stop") return Value::integer(object.as_range().stop);
      if (name == "step") return Value::integer(object.as_range().step);
      break;
    case Type::kBool:
    case Type::kInt:
      if (name == "real" || name == "numerator") return Value::integer(object.as_int());
      if (name == "imag") return Value::integer(0);
      if (name == "denominator") return Value::integer(1);
      break;
    case Type::kFloat:
      if (name == "real") return object;
      if (name == "imag") return Value::real(0);
      break;
    default:
      break;
  }
  return find_method(object, name);
}

Value get_attribute(const Value& object, std::string_view name) {
  if (object.is_undefined()) fail(ErrorCode::kInvalid, "{}", object.undefined_message());
  Value found = sandboxed_attribute(object, name);
  if (!found.is_missing()) return found;
  if (object.is(Type::kDict)) {
    if (const Value* item = object.as_dict().find(name)) return *item;
  }
  return no_attribute(object, name);
}

Value get_item(const Value& object, const Value& key) {
  if (object.is_undefined()) fail(ErrorCode::kInvalid, "{}", object.undefined_message());
  Value found = find_item(object, key);
  if (found.is_missing() && key.is_string()) found = sandboxed_attribute(object, key.text());
  return found.is_missing() ? no_element(object, key) : found;
}

Value slice(const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.is_undefined()) fail(ErrorCode::kInvalid, "{}", object.undefined_message());
  if (!object.is_string() && !object.is_sequence() && !object.is(Type::kRange)) {
    fail(ErrorCode::kInvalid, "'{}' object cannot be sliced", type_name(object));
  }
  const SliceBounds bounds = slice_bounds(length_of(object), start, stop, step);
  if (object.is_string()) return slice_string(object.as_string(), bounds);
  if (object.is(Type::kRange)) {
    const Range& range = object.as_range();
    int64_t by = 0;
    int64_t first = 0;
    int64_t stop_at = 0;
    const bool overflows = __builtin_mul_overflow(range.step, bounds.step, &by) ||
                           __builtin_mul_overflow(range.step, bounds.start, &first) ||
                           __builtin_add_overflow(range.start, first, &first) ||
                           __builtin_mul_overflow(by, bounds.count, &stop_at) ||
                           __builtin_add_overflow(first, stop_at, &stop_at);
    if (overflows) fail(ErrorCode::kLimit, "a slice of a range does not fit 64-bit integers");
    return Value::object(Type::kRange, new Range(first, stop_at, by));
  }
  Values items;
  items.reserve(static_cast<size_t>(bounds.count));
  for (int64_t i = 0; i < bounds.count; ++i) {
    items.push_back(object.items()[static_cast<size_t>(bounds.start + i * bounds.step)]);
  }
  return object.is(Type::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

}  // namespace glimmer::jinja
