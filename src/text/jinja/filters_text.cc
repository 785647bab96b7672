// Filters that make text.
#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/operators.h"
#include "text/jinja/search.h"
#include "text/jinja/str_methods.h"
#include "text/jinja/unicode.h"

namespace glimmer::jinja {
namespace {

constexpr int64_t kMaxIndent = 1 << 16;

// Most text filters take any value and work on its str(); markup stays markup.
Value text_of(const Value& value) { return value.is_string() ? value : Value::string(to_str(value)); }

bool flag(const Value& value) { return !value.is_missing() && truthy(value); }

template <std::string (*kMap)(std::string_view)>
Value mapped(const Call& call) {
  call.bind({});
  const Value text = text_of(call.self);
  return Value::string_like(text.as_string(), kMap(text.text()));
}

// Unlike str.title, a word begins only after white space and the brackets, hyphen and '<' of jinja2's rule.
std::string title_words(std::string_view text) {
  std::u32string out;
  const std::u32string points = to_code_points(text);
  const auto separates = [](char32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
  };
  std::string result;
  for (size_t begin = 0; begin < points.size();) {
    size_t end = begin;
    const bool separator = separates(points[begin]);
    while (end < points.size() && separates(points[end]) == separator) ++end;
    const std::string item = from_code_points(std::u32string_view(points).substr(begin, end - begin));
    const uint32_t first = decode_utf8(item, 0).size_bytes;
    result += upper(std::string_view(item).substr(0, first)) + lower(std::string_view(item).substr(first));
    begin = end;
  }
  return result;
}

Value filter_center(const Call& call) {
  const Values args = call.bind({"width"});
  const Value text = text_of(call.self);
  const int64_t width = args[0].is_missing() ? 80 : std::max<int64_t>(int_argument(args[0], call.name, "width"), 0);
  return Value::string_like(text.as_string(), center_text(text.text(), width, " "));
}

Value filter_escape(const Call& call) {
  call.bind({});
  return Value::markup(escape_html(call.self));
}

Value filter_forceescape(const Call& call) {
  call.bind({});
  return Value::markup(escape_html(Value::string(to_str(call.self))));
}

Value filter_safe(const Call& call) {
  call.bind({});
  return Value::markup(to_str(call.self));
}

Value filter_format(const Call& call) {
  const Value text = text_of(call.self);
  if (!call.args.positional.empty() && !call.args.keywords.empty()) {
    fail(ErrorCode::kInvalid, "format: can't handle positional and keyword arguments at the same time");
  }
  if (call.args.keywords.empty()) return percent_format(text, Value::tuple(call.args.positional));
  auto dict = std::make_unique<Dict>();
  for (const auto& [key, value] : call.args.keywords) dict->set(Value::string(key), value);
  return percent_format(text, make_dict(std::move(dict)));
}

Value filter_indent(const Call& call) {
  const Values args = call.bind({"width", "first", "blank"});
  if (!call.self.is_string()) {
    if (call.self.is_undefined()) fail(ErrorCode::kInvalid, "{}", call.self.undefined_message());
    fail(ErrorCode::kInvalid, "indent() needs a string, not {}", type_name(call.self));
  }
  std::string indention;
  if (!args[0].is_missing() && args[0].is_string()) {
    indention = args[0].text();
  } else {
    const int64_t width = args[0].is_missing() ? 4 : int_argument(args[0], call.name, "width");
    if (width > kMaxIndent) fail(ErrorCode::kLimit, "indent(): a width of {}", width);
    indention = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool blank = flag(args[2]);
  std::string out;
  bool first_line = true;
  // A newline is added before splitting, so that one at the end leaves an empty last line.
  for (const std::string& line : split_lines(call.self.text() + "\n", false)) {
    if (!first_line) out += '\n';
    const bool indented = first_line ? flag(args[1]) : blank || !line.empty();
    if (indented) out += indention;
    out += line;
    first_line = false;
    if (Budget* budget = Budget::current()) budget->check_string(out.size());
  }
  return Value::string_like(call.self.as_string(), std::move(out));
}

Value filter_replace(const Call& call) {
  const Values args = call.bind({"old", "new", "count"}, 2);
  const bool all = args[2].is_missing() || args[2].is_none();
  const int64_t count = all ? -1 : int_argument(args[2], call.name, "count");
  return Value::string(replace_text(to_str(call.self), to_str(args[0]), to_str(args[1]), count));
}

Value filter_trim(const Call& call) {
  const Values args = call.bind({"chars"});
  const Value text = text_of(call.self);
  const bool spaces = args[0].is_missing() || args[0].is_none();
  const std::string_view trimmed =
      spaces ? strip(text.text(), StripSide::kBoth)
             : strip(text.text(), StripSide::kBoth, string_argument(args[0], call.name, "chars"));
  charge_work(4 * (text.text().size() - trimmed.size()));
  return Value::string_like(text.as_string(), std::string(trimmed));
}

Value filter_truncate(const Call& call) {
  const Values args = call.bind({"length", "killwords", "end", "leeway"});
  const int64_t length = args[0].is_missing() ? 255 : int_argument(args[0], call.name, "length");
  const Value end = args[2].is_missing() ? Value::string("...") : args[2];
  const int64_t leeway = args[3].is_missing() || args[3].is_none() ? 5 : int_argument(args[3], call.name, "leeway");
  const int64_t end_length = length_of(end);
  if (!end.is_string()) fail(ErrorCode::kInvalid, "truncate(): 'end' must be a string, not {}", type_name(end));
  if (length < end_length) fail(ErrorCode::kInvalid, "truncate(): expected length >= {}, got {}", end_length, length);
  if (leeway < 0) fail(ErrorCode::kInvalid, "truncate(): expected leeway >= 0, got {}", leeway);
  const int64_t size = length_of(call.self);
  if (size < 0) fail(ErrorCode::kInvalid, "object of type '{}' has no len()", type_name(call.self));
  if (size - length <= leeway) return call.self;
  const Value head = slice(call.self, {}, Value::integer(length - end_length), {});
  if (flag(args[1])) return add(head, end);
  if (!head.is_string()) fail(ErrorCode::kInvalid, "truncate() needs a string, not {}", type_name(call.self));
  const size_t space = rfind_text(head.text(), " ");
  return add(Value::string_like(head.as_string(), head.text().substr(0, space)), end);
}

Value filter_wordcount(const Call& call) {
  call.bind({});
  const Value text = text_of(call.self);
  int64_t words = 0;
  bool inside = false;
  for (char32_t c : to_code_points(text.text())) {
    const bool word = c == '_' || (char_classes(c) & (kAlpha | kDecimal | kDigit | kNumeric)) != 0;
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value::integer(words);
}

std::string url_quote(const Value& value, bool for_query) {
  std::string out;
  for (char c : to_str(value)) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_.-~").find(c) != std::string_view::npos;
    if (plain || (c == '/' && !for_query)) {
      out += c;
    } else if (c == ' ' && for_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<uint8_t>(c));
    }
  }
  return out;
}

Value filter_urlencode(const Call& call) {
  call.bind({});
  if (call.self.is_string() || !is_iterable(call.self)) return Value::string(url_quote(call.self, false));
  Values pairs;
  if (call.self.is(Type::kDict)) {
    for (const auto& [key, value] : call.self.as_dict().entries) pairs.push_back(Value::tuple({key, value}));
  } else {
    pairs = collect(call.self);
  }
  std::string out;
  for (const Value& pair : pairs) {
    const Values parts = collect(pair);
    if (parts.size() != 2) fail(ErrorCode::kInvalid, "urlencode(): an item has {} parts, not 2", parts.size());
    if (!out.empty()) out += '&';
    out += url_quote(parts[0], true) + "=" + url_quote(parts[1], true);
  }
  return Value::string(std::move(out));
}

Value filter_xmlattr(const Call& call) {
  const Values args = call.bind({"autospace"});
  if (call.self.is_undefined()) fail(ErrorCode::kInvalid, "{}", call.self.undefined_message());
  if (!call.self.is(Type::kDict)) fail(ErrorCode::kInvalid, "xmlattr() needs a mapping, not {}", type_name(call.self));
  std::string out;
  for (const auto& [key, value] : call.self.as_dict().entries) {
    if (value.is_none() || value.is_undefined()) continue;
    if (key.is_string() && key.text().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      fail(ErrorCode::kInvalid, "Invalid character in attribute name: {}", to_repr(key));
    }
    if (!out.empty()) out += ' ';
    out += fmt::format("{}=\"{}\"", escape_html(key), escape_html(value));
  }
  const bool spaced = (args[0].is_missing() || truthy(args[0])) && !out.empty();
  return Value::string(spaced ? " " + out : out);
}

constexpr NamedFunction kFilters[] = {
    {"capitalize", mapped<capitalize>},
    {"center", filter_center},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"forceescape", filter_forceescape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"lower", mapped<lower>},
    {"replace", filter_replace},
    {"safe", filter_safe},
    {"title", mapped<title_words>},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", mapped<upper>},
    {"urlencode", filter_urlencode},
    {"wordcount", filter_wordcount},
    {"xmlattr", filter_xmlattr},
};

}  // namespace

std::span<const NamedFunction> text_filters() { return kFilters; }

}  // namespace glimmer::jinja
