// Equality, order and hashes of values, as Python's.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace glimmer::jinja {
namespace {

// Exact for an int against a float: a long double holds both.
static_assert(std::numeric_limits<long double>::digits >= 64);

long double exact(const Value& number) {
  return number.is_integral() ? static_cast<long double>(number.as_int())
                              : static_cast<long double>(number.as_double());
}

bool is_exact_integer(const Value& number) { return number.is(Type::kExact) && number.as_exact().integer; }

// Digits of integers beyond 64 bits; JSON writes no leading zeros.
int compare_digits(const std::string& a, const std::string& b) {
  const bool negative = a.starts_with('-');
  if (negative != b.starts_with('-')) return negative ? -1 : 1;
  const int order = a.size() != b.size() ? (a.size() < b.size() ? -1 : 1) : std::clamp(a.compare(b), -1, 1);
  return negative ? -order : order;
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
  }
  if (is_exact_integer(a) && is_exact_integer(b)) return compare_digits(a.as_exact().text, b.as_exact().text);
  const long double x = exact(a);
  const long double y = exact(b);
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : x > y ? 1 : 0;
}

bool equal_items(const Values& a, const Values& b) {
  if (a.size() != b.size()) return false;
  charge_work(a.size() * sizeof(Value));
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equals(a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  charge_work(a.entries.size() * sizeof(Value));
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key);
    if (other == nullptr || !equals(value, *other)) return false;
  }
  return true;
}

bool equal_ranges(const Range& a, const Range& b) {
  if (a.length != b.length) return false;
  if (a.length == 0) return true;
  return a.start == b.start && (a.length == 1 || a.step == b.step);
}

bool equal_views(const DictView& a, const DictView& b) {
  if (a.kind == DictView::Kind::kValues || b.kind == DictView::Kind::kValues) return &a == &b;
  if (a.kind != b.kind) return false;
  if (a.kind == DictView::Kind::kItems) return equals(a.dict, b.dict);
  const auto& left = a.dict.as_dict().entries;
  if (left.size() != b.dict.as_dict().entries.size()) return false;
  for (const auto& [key, value] : left) {
    if (b.dict.as_dict().find(key) == nullptr) return false;
  }
  return true;
}

int compare_sequences(const Values& a, const Values& b, std::string_view symbol) {
  const size_t both = std::min(a.size(), b.size());
  charge_work(both * sizeof(Value));
  for (size_t i = 0; i < both; ++i) {
    if (!equals(a[i], b[i])) return compare(a[i], b[i], symbol);
  }
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

}  // namespace

bool equals(const Value& a, const Value& b) {
  charge_work(0);
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kString:
      if (a.text().size() == b.text().size()) charge_work(a.text().size());
      return a.text() == b.text();
    case Type::kList:
    case Type::kTuple:
      return a.heap() == b.heap() || equal_items(a.items(), b.items());
    case Type::kDict:
      return a.heap() == b.heap() || equal_dicts(a.as_dict(), b.as_dict());
    case Type::kRange:
      return equal_ranges(a.as_range(), b.as_range());
    case Type::kDictView:
      return equal_views(a.as_view(), b.as_view());
    case Type::kIterator:
    case Type::kNamespace:
    case Type::kCallable:
      return a.heap() == b.heap();
    default:
      return true;  // none and undefined
  }
}

int compare(const Value& a, const Value& b, std::string_view symbol) {
  charge_work(0);
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is_undefined()) fail(ErrorCode::kInvalid, "{}", a.undefined_message());
  if (b.is_undefined()) fail(ErrorCode::kInvalid, "{}", b.undefined_message());
  if (a.is_string() && b.is_string()) {
    charge_work(std::min(a.text().size(), b.text().size()));
    const int order = a.text().compare(b.text());  // UTF-8 bytes order as code points do
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is_sequence() && a.type() == b.type()) return compare_sequences(a.items(), b.items(), symbol);
  fail(ErrorCode::kInvalid, "'{}' is not supported between '{}' and '{}'", symbol, type_name(a), type_name(b));
}

size_t hash_of(const Value& value) {
  switch (value.type()) {
    case Type::kBool:
    case Type::kInt:
      return std::hash<int64_t>()(value.as_int()) * 0x9E3779B97F4A7C15u;
    case Type::kFloat: {
      const double number = value.as_double();
      if (number == std::floor(number) && std::abs(number) < 9e18) {
        return std::hash<int64_t>()(static_cast<int64_t>(number)) * 0x9E3779B97F4A7C15u;
      }
      return std::hash<double>()(number);
    }
    case Type::kExact:
      return std::hash<double>()(value.as_double());
    case Type::kString:
      charge_work(value.text().size());
      return std::hash<std::string_view>()(value.text());
    case Type::kTuple: {
      size_t hash = 0x345678;
      for (const Value& item : value.items()) hash = (hash ^ hash_of(item)) * 0x9E3779B97F4A7C15u + 1;
      return hash;
    }
    case Type::kRange:
      return static_cast<size_t>(value.as_range().length);
    case Type::kList:
    case Type::kDict:
    case Type::kDictView:
      fail(ErrorCode::kInvalid, "unhashable type: '{}'", type_name(value));
    case Type::kIterator:
    case Type::kNamespace:
    case Type::kCallable:
      return std::hash<const void*>()(value.heap());
    default:
      return static_cast<size_t>(value.type());
  }
}

}  // namespace glimmer::jinja
