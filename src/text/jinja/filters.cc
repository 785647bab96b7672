// Looking filters up, and those that work on single values.
#include "text/jinja/filters.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/number_text.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace glimmer::jinja {

AttributePath::AttributePath(const Value& attribute) {
  if (attribute.is_missing() || attribute.is_none()) return;
  if (!attribute.is_string()) {
    parts_.push_back(attribute);
    return;
  }
  std::string_view rest = attribute.text();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    int64_t index = 0;
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    parts_.push_back(digits && parse_integer(part, 10, index) ? Value::integer(index) : Value::string(part));
    if (dot == rest.npos) break;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributePath::get(Value item, const Value& fallback) const {
  for (const Value& part : parts_) {
    item = get_item(item, part);
    if (item.is_undefined() && !fallback.is_missing() && !fallback.is_none()) item = fallback;
  }
  return item;
}

Value ignore_case(const Value& value) {
  return value.is_string() ? Value::string_like(value.as_string(), lower(value.text())) : value;
}

namespace {

[[noreturn]] void wrong_type(const Call& call) {
  if (call.self.is_undefined()) fail(ErrorCode::kInvalid, "{}", call.self.undefined_message());
  fail(ErrorCode::kInvalid, "the filter '{}' does not work on '{}'", call.name, type_name(call.self));
}

Value filter_abs(const Call& call) {
  call.bind({});
  if (call.self.is(Type::kFloat)) return Value::real(std::abs(call.self.as_double()));
  if (call.self.is(Type::kExact)) return call.self.as_exact().text.starts_with('-') ? negate(call.self) : call.self;
  if (!call.self.is_integral()) wrong_type(call);
  return call.self.as_int() < 0 ? negate(call.self) : Value::integer(call.self.as_int());
}

Value filter_attr(const Call& call) {
  const Values args = call.bind({"name"}, 1);
  const std::string& name = string_argument(args[0], call.name, "name");
  if (call.self.is_undefined()) fail(ErrorCode::kInvalid, "{}", call.self.undefined_message());
  if (find_attribute(call.self, name).is_missing() && !name.starts_with("__")) {
    return Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(call.self), name));
  }
  return get_attribute(call.self, name);
}

Value filter_default(const Call& call) {
  const Values args = call.bind({"default_value", "boolean"});
  const bool boolean = !args[1].is_missing() && truthy(args[1]);
  if (!call.self.is_undefined() && !(boolean && !truthy(call.self))) return call.self;
  return args[0].is_missing() ? Value::string("") : args[0];
}

// int(float): toward zero.
bool truncate(double value, int64_t& out) {
  if (!std::isfinite(value)) return false;
  if (std::abs(value) >= 9.2e18) fail(ErrorCode::kLimit, "{} does not fit a 64-bit integer", value);
  out = static_cast<int64_t>(value);
  return true;
}

Value filter_int(const Call& call) {
  const Values args = call.bind({"default", "base"});
  const Value fallback = args[0].is_missing() ? Value::integer(0) : args[0];
  const int64_t base = args[1].is_missing() ? 10 : int_argument(args[1], call.name, "base");
  int64_t value = 0;
  if (call.self.is_undefined()) wrong_type(call);
  if (call.self.is_integral()) return Value::integer(call.self.as_int());
  if (call.self.is(Type::kExact) && call.self.as_exact().integer) return call.self;
  if (call.self.is_number()) {
    if (std::isinf(call.self.as_double())) fail(ErrorCode::kInvalid, "cannot convert float infinity to integer");
    return truncate(call.self.as_double(), value) ? Value::integer(value) : fallback;
  }
  if (!call.self.is_string()) return fallback;
  if (parse_integer(call.self.text(), static_cast<int>(base), value)) return Value::integer(value);
  double real = 0;
  if (parse_double(call.self.text(), real) && truncate(real, value)) return Value::integer(value);
  return fallback;
}

Value filter_float(const Call& call) {
  const Values args = call.bind({"default"});
  double value = 0;
  if (call.self.is_undefined()) wrong_type(call);
  if (call.self.is_number()) return Value::real(call.self.as_double());
  if (call.self.is_string() && parse_double(call.self.text(), value)) return Value::real(value);
  return args[0].is_missing() ? Value::real(0) : args[0];
}

// round(x, digits): to the nearest decimal, ties as the exact binary value falls.
double round_decimals(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits >= 0) return std::strtod(format_double(value, 'f', static_cast<int>(digits)).c_str(), nullptr);
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / unit) * unit;
}

// round(int, -digits): ties to even.
int64_t round_integer(int64_t value, int64_t digits) {
  if (digits >= 0) return value;
  if (digits < -18) return 0;
  __int128 unit = 1;
  for (int64_t i = 0; i < -digits; ++i) unit *= 10;
  __int128 quotient = value / unit;
  const __int128 twice = (value % unit) * 2;
  const bool odd = quotient % 2 != 0;
  if (twice > unit || (twice == unit && odd)) ++quotient;
  if (-twice > unit || (-twice == unit && odd)) --quotient;
  return static_cast<int64_t>(quotient * unit);
}

