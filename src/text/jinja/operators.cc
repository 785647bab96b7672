#include "text/jinja/operators.h"

#include <cmath>

#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/callable.h"
#include "text/jinja/format.h"

namespace glimmer::jinja {
namespace {

[[noreturn]] void unsupported(std::string_view op, const Value& a, const Value& b) {
  if (a.is_undefined()) fail(ErrorCode::kInvalid, "{}", a.undefined_message());
  if (b.is_undefined()) fail(ErrorCode::kInvalid, "{}", b.undefined_message());
  fail(ErrorCode::kInvalid, "unsupported operand types for {}: '{}' and '{}'", op, type_name(a), type_name(b));
}

[[noreturn]] void overflow(std::string_view op) {
  fail(ErrorCode::kLimit, "the result of {} does not fit a 64-bit integer", op);
}

// Two numbers, of which one is not an integer of 64 bits. A larger integer has no arithmetic here.
bool are_real(std::string_view op, const Value& a, const Value& b) {
  if (!a.is_number() || !b.is_number()) return false;
  const auto too_large = [](const Value& value) { return value.is(Type::kExact) && value.as_exact().integer; };
  if (too_large(a) || too_large(b)) fail(ErrorCode::kLimit, "{} of an integer that does not fit 64 bits", op);
  return true;
}

[[noreturn]] void division_by_zero() { fail(ErrorCode::kInvalid, "division by zero"); }

void check_string_size(size_t bytes) {
  if (Budget* budget = Budget::current()) budget->check_string(bytes);
}

Value add_strings(const Value& a, const Value& b) {
  const String& left = a.as_string();
  const String& right = b.as_string();
  check_string_size(left.text.size() + right.text.size());
  if (!left.markup && !right.markup) return Value::string(left.text + right.text);
  return Value::markup(escape_html(a) + escape_html(b));
}

Value repeat_string(const String& string, int64_t count) {
  if (count <= 0 || string.text.empty()) return Value::string_like(string, "");
  if (static_cast<uint64_t>(count) > (uint64_t{1} << 40) / string.text.size()) check_string_size(SIZE_MAX);
  check_string_size(string.text.size() * static_cast<size_t>(count));
  std::string out;
  out.reserve(string.text.size() * static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) out += string.text;
  return Value::string_like(string, std::move(out));
}

Value repeat_items(const Value& sequence, int64_t count) {
  const Values& items = sequence.items();
  Values out;
  if (count > 0 && !items.empty()) {
    if (static_cast<uint64_t>(count) > (uint64_t{1} << 40) / items.size()) {
      fail(ErrorCode::kLimit, "a {} of {} x {} items is too long", type_name(sequence), count, items.size());
    }
    const size_t total = items.size() * static_cast<size_t>(count);
    if (Budget* budget = Budget::current()) {
      budget->allocate(total * sizeof(Value));  // before it is made
      budget->release(total * sizeof(Value));
    }
    out.reserve(total);
    for (int64_t i = 0; i < count; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return sequence.is(Type::kList) ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

// The sign of a float remainder is the divisor's.
double float_modulo(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  return remainder == 0 ? std::copysign(0.0, b) : remainder;
}

double float_floor_divide(double a, double b) {
  const double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) overflow("**");
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow("**");
  }
  return result;
}

}  // namespace

Value add(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a.as_int(), b.as_int(), &sum)) overflow("+");
    return Value::integer(sum);
  }
  if (are_real("+", a, b)) return Value::real(a.as_double() + b.as_double());
  if (a.is_string() && b.is_string()) return add_strings(a, b);
  if (a.is_sequence() && a.type() == b.type()) {
    Values items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return a.is(Type::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
  }
  if ((a.is_string() || b.is_string()) && !a.is_undefined() && !b.is_undefined()) {
    fail(ErrorCode::kInvalid, "can only concatenate str, not {} + {}; use ~ to concatenate anything", type_name(a),
         type_name(b));
  }
  unsupported("+", a, b);
}

Value subtract(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    int64_t difference = 0;
    if (__builtin_sub_overflow(a.as_int(), b.as_int(), &difference)) overflow("-");
    return Value::integer(difference);
  }
  if (are_real("-", a, b)) return Value::real(a.as_double() - b.as_double());
  unsupported("-", a, b);
}

