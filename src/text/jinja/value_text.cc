// str() and repr() of values.
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/callable.h"
#include "text/jinja/unicode.h"
#include "text/jinja/value.h"

namespace glimmer::jinja {
namespace {

void append_repr(std::string& out, const Value& value);

// A long output is noticed while it is being made, not after.
void check_growth(const std::string& out) {
  if (Budget* budget = Budget::current()) {
    budget->step();
    budget->check_string(out.size());
  }
}

void append_items(std::string& out, const Values& items, std::string_view open, std::string_view close) {
  out += open;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(out, items[i]);
  }
  out += close;
}

void append_dict(std::string& out, const Dict& dict) {
  out += '{';
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!first) out += ", ";
    first = false;
    append_repr(out, key);
    out += ": ";
    append_repr(out, value);
  }
  out += '}';
}

void append_view(std::string& out, const DictView& view) {
  const auto& entries = view.dict.as_dict().entries;
  out += view.kind == DictView::Kind::kKeys     ? "dict_keys(["
         : view.kind == DictView::Kind::kValues ? "dict_values(["
                                                : "dict_items([";
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += ", ";
    if (view.kind == DictView::Kind::kItems) out += '(';
    if (view.kind != DictView::Kind::kValues) append_repr(out, entries[i].first);
    if (view.kind == DictView::Kind::kItems) out += ", ";
    if (view.kind != DictView::Kind::kKeys) append_repr(out, entries[i].second);
    if (view.kind == DictView::Kind::kItems) out += ')';
  }
  out += "])";
}

void append_repr(std::string& out, const Value& value) {
  if (Budget* budget = Budget::current()) budget->check_stack();
  check_growth(out);
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
      out += "Undefined";
      return;
    case Type::kNone:
      out += "None";
      return;
    case Type::kBool:
      out += value.as_bool() ? "True" : "False";
      return;
    case Type::kInt:
      out += std::to_string(value.as_int());
      return;
    case Type::kFloat:
      out += repr_of_double(value.as_double());
      return;
    case Type::kExact:
      charge_work(value.as_exact().text.size());
      out += value.as_exact().text;
      return;
    case Type::kString:
      charge_work(value.text().size());
      out += value.as_string().markup ? fmt::format("Markup({})", repr_of_string(value.text()))
                                      : repr_of_string(value.text());
      return;
    case Type::kList:
      append_items(out, value.items(), "[", "]");
      return;
    case Type::kTuple:
      append_items(out, value.items(), "(", value.items().size() == 1 ? ",)" : ")");
      return;
    case Type::kDict:
      append_dict(out, value.as_dict());
      return;
    case Type::kRange: {
      const Range& range = value.as_range();
      out += range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                             : fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
      return;
    }
    case Type::kDictView:
      append_view(out, value.as_view());
      return;
    case Type::kIterator:
      out += fmt::format("<{} object>", value.as_iterator().type_name());
      return;
    case Type::kNamespace:
      out += "<Namespace ";
      append_dict(out, value.as_namespace().attributes);
      out += '>';
      return;
    case Type::kCallable:
      out += value.as_callable().repr();
      return;
  }
}

}  // namespace

std::string repr_of_string(std::string_view text) {
  const bool has_single = text.find('\'') != text.npos;
  const char quote = has_single && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const char32_t c = point.value;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c < 0x80 ? c >= 0x20 && c != 0x7F : (char_classes(c) & kPrintable) != 0) {
      out.append(text.substr(at, point.size_bytes));
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
    at += point.size_bytes;
  }
  return out += quote;
}

// The shortest digits that read back as the same double; an exponent below 1e-4 and from 1e16 on.
std::string repr_of_double(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(result.ptr - buffer));
  const size_t e = text.find('e');
  std::string digits;
  for (char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  const std::string sign = text[0] == '-' ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    std::string mantissa = digits.substr(0, 1);
    if (digits.size() > 1) mantissa += "." + digits.substr(1);
    return fmt::format("{}{}e{}{:02d}", sign, mantissa, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

void append_str(std::string& out, const Value& value) {
  if (value.is_string()) {
    charge_work(value.text().size());
    out += value.text();
  } else if (!value.is_undefined() && !value.is_missing()) {
    append_repr(out, value);
  }
  check_growth(out);
}

std::string to_str(const Value& value) {
  std::string out;
  append_str(out, value);
  return out;
}

std::string to_repr(const Value& value) {
  std::string out;
  append_repr(out, value);
  return out;
}

}  // namespace glimmer::jinja