Value filter_round(const Call& call) {
  const Values args = call.bind({"precision", "method"});
  const int64_t precision = args[0].is_missing() ? 0 : int_argument(args[0], call.name, "precision");
  const std::string method = args[1].is_missing() ? "common" : to_str(args[1]);
  if (method != "common" && method != "ceil" && method != "floor") {
    fail(ErrorCode::kInvalid, "round(): method must be common, ceil or floor, not {}", method);
  }
  if (!call.self.is_number()) wrong_type(call);
  if (method == "common") {
    if (call.self.is_integral()) return Value::integer(round_integer(call.self.as_int(), precision));
    if (call.self.is(Type::kExact) && call.self.as_exact().integer && precision >= 0) return call.self;
    return Value::real(round_decimals(call.self.as_double(), precision));
  }
  if (precision > 300 || precision < -300)
    fail(ErrorCode::kInvalid, "round(): precision {} is out of range", precision);
  const Value scale = power(Value::integer(10), Value::integer(precision));
  const Value scaled = multiply(call.self, scale);
  const double whole = method == "ceil" ? std::ceil(scaled.as_double()) : std::floor(scaled.as_double());
  if (!std::isfinite(whole)) fail(ErrorCode::kInvalid, "cannot convert float {} to integer", whole);
  return Value::real(whole / scale.as_double());
}

Value filter_string(const Call& call) {
  call.bind({});
  return call.self.is_string() ? call.self : Value::string(to_str(call.self));
}

Value filter_length(const Call& call) {
  call.bind({});
  const int64_t length = length_of(call.self);
  if (length < 0) fail(ErrorCode::kInvalid, "object of type '{}' has no len()", type_name(call.self));
  return Value::integer(length);
}

std::string json_separator(const Value& value) { return string_argument(value, "tojson", "separators"); }

Value filter_tojson(const Call& call) {
  const Values args = call.bind({"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  const auto given = [](const Value& value) { return !value.is_missing() && !value.is_none(); };
  style.ensure_ascii = given(args[0]) && truthy(args[0]);
  style.sort_keys = given(args[3]) && truthy(args[3]);
  if (given(args[1])) {
    style.indented = true;
    style.item_separator = ",";
    if (args[1].is_string()) {
      style.indent = args[1].text();
    } else {
      const int64_t width = int_argument(args[1], call.name, "indent");
      if (width > 1024) fail(ErrorCode::kLimit, "tojson(): an indent of {}", width);
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
  }
  if (given(args[2])) {
    const Values separators = collect(args[2]);
    if (separators.size() != 2) fail(ErrorCode::kInvalid, "tojson(): separators must be a pair");
    style.item_separator = json_separator(separators[0]);
    style.key_separator = json_separator(separators[1]);
  }
  return Value::string(dump_json(call.self, style));
}

Value filter_filesizeformat(const Call& call) {
  const Values args = call.bind({"binary"});
  const bool binary = !args[0].is_missing() && truthy(args[0]);
  double bytes = 0;
  if (call.self.is_number()) {
    bytes = call.self.as_double();
  } else if (!call.self.is_string() || !parse_double(call.self.text(), bytes)) {
    wrong_type(call);
  }
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::string("1 Byte");
  if (bytes < base) return Value::string(fmt::format("{} Bytes", static_cast<int64_t>(bytes)));
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t prefix = 0;
  while (bytes >= unit * base && prefix + 1 < kPrefixes.size()) {
    unit *= base;
    ++prefix;
  }
  const char letter = binary && prefix == 0 ? 'K' : kPrefixes[prefix];
  return Value::string(fmt::format("{} {}{}", format_double(bytes / unit, 'f', 1), letter, binary ? "iB" : "B"));
}

constexpr NamedFunction kFilters[] = {
    {"abs", filter_abs},     {"attr", filter_attr},       {"count", filter_length},
    {"d", filter_default},   {"default", filter_default}, {"filesizeformat", filter_filesizeformat},
    {"float", filter_float}, {"int", filter_int},         {"length", filter_length},
    {"round", filter_round}, {"string", filter_string},   {"tojson", filter_tojson},
};

}  // namespace

std::span<const NamedFunction> value_filters() { return kFilters; }

Function find_filter(std::string_view name) {
  for (const auto filters : {value_filters(), text_filters(), sequence_filters(), generator_filters()}) {
    for (const NamedFunction& filter : filters) {
      if (filter.name == name) return filter.function;
    }
  }
  return nullptr;
}

std::string known_filters() {
  std::vector<std::string_view> names;
  for (const auto filters : {value_filters(), text_filters(), sequence_filters(), generator_filters()}) {
    for (const NamedFunction& filter : filters) names.push_back(filter.name);
  }
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace glimmer::jinja