Value multiply(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a.as_int(), b.as_int(), &product)) overflow("*");
    return Value::integer(product);
  }
  if (are_real("*", a, b)) return Value::real(a.as_double() * b.as_double());
  if (a.is_string() && b.is_integral()) return repeat_string(a.as_string(), b.as_int());
  if (b.is_string() && a.is_integral()) return repeat_string(b.as_string(), a.as_int());
  if (a.is_sequence() && b.is_integral()) return repeat_items(a, b.as_int());
  if (b.is_sequence() && a.is_integral()) return repeat_items(b, a.as_int());
  unsupported("*", a, b);
}

Value divide(const Value& a, const Value& b) {
  if (!are_real("/", a, b)) unsupported("/", a, b);
  if (b.as_double() == 0) division_by_zero();
  if (a.is_integral() && b.is_integral()) {
    return Value::real(
        static_cast<double>(static_cast<long double>(a.as_int()) / static_cast<long double>(b.as_int())));
  }
  return Value::real(a.as_double() / b.as_double());
}

Value floor_divide(const Value& a, const Value& b) {
  if (!are_real("//", a, b)) unsupported("//", a, b);
  if (b.as_double() == 0) division_by_zero();
  if (!a.is_integral() || !b.is_integral()) return Value::real(float_floor_divide(a.as_double(), b.as_double()));
  const int64_t x = a.as_int();
  const int64_t y = b.as_int();
  if (y == -1) return negate(Value::integer(x));
  return Value::integer(x / y - (x % y != 0 && (x % y < 0) != (y < 0) ? 1 : 0));
}

Value modulo(const Value& a, const Value& b) {
  if (a.is_string()) return percent_format(a, b);
  if (!are_real("%", a, b)) unsupported("%", a, b);
  if (b.as_double() == 0) division_by_zero();
  if (!a.is_integral() || !b.is_integral()) return Value::real(float_modulo(a.as_double(), b.as_double()));
  const int64_t y = b.as_int();
  if (y == -1) return Value::integer(0);
  const int64_t remainder = a.as_int() % y;
  return Value::integer(remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder);
}

Value power(const Value& a, const Value& b) {
  if (!are_real("**", a, b)) unsupported("**", a, b);
  if (a.is_integral() && b.is_integral() && b.as_int() >= 0) {
    const int64_t base = a.as_int();
    if (base == 0 || base == 1) return Value::integer(b.as_int() == 0 ? 1 : base);
    if (base == -1) return Value::integer(b.as_int() % 2 == 0 ? 1 : -1);
    return Value::integer(integer_power(base, b.as_int()));
  }
  const double x = a.as_double();
  const double y = b.as_double();
  if (x == 0 && y < 0) fail(ErrorCode::kInvalid, "0.0 cannot be raised to a negative power");
  const double result = std::pow(x, y);
  if (std::isnan(result) && !std::isnan(x) && !std::isnan(y)) {
    fail(ErrorCode::kInvalid, "a negative number to a fractional power is complex");
  }
  if (std::isinf(result) && std::isfinite(x) && std::isfinite(y))
    fail(ErrorCode::kInvalid, "numerical result out of range");
  return Value::real(result);
}

Value negate(const Value& a) {
  if (a.is_integral()) {
    int64_t result = 0;
    if (__builtin_sub_overflow(int64_t{0}, a.as_int(), &result)) overflow("-");
    return Value::integer(result);
  }
  if (a.is(Type::kFloat)) return Value::real(-a.as_double());
  if (a.is(Type::kExact)) {
    const std::string& text = a.as_exact().text;
    if (text == "9223372036854775808") return Value::integer(INT64_MIN);
    return Value::exact(text.starts_with('-') ? text.substr(1) : "-" + text);
  }
  if (a.is_undefined()) fail(ErrorCode::kInvalid, "{}", a.undefined_message());
  fail(ErrorCode::kInvalid, "bad operand type for unary -: '{}'", type_name(a));
}

Value plus(const Value& a) {
  if (a.is_integral()) return Value::integer(a.as_int());
  if (a.is(Type::kFloat) || a.is(Type::kExact)) return a;
  if (a.is_undefined()) fail(ErrorCode::kInvalid, "{}", a.undefined_message());
  fail(ErrorCode::kInvalid, "bad operand type for unary +: '{}'", type_name(a));
}

std::string escape_html(const Value& value) {
  std::string text = to_str(value);
  if (value.is_string() && value.as_string().markup) return text;
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace glimmer::jinja
